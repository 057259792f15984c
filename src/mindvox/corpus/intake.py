"""Turn recordings as people have them into everything that preparation, training and evaluation need.

Usage: mindvox intake SOURCE TARGET [--test_speakers N_OR_SHARE] [--layout NAME ...] [--max_trials N]

SOURCE is a folder of recordings, a Kaldi or lhotse folder, or a list of recordings. It is neither changed nor copied.
TARGET gets tables of training and test recordings with disjoint speakers, a trial list of the test recordings, and
YAML files for the commands that follow, which are printed.
"""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import yaml

from mindvox.arguments import Parser
from mindvox.corpus.audio import BadAudio, Skipped
from mindvox.corpus.layouts import Corpus, add_layout_arguments, open_corpus
from mindvox.corpus.make_trials import add_trial_arguments, check_max_trials, draw_trials
from mindvox.corpus.quality import KeepSpeech, Reading
from mindvox.corpus.table_io import describe_table, write_skipped
from mindvox.corpus.tree import Utterance, read_headers
from mindvox.corpus.trials import count_targets, write_trials
from mindvox.errors import InputError, UsageError, run
from mindvox.files import atomic_path, escape_path, lock_folder, user_path, user_text, write_csv

LIST_HEADER = ("id", "path", "speaker", "start", "stop")  # a Recording's attributes
TRAIN_LIST, TEST_LIST, TRIALS, SKIPPED = "train_list.csv", "test_list.csv", "trials.txt", "skipped.csv"
PREPARE_TRAIN, PREPARE_EVAL, TRAIN = "prepare_train.yaml", "prepare_eval.yaml", "train.yaml"
LARGEST_BATCH = 64
_NUM_THREADS = 8


class Split(NamedTuple):
    """Training and test recordings; no speaker is in both."""

    train: list[Utterance]
    test: list[Utterance]


def split_speakers(utterances: Sequence[Utterance], test_speakers: float, seed: int) -> Split:
    """Draw the test speakers.

    Args:
        utterances: utterances of all speakers.
        test_speakers: number of test speakers, a whole number of at least 2, or their share of all speakers, below 1.
        seed: random seed. Speakers with only one recording are not drawn, because they give no target trial.

    Raises:
        InputError: there are too few speakers.
    """
    counts = Counter(utterance.spk_id for utterance in utterances)
    candidates = sorted(spk_id for spk_id, count in counts.items() if count > 1)
    wanted = round(test_speakers * len(counts)) if test_speakers < 1 else int(test_speakers)
    wanted = max(wanted, 2)
    if wanted > len(candidates) or wanted + 2 > len(counts):
        raise InputError(
            f"--test_speakers: {wanted} of {len(counts)} speakers cannot be test speakers: {len(candidates)} speakers "
            "have two usable recordings, and at least 2 others must be left to train on. Ask for fewer, or add "
            "recordings."
        )
    order = np.random.default_rng(seed).permutation(len(candidates))
    chosen = {candidates[index] for index in order[:wanted]}
    return Split(
        [utterance for utterance in utterances if utterance.spk_id not in chosen],
        [utterance for utterance in utterances if utterance.spk_id in chosen],
    )


def find_usable(
    corpus: Corpus, utterances: Sequence[Utterance], reading: Reading
) -> tuple[list[Utterance], list[Skipped]]:
    """Return the utterances that preparation accepts, and the others; a trial list must have no unusable one."""
    with ThreadPool(_NUM_THREADS) as pool:
        reasons = pool.map(lambda utterance: _why_unusable(corpus, utterance, reading), utterances)
    found = list(zip(utterances, reasons, strict=True))
    return [utterance for utterance, reason in found if not reason], [
        Skipped(utterance.utt_id, reason) for utterance, reason in found if reason
    ]


def _why_unusable(corpus: Corpus, utterance: Utterance, reading: Reading) -> str:
    try:
        reading.read(Path(corpus.folder, utterance.wav), utterance.start, utterance.stop)
    except BadAudio as error:
        return error.reason
    return ""


