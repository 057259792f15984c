"""Every registered model in the C++ program and in libmindvox, on recordings of several lengths, against Python.

A model of a front end that C++ computes is exported as it is, others with their front end inside: there is no model and
no front end that C++ does not run. By default toys of one layer; real models, whose graphs take a minute to compile,
with --all. test_cpp_program.py has ECAPA-TDNN by default.
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import mindvox.deploy.export as export_module
from mindvox.config import Config, load_config
from mindvox.decisions import cosine
from mindvox.deploy.export import export
from mindvox.embedder import Embedder
from mindvox.engines.exported import ExportedModel
from mindvox.engines.pieces import pieces_of_waveform
from mindvox.frontend import FrontEnd
from mindvox.models import create_model
from mindvox.models.checkpoint import checkpoint_path, write_checkpoint
from mindvox.registry import FRONT_ENDS, MODELS
from mindvox.scoring.embeddings import EmbeddingStore
from tests.ascend310_infer.binding import binding, speech
from tests.deploy.toy import uncompiled_encoder
from tests.model_sizes import model_keys, num_bins

IN_CPP = {"fbank", "kaldi_fbank", "samples"}  # front ends that C++ computes; others go inside the model
BY_TURNS = [name for name in FRONT_ENDS if name != "samples"]
WINDOW_S = 0.8  # of a model that takes any length, or twice the least that it takes
LENGTHS = (0.7, 1.0, 1.3, 3.7)  # windows: less than one, one, one and a bit, several
LEAST_COSINE = 0.99999
BOUNDS = {"features": 5e-5, "waveform": 1e-3}  # of the greatest value: other sums; features in single precision
TOY_BINS = 12


@dataclass(frozen=True)
class Case:
    """A model, its front end, and how it is exported."""

    model: str
    front_end: str
    settings: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_inside(self) -> bool:
        return self.front_end not in IN_CPP or "--input=waveform" in self.words

    def __str__(self) -> str:
        return f"{self.model}-{self.front_end}{'-inside' if self.is_inside else ''}"


PREPARED = {"raise_level_db": -3.0, "zeros_after_ms": 10.0}  # as Resemblyzer, whose speech detector C++ lacks
OWN = {"ge2e_lstm": ("mel_spectrogram", PREPARED), "rawnet2": ("samples", {})}
TOYS = [
    Case("mean_model", "fbank", words=("--input_layout=BFT",)),
    Case("mean_model", "kaldi_fbank", words=("--input=waveform",)),
    Case("mean_model", "mfcc"),
    Case("window_model", "samples", keys=("--model.window_frames=2500",)),
    Case("window_model", "mel_spectrogram", PREPARED, keys=("--model.last=padded",)),
    Case("window_model", "fbank", words=("--batch_size=2",)),
]
REAL = [
    Case(name, *OWN.get(name, (BY_TURNS[row % len(BY_TURNS)], {})))
    for row, name in enumerate(name for name in MODELS if name not in ("mean_model", "window_model"))
]


def test_real_cases_have_every_model_and_every_front_end():
    assert {case.model for case in REAL} == set(MODELS)
    assert {case.front_end for case in REAL} == set(FRONT_ENDS)


@pytest.mark.parametrize("case", [*TOYS, *(pytest.param(case, marks=pytest.mark.slow) for case in REAL)], ids=str)
def test_program_and_library_give_the_embeddings_of_python(program, case, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "cell_encoder", uncompiled_encoder)
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    MODELS.add("mean_model", "tests.toys.mean_model:MeanModel")
    MODELS.add("window_model", "tests.toys.window_model:WindowModel")
    model = exported_model(case, tmp_path)
    exported = ExportedModel.read(model)
    front_end = FRONT_ENDS.get(case.front_end)(**settings_of(case))
    rate, shift_s = front_end.sample_rate, front_end.frame_shift_s
    max_frames = max(round(WINDOW_S / shift_s), 2 * exported.min_frames)
    window_s = (exported.windows.num_frames if exported.windows else max_frames) * shift_s
    (tmp_path / "wav").mkdir()
    for length in LENGTHS:
        samples = speech(round(length * window_s * rate))
        soundfile.write(tmp_path / "wav" / f"{length}.wav", samples, rate, subtype="PCM_16")
    files = sorted((tmp_path / "wav").iterdir())
    embedder = Embedder.open(model, max_frames=max_frames)
    expected = [embedder.embed(file) for file in files]
    counts = [num_pieces(exported, front_end, file, max_frames) for file in files]
    assert counts[0] == 1 and counts[-1] >= 4

    infer = (program, "--model", model, "--wav_list", "wav", "--max_frames", f"{max_frames}", "--output", "out")
    done = subprocess.run(infer, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(EmbeddingStore.open(tmp_path / "out").embeddings, expected, exported)
    if exported.batch_size is None and exported.windows is not None:
        subprocess.run([*infer, "--batch_size=3", "--workers=2"], cwd=tmp_path, check=True, capture_output=True)
        check(EmbeddingStore.open(tmp_path / "out").embeddings, expected, exported)

    library = binding.Library(str(program.with_name("libmindvox.so")))
    by_library = binding.Embedder(library, str(model), max_frames=max_frames)
    check([by_library.embed_file(str(file)) for file in files], expected, exported)
    windows, hop = exported.windows, round(shift_s * rate)
    assert by_library.window_step_samples == (windows.step * hop if windows else 0)
    assert by_library.window_samples == (front_end.num_samples(windows.num_frames) if windows else 0)
    num_zeros = len(front_end.prepare(np.ones(rate, np.float32))) - rate
    least = front_end.num_samples(1 if windows else exported.min_frames) - num_zeros
    assert by_library.min_samples == max(1, least)
    by_library.close()


def num_pieces(exported: ExportedModel, front_end: FrontEnd, file: Path, max_frames: int) -> int:
    waveform = front_end.prepare(soundfile.read(file, dtype="float32")[0])
    return len(list(pieces_of_waveform(exported, front_end, waveform, max_frames)))


def check(found: Any, expected: list[np.ndarray], exported: ExportedModel) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert cosine(np.array(one), other) >= LEAST_COSINE
        np.testing.assert_allclose(one, other, rtol=0, atol=BOUNDS[exported.input_kind] * np.abs(other).max())


def settings_of(case: Case) -> dict[str, Any]:
    bins = TOY_BINS if case in TOYS else num_bins(case.model)
    if case.front_end == "samples":
        return {"peak": True, **case.settings}
    if case.front_end == "spectrogram":
        return {"n_fft": 2 * (bins - 1), "win_length_ms": 0.8, **case.settings}
    return {FRONT_ENDS.get(case.front_end).size_option: bins, **case.settings}


def exported_model(case: Case, folder: Path) -> Path:
    front_end = FRONT_ENDS.get(case.front_end)(**settings_of(case))
    keys = model_keys(case.model)
    if case in TOYS:
        keys = [f"--model.name={case.model}", f"--model.in_channels={front_end.size}", *case.keys]
    np.random.seed(0)
    settings = load_config(Config, ["--config_path=/dev/null", *keys]).model.to_dict()
    model = create_model(settings)
    checkpoint = checkpoint_path(folder, case.model, 1, 1)
    meta = {"model": settings, "front_end": front_end.to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    write_checkpoint(checkpoint, {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}, meta)
    words = ["--config_path=/dev/null", f"--exp_ckpt_file={checkpoint}", f"--file_name={folder / 'm'}"]
    words += ["--file_format=ONNX", "--length=0", "--device_target=CPU"]
    words += ["--input=waveform"] if case.is_inside and "--input=waveform" not in case.words else []
    words += [] if any(word.startswith("--batch_size") for word in case.words) else ["--batch_size=0"]
    return export(load_config(Config, [*words, *case.words]))
