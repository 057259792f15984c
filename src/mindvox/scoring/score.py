"""Score a trial list from stored embeddings: the second half of eval.py, also for exported models.

`mindvox score RESULT DATA [--config_path FILE] [--key=value ...]`
"""

import sys
import time
from collections.abc import Sequence
from typing import Optional

from mindvox.config import load_paths_and_config
from mindvox.errors import run
from mindvox.files import lock_folder
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.evaluate import evaluate
from mindvox.scoring.options import why_no_cohort
from mindvox.scoring.trial_list import TrialList


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the lines of eval.py for the embedding stores in RESULT, and write scores.tsv and results.json there."""
    arguments, config = load_paths_and_config(
        argv,
        "mindvox score",
        "Score a trial list from stored embeddings.",
        result="folder with the embedding stores eval and norm",
        data="evaluation store, in which the trial list is looked for too",
    )
    started = time.monotonic()
    with lock_folder(arguments.result):
        evaluation = EmbeddingStore.open(arguments.result / "eval")
        trials = TrialList.from_config(config, arguments.data, evaluation)
        why_none = why_no_cohort(config)
        cohort = None if why_none else EmbeddingStore.open(arguments.result / "norm")
        evaluate(trials, evaluation, cohort, config, arguments.result, why_none, started)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