def take_in(
    corpus: Corpus,
    target: Path,
    test_speakers: float,
    max_trials: int,
    seed: int,
    keep_speech: Optional[KeepSpeech] = None,
) -> None:
    """Write TARGET's files, and print their content.

    Args:
        keep_speech: the preparations cut recordings to their speech (`do_vad`), and recordings of the test without any
            are left out; None: neither.

    Raises:
        InputError: TARGET already has one of the files, or the corpus gives no split or no trials.
    """
    names = (TRAIN_LIST, TEST_LIST, TRIALS, SKIPPED, PREPARE_TRAIN, PREPARE_EVAL, TRAIN)
    existing = [name for name in names if Path(target, name).exists()]
    if existing:
        raise InputError(f"{target}: has {existing[0]} already. Name a new folder, or remove that one.")
    utterances, unreadable = read_headers(corpus.folder, corpus.recordings)
    if not utterances:
        reason = f"{unreadable[0].utt_id} ({unreadable[0].reason})"
        raise InputError(f"{corpus.folder}: none of {len(unreadable)} recordings can be read, such as {reason}.")
    split = split_speakers(utterances, test_speakers, seed)
    test, unusable = find_usable(corpus, split.test, Reading(keep_speech=keep_speech))
    by_id = corpus.by_id
    trials = draw_trials(corpus.folder, [by_id[utterance.utt_id] for utterance in test], max_trials, seed)
    skipped = [*corpus.skipped, *unreadable, *unusable]
    write_skipped(target / SKIPPED, [*skipped, *corpus.ignored])
    for name, rows in ((TRAIN_LIST, split.train), (TEST_LIST, test)):
        write_csv(target / name, LIST_HEADER, (by_id[utterance.utt_id] for utterance in rows))
        describe_table(target / name, rows)
    write_trials(target / TRIALS, trials)
    print(f"{target / TRIALS}: {len(trials)} trials, {count_targets(trials)} of them target")
    if skipped:
        first = f"{skipped[0].utt_id} ({skipped[0].reason})"
        print(f"left out: {len(skipped)} recordings, listed in {target / SKIPPED}, such as {first}")
    settings = _configurations(corpus.folder, target, len(split.train), do_vad=keep_speech is not None)
    for name, (comment, values) in settings.items():
        _write_yaml(target / name, comment, values)


