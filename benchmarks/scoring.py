"""Time and memory of scoring VoxCeleb1-E and -O from embeddings on disk, with adaptive s-norm.

`python benchmarks/scoring.py [--scale 1] [--repeats 3] [--peer_python P --peer_recipe FILE]`

The embeddings are synthetic, the sizes are the real ones. Each run is a process of its own. With --peer_recipe
SpeechBrain's loop over trials (get_verification_scores of its recipe speaker_verification_cosine.py) is timed on a
few trials of the same sizes and multiplied by their number.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.error_rates import measure
from mindvox.scoring.normalisation import (
    cohort_statistics,
    map_blocks,
    mean_embedding,
    product_tiles,
    speaker_means,
    unit_length,
)
from mindvox.scoring.options import ScoreOptions
from mindvox.scoring.trial_list import TrialList
from mindvox.scoring.trial_scores import score_trials

SIZE = 192


class Case(NamedTuple):
    utterances: int
    speakers: int
    trials: int
    cohort_utterances: int
    cohort_speakers: int
    cohort_over: str
    cohort_size: int


CASES = {
    "Vox1-E": Case(145_160, 1_251, 579_818, 4 * 5_994, 5_994, "speaker", 300),
    "Vox1-O": Case(4_708, 40, 37_611, 400_000, 7_205, "utterance", 20_000),
}


def scaled(case: Case, scale: float) -> Case:
    """Return a smaller case, for a try of the program."""
    numbers = [max(2, round(value * scale)) if isinstance(value, int) else value for value in case]
    return Case(*numbers)


def make(folder: Path, case: Case) -> None:
    """Write evaluation store, cohort and trial list."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=SIZE)
    save_store(folder / "eval", "id", case.utterances, case.speakers, common, rng)
    save_store(folder / "norm", "co", case.cohort_utterances, case.cohort_speakers, common, rng)
    drawn = round(1.1 * case.trials)  # a few pairs come twice
    enrol = rng.permutation(np.resize(np.arange(case.utterances), drawn))
    # An utterance of the same speaker stands a whole number of rounds later.
    rounds = rng.integers(1, case.utterances // case.speakers, drawn)
    apart = np.where(rng.random(drawn) < 0.5, rounds * case.speakers, rng.integers(1, case.utterances, drawn))
    test = (enrol + apart) % case.utterances
    pairs = dict.fromkeys(zip(enrol.tolist(), test.tolist(), strict=True))
    lines = {}
    for a, b in list(pairs)[: case.trials]:
        names = utt_id("id", a, case.speakers), utt_id("id", b, case.speakers)
        lines[names] = int(a % case.speakers == b % case.speakers)
    (folder / "trials").write_text("".join(f"{truth} {a} {b}\n" for (a, b), truth in lines.items()))


def utt_id(prefix: str, row: int, num_speakers: int) -> str:
    return f"{prefix}{row % num_speakers:05d}/abcdefghijk/{row // num_speakers:05d}.wav"


def save_store(folder: Path, prefix: str, rows: int, speakers: int, common: np.ndarray, rng: Any) -> None:
    timbres = rng.normal(size=(speakers, SIZE)).astype(np.float32) + common.astype(np.float32)
    embeddings = rng.standard_normal((rows, SIZE), dtype=np.float32)
    embeddings += timbres[np.arange(rows) % speakers]
    names = [utt_id(prefix, row, speakers) for row in range(rows)]
    EmbeddingStore(names, [name.split("/")[0] for name in names], embeddings, Identity("m", "s", "e", None, {})).save(
        folder
    )


def run_case(folder: Path, case: Case) -> dict[str, float]:
    """Score as eval.py does when the embeddings are there, then time its parts."""
    from benchmarks.workers import peak_memory_gib

    seconds: dict[str, float] = {}
    evaluation, cohort = timed(seconds, "open", lambda: [EmbeddingStore.open(folder / x) for x in ("eval", "norm")])
    trials = timed(
        seconds, "trial list", lambda: TrialList.read(folder / "trials", "voxceleb", evaluation, repeated_trials="keep")
    )
    options = ScoreOptions(cohort_over=case.cohort_over, cohort_size=case.cohort_size)
    scores = timed(seconds, "scoring", lambda: score_trials(trials, evaluation, cohort, options))
    timed(seconds, "error rates", lambda: [measure(values, trials.is_target) for values in scores.values()])
    result = {"num_trials": len(trials.trials), "memory_gib": peak_memory_gib()}

    mean = mean_embedding(cohort.embeddings)
    members = cohort.embeddings
    if case.cohort_over == "speaker":
        _, members = speaker_means(cohort.embeddings, cohort.spk_ids)
    cohort_rows = unit_length(members, ["c"] * len(members), mean)
    rows = unit_length(evaluation.embeddings[trials.rows()], ["u"] * len(trials.rows()), mean)
    names = ["u"] * len(rows)
    timed(seconds, "statistics", lambda: cohort_statistics(rows, cohort_rows, names, case.cohort_size))

    def multiply(block: np.ndarray) -> int:
        return sum(len(tile) for tile in product_tiles(block, cohort_rows))

    timed(seconds, "product", lambda: map_blocks(multiply, rows, len(cohort_rows)))
    result["product_gflops"] = 2 * len(rows) * len(cohort_rows) * SIZE / seconds["product"] / 1e9
    result["peak_gflops"] = peak_gflops()
    return result | {f"{name} s": value for name, value in seconds.items()}


def timed(seconds: dict[str, float], name: str, function: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = function()
    seconds[name] = time.perf_counter() - start
    return result


def peak_gflops(size: int = 4096) -> float:
    """Return the best of five products of large square matrices, all threads."""
    a, b = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    seconds: dict[str, float] = {}
    return max(2 * size**3 / (timed(seconds, "x", lambda: a @ b), seconds["x"])[1] / 1e9 for _ in range(5))


def call(command: list[str]) -> dict[str, Any]:
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers, for a try")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each case; medians are printed")
    parser.add_argument("--case", choices=CASES, action="append", help="this one alone")
    parser.add_argument("--folder", type=Path, help="where the synthetic stores are put (default: a temporary folder)")
    parser.add_argument("--peer_python", help="interpreter that has torch")
    parser.add_argument("--peer_recipe", type=Path, help="SpeechBrain's speaker_verification_cosine.py")
    parser.add_argument("--peer_trials", type=int, default=5, help="trials that the peer scores")
    parser.add_argument("--child", choices=("make", "run"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name = arguments.case[0]
        answer = {"make": make, "run": run_case}[arguments.child](
            arguments.folder, scaled(CASES[name], arguments.scale)
        )
        print(json.dumps(answer))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report(arguments, Path(folder))


def report(arguments: argparse.Namespace, folder: Path) -> None:
    """Run everything and print one table."""
    rows = []
    for name in arguments.case or CASES:
        base = [
            sys.executable,
            __file__,
            "--case",
            name,
            "--scale",
            str(arguments.scale),
            "--folder",
            str(folder / name),
        ]
        call([*base, "--child", "make"])
        runs = [call([*base, "--child", "run"]) for _ in range(arguments.repeats)]
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        row["share of peak"] = row["product_gflops"] / row["peak_gflops"]
        if arguments.peer_recipe:
            row |= peer(arguments, scaled(CASES[name], arguments.scale), row["num_trials"])
        rows.append((name, row))
    print(f"| median of {arguments.repeats} | " + " | ".join(name for name, _ in rows) + " |")
    print("|---" * (len(rows) + 1) + "|")
    for key in rows[0][1]:
        print(f"| {key.replace('_', ' ')} | " + " | ".join(f"{row[key]:.6g}" for _, row in rows) + " |")


def peer(arguments: argparse.Namespace, case: Case, num_trials: float) -> dict[str, float]:
    script = Path(__file__).with_name("scoring_peer.py")
    num_cohort = case.cohort_speakers if case.cohort_over == "speaker" else case.cohort_utterances
    numbers = [arguments.peer_recipe, num_cohort, case.cohort_size, arguments.peer_trials]
    per_trial = call([arguments.peer_python, str(script), *map(str, numbers)])["seconds_per_trial"]
    return {
        "SpeechBrain, s a trial": per_trial,
        "SpeechBrain, extrapolated to all trials, h": per_trial * num_trials / 3600,
    }


if __name__ == "__main__":
    main()
