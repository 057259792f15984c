"""Evaluate a checkpoint, from a configuration to the printed lines."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindvox.config import Config, require
from mindvox.data.front_ends import take_front_end
from mindvox.deploy.in_memory import onnx_engine
from mindvox.device import set_device
from mindvox.engines.engine import AUTO, Encode, library_name
from mindvox.errors import InputError
from mindvox.files import lock_folder, sha256_file
from mindvox.models import evaluation_weights, fewest_frames, take_settings, trained_model, windows_of
from mindvox.models.checkpoint import find_checkpoint, read_checkpoint
from mindvox.scoring.embeddings import cell_encoder
from mindvox.scoring.error_rates import Result
from mindvox.scoring.evaluate import evaluate
from mindvox.scoring.stores import FeatureStores
from mindvox.scoring.trial_list import TrialList, check_unseen_speakers

MINDSPORE = "mindspore"


def evaluate_checkpoint(config: Config) -> dict[str, Result]:
    """Embed evaluation store and cohort with the model at `model_path`, score the trial list, print and write results.

    Raises:
        UsageError: a required key is not set.
        InputError: model, stores or trial list are wrong or do not fit together.
    """
    started = time.monotonic()
    require(config, "eval_data_path", "model_path", "npy_file_path")
    target = set_device(config.device_target, config.device_id)
    checkpoint = find_checkpoint(config.model_path)
    arrays, meta = read_checkpoint(checkpoint)
    config = take_front_end(take_settings(config, meta["model"], checkpoint), meta["front_end"], checkpoint)

    stores = FeatureStores.open(config, config.eval_data_path, meta["front_end"])
    trials = TrialList.from_config(config, config.eval_data_path, stores.evaluation)
    if not config.allow_seen_speakers:
        check_unseen_speakers(trials, stores.evaluation, checkpoint, meta["speakers_sha256"])

    windows = windows_of(meta["model"])
    has_one_length = windows is not None or config.cut_wav or config.eval_crops > 0
    with lock_folder(config.npy_file_path):
        encode, engine = _encoder(config, checkpoint, meta, arrays, target, has_one_length)
        evaluation, cohort = stores.embed(
            config.npy_file_path,
            encode,
            model_sha256=sha256_file(checkpoint),
            engine=engine,
            cut_frames=config.cut_frames if config.cut_wav else None,
            batch_size=config.eval_batch_size,
            min_frames=fewest_frames(meta["model"]),
            windows=windows,
        )
        return evaluate(trials, evaluation, cohort, config, config.npy_file_path, stores.why_none, started)


def _encoder(
    config: Config,
    checkpoint: Path,
    meta: Mapping[str, Any],
    arrays: dict[str, np.ndarray],
    target: str,
    has_one_length: bool,
) -> tuple[Encode, str]:
    """Return the model of a checkpoint in the library that `eval_engine` selects, and that library's name.

    The model is built when it first embeds; existing embeddings are reused without it.
    """
    chosen = config.eval_engine
    if chosen == AUTO:
        chosen = "onnxruntime" if target == "CPU" else MINDSPORE

    @functools.cache
    def encoder() -> Encode:
        if chosen == MINDSPORE:
            model = trained_model(arrays, meta["model"], checkpoint, target, fold=True)
            fixed_batch = config.eval_batch_size if has_one_length else None
            return cell_encoder(model, meta["model"]["in_channels"], fixed_batch)
        try:
            return onnx_engine(meta["model"], evaluation_weights(arrays), meta["front_end"], chosen).encode
        except InputError as error:
            raise InputError(f"{checkpoint}: {error} Or embed in MindSpore: --eval_engine=mindspore") from None

    return lambda feats: encoder()(feats), library_name(chosen, target)
