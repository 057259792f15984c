"""Time SpeechBrain's loop over trials with s-norm: python scoring_peer.py RECIPE NUM_COHORT COHORT_SIZE NUM_TRIALS.

RECIPE is its speaker_verification_cosine.py, of which the function get_verification_scores is run as it stands. Its
first trial is not counted. The embeddings are in memory; reading and computing them is no part of it.
"""

import ast
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch


def main(recipe: str, num_cohort: int, cohort_size: int, num_trials: int) -> None:
    tree = ast.parse(Path(recipe).read_text())
    loop = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "get_verification_scores"]
    embeddings = torch.randn(num_cohort, 1, 192)
    with tempfile.TemporaryDirectory() as folder:
        names = {
            "os": os,
            "torch": torch,
            "params": {"output_folder": folder, "score_norm": "s-norm", "cohort_size": cohort_size},
            "train_dict": dict(enumerate(embeddings)),
            "enrol_dict": {"a": torch.randn(1, 192)},
            "test_dict": {"b": torch.randn(1, 192)},
        }
        exec(compile(ast.Module(loop, []), recipe, "exec"), names)  # the peer's own code, named by the caller
        times = []
        for count in (1, 1 + num_trials):
            start = time.perf_counter()
            names["get_verification_scores"](["1 a b"] * count)
            times.append(time.perf_counter() - start)
    print(json.dumps({"seconds_per_trial": (times[1] - times[0]) / num_trials}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
