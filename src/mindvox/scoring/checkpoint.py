"""Evaluation of a checkpoint, from a configuration to the printed lines."""

import time

import mindspore as ms

from mindvox.config import Config, require
from mindvox.data.front_ends import take_front_end
from mindvox.device import set_device
from mindvox.files import lock_folder, sha256_file
from mindvox.models import fewest_frames, load_model, take_settings, windows_of
from mindvox.models.checkpoint import find_checkpoint
from mindvox.scoring.embeddings import cell_encoder
from mindvox.scoring.error_rates import Result
from mindvox.scoring.evaluate import evaluate
from mindvox.scoring.stores import FeatureStores
from mindvox.scoring.trial_list import TrialList, check_unseen_speakers


def evaluate_checkpoint(config: Config) -> dict[str, Result]:
    """Embed evaluation store and cohort with the model at `model_path`, score the trial list, print and write results.

    Raises:
        UsageError: a needed key is not set.
        InputError: model, stores or trial list are wrong or do not fit together.
    """
    started = time.monotonic()
    require(config, "eval_data_path", "model_path", "npy_file_path")
    target = set_device(config.device_target, config.device_id)
    checkpoint = find_checkpoint(config.model_path)
    model, meta = load_model(checkpoint, target, fold=True)
    config = take_front_end(take_settings(config, meta["model"], checkpoint), meta["front_end"], checkpoint)

    stores = FeatureStores.open(config, config.eval_data_path, meta["front_end"])
    trials = TrialList.from_config(config, config.eval_data_path, stores.evaluation)
    if not config.allow_seen_speakers:
        check_unseen_speakers(trials, stores.evaluation, checkpoint, meta["speakers_sha256"])

    windows = windows_of(meta["model"])
    has_one_length = windows is not None or config.cut_wav or config.eval_crops > 0
    with lock_folder(config.npy_file_path):
        evaluation, cohort = stores.embed(
            config.npy_file_path,
            cell_encoder(model, meta["model"]["in_channels"], config.eval_batch_size if has_one_length else None),
            model_sha256=sha256_file(checkpoint),
            engine=f"mindspore {ms.__version__} {target}",
            cut_frames=config.cut_frames if config.cut_wav else None,
            batch_size=config.eval_batch_size,
            min_frames=fewest_frames(meta["model"]),
            windows=windows,
        )
        return evaluate(trials, evaluation, cohort, config, config.npy_file_path, stores.why_none, started)