def _configurations(
    folder: str, target: Path, num_train: int, do_vad: bool
) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the comment and the keys of each YAML file; missing keys keep their defaults."""
    source: dict[str, Any] = {"data_folder": folder, "layout": "table", **({"do_vad": True} if do_vad else {})}
    tables, features = target / "tables", target / "features"
    quoted = {name: shlex.quote(str(target / name)) for name in (PREPARE_TRAIN, PREPARE_EVAL, TRAIN)}
    return {
        PREPARE_TRAIN: (
            f"Training data: python train_data_prepare.py {quoted[PREPARE_TRAIN]} [--key=value ...]\n"
            "The list has only training speakers, so that no verification_file is needed to exclude others.",
            {
                **source,
                "data_list": str(target / TRAIN_LIST),
                "output_folder": str(tables / "train"),
                "feat_folder": str(features / "train"),
                "whole_utterance": True,
            },
        ),
        PREPARE_EVAL: (
            f"Evaluation data: python eval_data_prepare.py {quoted[PREPARE_EVAL]} [--key=value ...]",
            {
                **source,
                "data_list": str(target / TEST_LIST),
                "verification_file": str(target / TRIALS),
                "output_folder": str(tables / "eval"),
                "feat_eval_folder": str(features / "eval"),
                "feat_norm_folder": str(features / "norm"),
                "train_annotation": str(tables / "train" / "save" / "train.csv"),
                "train_data_folder": folder,
            },
        ),
        TRAIN: (
            f"Training and evaluation: python train.py --config_path={quoted[TRAIN]} [--key=value ...]\n"
            "A start for your own corpus; docs/recipes.md has recipes for large ones.",
            {
                "train_data_path": str(features / "train"),
                "ckpt_save_dir": str(target / "ckpt"),
                "schedule": "cosine",
                "warmup_epochs": 1.0,
                "max_lrate": 0.001,
                "num_epochs": 30,
                "minibatch_size": max(2, min(LARGEST_BATCH, num_train)),
                "eval_data_path": str(features / "eval"),
                "veri_file_path": TRIALS,
                "train_norm_path": str(features / "norm"),
                "npy_file_path": str(target / "npys"),
                "model_path": str(target / "ckpt"),
            },
        ),
    }


def _write_yaml(path: Path, comment: str, values: Mapping[str, Any]) -> None:
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    with atomic_path(path) as temporary:
        values = {key: escape_path(value) if isinstance(value, str) else value for key, value in values.items()}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)
        temporary.write_text(f"{lines}\n{text}", encoding="utf-8")


def _test_speakers(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (0 < value < 1 or (value >= 2 and value == int(value))):
        raise argparse.ArgumentTypeError(f"expected a number of at least 2, or a share below 1, got {text!r}")
    return value


def main(argv: Optional[Sequence[str]] = None, open_keep_speech: Optional[Callable[[], KeepSpeech]] = None) -> int:
    """Take in recordings: split the speakers, draw trials, write tables and YAML files, print the next commands.

    Args:
        argv: the arguments; None: those of the process.
        open_keep_speech: returns the function that `--do_vad` cuts recordings with; None: there is none.
    """
    description = (main.__doc__ or "").splitlines()[0]
    parser = Parser(prog="mindvox intake", description=description)
    parser.add_argument("source", type=user_path, metavar="SOURCE", help="folder of the recordings, or a list of them")
    parser.add_argument("target", type=user_path, metavar="TARGET", help="folder for the written files")
    parser.add_argument(
        "--test_speakers",
        type=_test_speakers,
        default=0.2,
        metavar="N_OR_SHARE",
        help="number of test speakers, or their share of all speakers (%(default)s)",
    )
    parser.add_argument(
        "--data_folder", type=user_text, default="", metavar="FOLDER", help="base folder of the paths in a list"
    )
    parser.add_argument(
        "--do_vad",
        action="store_true",
        help="let the preparations cut recordings to their speech; those of the test without any are left out",
    )
    add_trial_arguments(parser)
    add_layout_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.do_vad and open_keep_speech is None:
        raise UsageError("--do_vad: use `mindvox intake`, which has a speech detector.")
    keep_speech = open_keep_speech() if arguments.do_vad and open_keep_speech else None
    check_max_trials(arguments.max_trials)
    corpus = _open(arguments)
    if corpus.layout == "cnceleb":
        raise InputError(
            f"{arguments.source}: CN-Celeb has its own test speakers and trials. Prepare it with layout: cnceleb, "
            "trial_format: cnceleb, its eval/lists/trials.lst and enroll.map (docs/data.md); or take in its folder "
            "data only."
        )
    with lock_folder(arguments.target):
        take_in(corpus, arguments.target, arguments.test_speakers, arguments.max_trials, arguments.seed, keep_speech)
    print("next:")
    for command in (
        ["python", "train_data_prepare.py", arguments.target / PREPARE_TRAIN],
        ["python", "eval_data_prepare.py", arguments.target / PREPARE_EVAL],
        ["python", "train.py", f"--config_path={arguments.target / TRAIN}"],
        ["python", "eval.py", f"--config_path={arguments.target / TRAIN}"],
    ):
        print(f"  {shlex.join(map(str, command))}")
    return 0


def _open(arguments: argparse.Namespace) -> Corpus:
    """Open SOURCE: a folder of recordings, or a list with the recordings beside it or in --data_folder."""
    source, data_list = arguments.source, arguments.data_list
    if source.is_file():
        if data_list:
            raise UsageError(f"--data_list: SOURCE is a list already, {source}. Give one of them.")
        source, data_list = source.parent, source
    elif arguments.data_folder and not data_list:
        data_list = source
    return open_corpus(arguments.data_folder or source, arguments.layout, arguments.speaker_pattern, data_list)


if __name__ == "__main__":
    sys.exit(run(main))
