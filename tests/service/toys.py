"""A model and a detector that load fast, as files, because the service's workers are separate processes."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper

from mindvox.engines.exported import ExportedModel
from mindvox.files import sha256_file
from mindvox.frontend.kaldi_fbank import KaldiFbank
from tests.detector import write_loud_detector
from tests.speakers.toys import CARD, RATE, voice

NUM_MELS = 80
SAME, DIFFERENT = 0.98, 0.97


def write_home(folder: Path) -> Path:
    """Write a folder for models with a detector that takes loud samples for speech; return the speaker model in it."""
    detector = folder / "models" / "silero_vad" / "model.onnx"
    detector.parent.mkdir(parents=True)
    write_loud_detector(detector)
    model = folder / "models" / "toy" / "model.onnx"
    model.parent.mkdir()
    write_model(model)
    thresholds = {"same": SAME, "different": DIFFERENT, "why": "they are toys"}
    (model.parent / "card.json").write_text(json.dumps({**CARD, "thresholds": thresholds}))
    return model


def write_model(path: Path) -> None:
    """Write a model whose embedding is the mean of the features over time, minus the mean of its own values."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["feats"], ["spectrum"], axes=[1], keepdims=0),
            helper.make_node("ReduceMean", ["spectrum"], ["level"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["spectrum", "level"], ["embedding"]),
        ],
        "toy",
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", NUM_MELS])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", NUM_MELS])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)

    def described() -> ExportedModel:
        return ExportedModel(
            *("ONNX", "features", None, None, 1, NUM_MELS, NUM_MELS, {}, "float32", None),
            front_end=KaldiFbank(subtract_mean=False).to_dict(),
            model={"name": "toy"},
            checkpoint_sha256="0" * 64,
            file_sha256=sha256_file(path),
            weights_sha256=None,
        )

    helper.set_model_props(model, described().metadata())
    onnx.save(model, path)
    described().save(path)


def recording(
    speaker: int, seed: int = 0, duration_s: float = 3.0, file_format: str = "WAV", rate: int = RATE
) -> bytes:
    """Return a file in which a speaker speaks."""
    return encoded(voice(speaker, seed, duration_s, level=0.3), file_format, rate)


def silence(duration_s: float = 1.0) -> bytes:
    return encoded(np.zeros(round(duration_s * RATE), np.float32))


def encoded(samples: np.ndarray, file_format: str = "WAV", rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=file_format)
    return stream.getvalue()
