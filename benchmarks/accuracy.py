"""Error rates after the same minutes of training: ours beside SpeechBrain's ECAPA-TDNN on PyTorch, seed by seed.

`python benchmarks/accuracy.py CORPUS --peer_python PYTHON --peer_script FILE [--minutes 10] [--seeds 0 1 2]
[--out accuracy] [--plot FILE]`

CORPUS holds `voxceleb12/wav` and `voxceleb1/{wav,veri_test2.txt}`, PYTHON belongs to an environment with torch and
SpeechBrain, FILE is peer_speechbrain_train.py. Both train one after the other on an otherwise idle machine, with the
settings of hparams/train_mini_librispeech.yaml, from nothing to the last step, and are tested on the trial list by
plain cosines, at full length and on the first 1.5 s. What is finished stays in the folder `--out`: the same command
goes on from there. `--plot` draws the learning curves.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "hparams" / "train_mini_librispeech.yaml"
CUT_FRAMES = 151  # 1.5 s
OUR_LINE = re.compile(r"iter-\d+/\d+, aver loss:(\S+), cur loss:\S+, acc_aver:([\d.]+)")
PEER_LINE = re.compile(r"^ *(\d+)s step (\d+) loss (\S+) acc (\S+)", re.MULTILINE)
PEER_EER = re.compile(r"EER (\S+) full, (\S+) at 1.5 s")


def main() -> int:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--peer_script", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("accuracy"))
    parser.add_argument("--plot", type=Path, help="PNG of the learning curves (extra plots)")
    given = parser.parse_args()
    out, corpus = given.out.resolve(), given.corpus.resolve()
    prepare(corpus, out)
    results = []
    for seed in given.seeds:
        results.append(once(out / f"ours_{seed}.json", lambda seed=seed: train_ours(out, seed, given.minutes)))
        results.append(once(out / f"peer_{seed}.json", lambda seed=seed: train_peer(given, corpus, seed)))
    print_table(results)
    if given.plot:
        plot(results, given.plot)
    return 0


def once(path: Path, measure) -> dict:
    """Return what an earlier call wrote to `path`, or measure and write it."""
    if not path.exists():
        result = measure()
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def command(*words: object, **environment: str) -> str:
    """Run a command, show and return what it prints."""
    print("+", *words, file=sys.stderr, flush=True)
    process = subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        print(line, end="", file=sys.stderr, flush=True)
    if process.wait() != 0:
        raise SystemExit(f"{words[0]} failed with exit code {process.returncode}")
    return "".join(lines)


def prepare(corpus: Path, out: Path) -> None:
    """Make the stores: whole utterances to train on, and those of the trial list."""
    out.mkdir(parents=True, exist_ok=True)
    train, test, tables = corpus / "voxceleb12", corpus / "voxceleb1", f"--output_folder={out / 'tables'}"
    if not (out / "train" / "manifest.json").exists():
        options = (f"--data_folder={train}", f"--feat_folder={out / 'train'}", "--whole_utterance", tables)
        command(sys.executable, ROOT / "train_data_prepare.py", ROOT / "hparams" / "prepare_train.yaml", *options)
    if not (out / "eval" / "meta.json").exists():
        stores = (f"--feat_eval_folder={out / 'eval'}", f"--feat_norm_folder={out / 'norm'}")
        cohort = (f"--train_annotation={out / 'tables' / 'save' / 'train.csv'}", f"--train_data_folder={train}")
        options = (f"--data_folder={test}", "--verification_file=veri_test2.txt", *stores, *cohort, tables)
        command(sys.executable, ROOT / "eval_data_prepare.py", ROOT / "hparams" / "prepare_eval.yaml", *options)


def train_ours(out: Path, seed: int, minutes: float) -> dict:
    """Train and evaluate this project."""
    checkpoints = out / f"ckpt_{seed}"
    paths = (f"--config_path={RECIPE}", f"--train_data_path={out / 'train'}", f"--ckpt_save_dir={checkpoints}")
    options = (f"--seed={seed}", f"--max_train_minutes={minutes:g}", "--log_steps=20")
    said = command(sys.executable, ROOT / "train.py", *paths, *options)
    steps = int(re.search(r"trained (\d+) steps", said)[1])
    lines = [line for line in said.splitlines() if OUR_LINE.search(line)]
    curve = [(60 * minutes - seconds_left(line), *map(float, OUR_LINE.search(line).groups())) for line in lines]
    test = (f"--config_path={RECIPE}", f"--model_path={checkpoints}", f"--eval_data_path={out / 'eval'}")
    rates = []
    for cut in ((), ("--cut_wav", f"--cut_frames={CUT_FRAMES}")):
        options = (*test, *cut, "--train_norm_path=", f"--npy_file_path={out / 'npys'}")
        rates.append(float(re.search(r"eer baseline:(\S+)", command(sys.executable, ROOT / "eval.py", *options))[1]))
    return {"what": "ours", "seed": seed, "steps": steps, "full": rates[0], "cut": rates[1], "curve": curve}


def seconds_left(line: str) -> float:
    """Read the time left off a line of the training log."""
    hours, minutes, seconds = re.search(r"left:(\d+):(\d+):(\d+)", line).groups()
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)


def train_peer(given: argparse.Namespace, corpus: Path, seed: int) -> dict:
    """Train and evaluate SpeechBrain."""
    sizes = (256, 32, 2.0, 1e-3)
    said = command(given.peer_python, given.peer_script, corpus, 60 * given.minutes, *sizes, SEED=str(seed))
    curve = [(float(s), float(loss), float(accuracy)) for s, _, loss, accuracy in PEER_LINE.findall(said)]
    full, cut = map(float, PEER_EER.search(said).groups())
    steps = int(re.search(r"^steps (\d+)", said, re.MULTILINE)[1])
    return {"what": "SpeechBrain", "seed": seed, "steps": steps, "full": full, "cut": cut, "curve": curve}


def print_table(results: list[dict]) -> None:
    """Print every run, and the medians."""
    print("| | seed | steps | EER, full length | EER, first 1.5 s |\n|---|---|---|---|---|")
    for what in ("ours", "SpeechBrain"):
        runs = [result for result in results if result["what"] == what]
        for run in runs:
            print(f"| {what} | {run['seed']} | {run['steps']} | {100 * run['full']:.2f} % | {100 * run['cut']:.2f} % |")
        steps, full, cut = (statistics.median(run[key] for run in runs) for key in ("steps", "full", "cut"))
        print(f"| {what} | median | {steps:g} | {100 * full:.2f} % | {100 * cut:.2f} % |")


def plot(results: list[dict], path: Path) -> None:
    """Draw loss and training accuracy over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for result in results:
        seconds, losses, accuracies = zip(*result["curve"], strict=True)
        colour = "tab:blue" if result["what"] == "ours" else "tab:orange"
        label = result["what"] if result["seed"] == results[0]["seed"] else None
        axes[0].plot([s / 60 for s in seconds], losses, color=colour, label=label, alpha=0.8)
        axes[1].plot([s / 60 for s in seconds], accuracies, color=colour, alpha=0.8)
    for axis, name in zip(axes, ("loss", "training accuracy"), strict=True):
        axis.set_xlabel("minutes")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
