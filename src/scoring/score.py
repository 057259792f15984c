"""Score a trial list from embeddings on disk, whoever made them: the second half of eval.py, for exported models.

`python -m src.scoring.score --eval_embeddings DIR --trials FILE [--cohort_embeddings DIR] [--out_folder DIR]
[--config_path FILE] [--key=value ...]`
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from src.config import Config, load_config
from src.errors import run
from src.scoring.embeddings import EmbeddingStore
from src.scoring.evaluate import TrialList, evaluate, why_no_cohort


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the lines of eval.py for two embedding stores, and write scores.tsv and results.json."""
    arguments, keys = _parser().parse_known_args(argv)
    config = load_config(Config, keys)
    evaluation = EmbeddingStore.open(arguments.eval_embeddings)
    cohort = EmbeddingStore.open(arguments.cohort_embeddings) if arguments.cohort_embeddings else None
    trials = TrialList.read(arguments.trials, config.trial_format, evaluation)
    folder = arguments.out_folder or arguments.eval_embeddings.parent
    why_none = why_no_cohort(config) or "no --cohort_embeddings were given."
    evaluate(trials, evaluation, cohort, config, folder, why_none)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m src.scoring.score",
        allow_abbrev=False,
        description="Score a trial list from stored embeddings.",
        epilog="Every key of ecapa-tdnn_config.yaml is accepted as well; `python eval.py --help` lists them.",
    )
    parser.add_argument("--eval_embeddings", type=Path, required=True, metavar="DIR", help="the trials' embeddings")
    parser.add_argument("--trials", type=Path, required=True, metavar="FILE", help="trial list")
    parser.add_argument(
        "--cohort_embeddings", type=Path, metavar="DIR", help="embeddings of the cohort, if there is one"
    )
    parser.add_argument(
        "--out_folder",
        type=Path,
        metavar="DIR",
        help="folder of scores.tsv and results.json (default: the parent of --eval_embeddings)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
