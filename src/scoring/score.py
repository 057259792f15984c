"""Score a trial list from embeddings on disk, whoever made them: the second half of eval.py, for exported models.

`python -m src.scoring.score RESULT DATA [--config_path FILE] [--key=value ...]`
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from src.config import Config, load_config
from src.corpus.trials import find_trial_list
from src.errors import run
from src.scoring.embeddings import EmbeddingStore
from src.scoring.evaluate import TrialList, evaluate, why_no_cohort


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the lines of eval.py for the embedding stores in RESULT, and write scores.tsv and results.json there."""
    words = sys.argv[1:] if argv is None else argv
    arguments, config = _parser().parse_args(words[:2]), load_config(Config, words[2:])
    evaluation = EmbeddingStore.open(arguments.result / "eval")
    trials = TrialList.read(find_trial_list(config.veri_file_path, arguments.data), config.trial_format, evaluation)
    why_none = why_no_cohort(config)
    cohort = None if why_none else EmbeddingStore.open(arguments.result / "norm")
    evaluate(trials, evaluation, cohort, config, arguments.result, why_none)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m src.scoring.score",
        allow_abbrev=False,
        description="Score a trial list from stored embeddings.",
        epilog="Every key of ecapa-tdnn_config.yaml is accepted as well; `python eval.py --help` lists them.",
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help="folder with the embedding stores eval and norm")
    parser.add_argument("data", type=Path, metavar="DATA", help="evaluation store, where the trial list is looked for")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
