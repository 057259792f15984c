"""8-bit models: post-training quantisation with NNCF, for OpenVINO.

With CAM++ it loses less than ONNX Runtime's quantisation, whose embeddings are useless; benchmarks/README.md compares
both.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mindvox.data.eval_store import EvalStore
from mindvox.engines.engine import require_library
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.frontend import frames, front_end_of
from mindvox.progress import quantity

CALIBRATION_FRAMES = 300
MOST_TESTED = 64
SEED = 0


class Utterances(NamedTuple):
    """Finished features of utterances, each (1, T, F): those for the ranges of values, and others for the test."""

    calibration: list[np.ndarray]
    others: list[np.ndarray]


def read_utterances(store: EvalStore, exported: ExportedModel, num_utterances: int) -> Utterances:
    """Draw utterances for calibration from a store, and up to MOST_TESTED others for a test.

    Each is cut to the model's length, else to CALIBRATION_FRAMES; shorter ones are repeated.

    Raises:
        InputError: the store has too few utterances.
    """
    rows = np.random.default_rng(SEED).permutation(len(store))
    if len(rows) < num_utterances + 1:
        raise InputError(
            f"{store.folder}: has {quantity(len(rows), 'utterance')}, calibration_utterances is {num_utterances} and "
            "the test needs at least one other. Give a larger store, or a smaller number."
        )
    front_end, length = front_end_of(store.front_end), exported.num_frames or CALIBRATION_FRAMES
    cut = [
        front_end.finish(frames.cut_frames(store.feats(int(row)), length))[None].astype(np.float32)
        for row in rows[: num_utterances + MOST_TESTED]
    ]
    return Utterances(cut[:num_utterances], cut[num_utterances:])


def quantise_ir(path: Path, exported: ExportedModel, calibration: Sequence[np.ndarray]) -> None:
    """Replace an IR by its quantised form.

    Args:
        path: the IR, with `.bin` beside it.
        exported: its description.
        calibration: inputs whose values determine the ranges.

    Raises:
        InputError: NNCF is not installed.
    """
    openvino, nncf = require_library("openvino", "precision=int8"), _nncf()
    from mindvox.engines.openvino_engine import RT_INFO, openvino_core  # imported here: needs an extra

    model = openvino_core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
    size = exported.batch_size or 1
    batches = [np.repeat(feats, size, axis=0) for feats in calibration]
    quantised = nncf.quantize(
        model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches)
    )
    for key, value in exported.metadata().items():
        quantised.set_rt_info(value, [RT_INFO, key])
    openvino.save_model(quantised, path, compress_to_fp16=False)


def _nncf() -> Any:
    os.environ.setdefault("NNCF_CI", "1")  # otherwise it sends usage statistics
    try:
        import nncf
    except ImportError as error:
        raise InputError(f"precision=int8 needs NNCF ({error}): pip install -e '.[int8]'") from None
    nncf.set_log_level(40)  # logging.ERROR: its warnings concern its internals
    return nncf
