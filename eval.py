"""Evaluate a checkpoint on a trial list: `python eval.py [--config_path FILE] [--key=value ...]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import mindspore as ms

from src.config import Config, load_config, require
from src.corpus.trials import find_trial_list
from src.data.eval_store import EvalStore
from src.device import set_device
from src.errors import run
from src.files import sha256_file
from src.frontend.fbank import check_front_end
from src.models import load_model
from src.scoring.embeddings import EmbeddingStore, Identity, cell_encoder, load_or_extract
from src.scoring.evaluate import TrialList, check_disjoint, check_unseen_speakers, evaluate, why_no_cohort


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print EER and minDCF of the plain, the mean-subtracted and the normalised cosine."""
    config = load_config(Config, argv)
    require(config, "eval_data_path", "model_path")
    target = set_device(config.device_target, config.device_id)
    model, meta = load_model(config.model_path, target)

    store = EvalStore.open(config.eval_data_path)
    check_front_end(meta["front_end"], store.front_end, config.eval_data_path)
    trials = TrialList.read(find_trial_list(config.veri_file_path, config.eval_data_path), config.trial_format, store)
    if not config.allow_seen_speakers:
        check_unseen_speakers(trials, store, config.model_path, meta["speakers_sha256"])
    why_none = why_no_cohort(config)
    cohort_store = None if why_none else EvalStore.open(config.train_norm_path)
    if cohort_store is not None:
        check_front_end(meta["front_end"], cohort_store.front_end, config.train_norm_path)
        check_disjoint(store, cohort_store)  # before hours of extraction, not after

    cut_frames = config.cut_frames if config.cut_wav else None
    fixed_batch = config.eval_batch_size if config.cut_wav else None
    encode = cell_encoder(model, meta["model"]["in_channels"], fixed_batch)
    model_sha256, engine = sha256_file(config.model_path), f"mindspore {ms.__version__} {target}"
    folder = Path(config.npy_file_path)

    def embed(features: EvalStore, name: str) -> EmbeddingStore:
        identity = Identity(model_sha256, features.sha256, engine, cut_frames, features.front_end)
        return load_or_extract(folder / name, identity, features, encode, config.eval_batch_size)

    evaluation = embed(store, "eval")
    cohort = embed(cohort_store, "norm") if cohort_store is not None else None
    evaluate(trials, evaluation, cohort, config, folder, why_none)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
