"""Draw a trial list for recordings that have none, or pair each recording of a list with each of another.

Usage: mindvox make-trials DATA_FOLDER LIST [--max_trials N] [--seed N] [--layout NAME ...]
       mindvox make-trials DATA_FOLDER LIST --enrol_list FILE --test_list FILE
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import combinations, groupby
from typing import Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.corpus.layouts import add_layout_arguments, open_corpus
from mindvox.corpus.tree import Recording
from mindvox.corpus.trials import Trial, count_targets, speaker_of, write_trials
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, lock_output, user_path

MAX_TRIALS = 2000
FEW_PAIRS = 1_000_000  # up to this number, all pairs are listed before the choice; beyond it, pairs are drawn


def choose_trials(
    utt_ids: Sequence[str],
    max_trials: int = MAX_TRIALS,
    seed: int = 1,
    speaker: Callable[[str], str] = speaker_of,
) -> list[Trial]:
    """Draw at most `max_trials` pairs of utterances, half of them targets if there are enough.

    Args:
        utt_ids: sorted, so that utterances of one speaker are adjacent.
        speaker: returns the speaker of an utterance.
    """
    rng = np.random.default_rng(seed)
    by_speaker = [list(group) for _, group in groupby(utt_ids, key=speaker)]
    targets = [Trial(True, *pair) for group in by_speaker for pair in combinations(group, 2)]
    chosen = _sample(targets, max_trials // 2, rng)
    wanted = max_trials - len(chosen)
    if len(utt_ids) ** 2 < 2 * FEW_PAIRS:
        pairs = combinations(utt_ids, 2)
        return chosen + _sample([Trial(False, a, b) for a, b in pairs if speaker(a) != speaker(b)], wanted, rng)
    drawn: dict[tuple[int, int], None] = {}
    while len(by_speaker) > 1 and len(drawn) < wanted:
        a, b = sorted(int(index) for index in rng.integers(len(utt_ids), size=2))
        if speaker(utt_ids[a]) != speaker(utt_ids[b]):
            drawn[a, b] = None
    return chosen + [Trial(False, utt_ids[a], utt_ids[b]) for a, b in sorted(drawn)]


def _sample(trials: Sequence[Trial], count: int, rng: np.random.Generator) -> list[Trial]:
    return [trials[index] for index in sorted(rng.permutation(len(trials))[:count])]


def draw_trials(where: object, recordings: Sequence[Recording], max_trials: int, seed: int) -> list[Trial]:
    """Draw a trial list of recordings; raise InputError if they give none.

    Args:
        where: origin of the recordings, for messages.
    """
    speakers = {recording.utt_id: recording.spk_id for recording in recordings}
    unwritable = [utt_id for utt_id in speakers if not utt_id.isprintable() or utt_id != utt_id.strip()]
    if unwritable:
        raise InputError(
            f"{where}: a trial list cannot name {unwritable[0]!r}: control characters, or blanks at an end. Rename it."
        )
    utt_ids = sorted(speakers, key=lambda utt_id: (speakers[utt_id], utt_id))
    trials = choose_trials(utt_ids, max_trials, seed, speakers.__getitem__)
    if len({trial.is_target for trial in trials}) < 2:
        raise InputError(f"{where}: expected two speakers, and two recordings of one of them.")
    return trials


def cross_trials(data_folder: PathLike, enrol_list: PathLike, test_list: PathLike) -> list[Trial]:
    """Pair every test utterance with every enrolment utterance, as mvector's evaluation does.

    Args:
        data_folder: base folder of the paths in both lists.
        enrol_list, test_list: lines `<path><TAB><speaker>`; a trial is a target if both speakers are equal.

    Raises:
        InputError: a list is wrong, or all trials are of one kind.
    """
    enrol, test = (
        open_corpus(data_folder, "path_speaker", data_list=path).recordings for path in (enrol_list, test_list)
    )
    trials = [Trial(a.spk_id == b.spk_id, a.utt_id, b.utt_id) for b in test for a in enrol]
    if len({trial.is_target for trial in trials}) < 2:
        kind = "target" if trials[0].is_target else "non-target"
        raise InputError(f"{enrol_list}, {test_list}: all {len(trials)} pairs are {kind} trials. Is it the right pair?")
    return trials


def add_trial_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for drawing trials."""
    parser.add_argument(
        "--max_trials", type=int, default=MAX_TRIALS, metavar="N", help="greatest number of trials (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed of the trials (%(default)s)")


def check_max_trials(max_trials: int) -> None:
    """Raise UsageError if the number of trials cannot hold both kinds."""
    if max_trials < 2:
        raise UsageError(f"--max_trials: expected at least 2, got {max_trials}.")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Draw a trial list for a corpus, or pair each recording of a list with each of another."""
    parser = Parser(prog="mindvox make-trials", description=main.__doc__)
    parser.add_argument(
        "data_folder", type=user_path, metavar="DATA_FOLDER", help="holds wav/<speaker>/<session>/<file>"
    )
    parser.add_argument("list", type=user_path, metavar="LIST", help="trial list to write, in VoxCeleb's format")
    add_trial_arguments(parser)
    add_layout_arguments(parser)
    parser.add_argument(
        "--enrol_list", type=user_path, metavar="FILE", help="enrolment list, lines '<path><TAB><speaker>'"
    )
    parser.add_argument(
        "--test_list", type=user_path, metavar="FILE", help="test list; each is paired with each of --enrol_list"
    )
    arguments = parser.parse_args(argv)
    check_max_trials(arguments.max_trials)
    _check_lists(parser, arguments)
    with lock_output(arguments.list):
        if arguments.list.exists():
            raise InputError(f"{arguments.list}: exists already. Remove it, or name another file.")
        if arguments.enrol_list:
            trials = cross_trials(arguments.data_folder, arguments.enrol_list, arguments.test_list)
        else:
            layout = (arguments.layout, arguments.speaker_pattern, arguments.data_list)
            corpus = open_corpus(arguments.data_folder, *layout)
            trials = draw_trials(corpus.folder, corpus.recordings, arguments.max_trials, arguments.seed)
        write_trials(arguments.list, trials)
    print(f"{arguments.list}: {len(trials)} trials, {count_targets(trials)} of them target")
    return 0


def _check_lists(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Raise UsageError for one list without the other, and for options that have no effect beside them."""
    if bool(arguments.enrol_list) != bool(arguments.test_list):
        raise UsageError("--enrol_list: expected together with --test_list.")
    names = ("max_trials", "seed", "layout", "speaker_pattern", "data_list")
    given = [name for name in names if getattr(arguments, name) != parser.get_default(name)]
    if arguments.enrol_list and given:
        raise UsageError(f"--{given[0]}: has no effect with --enrol_list and --test_list. Leave it out.")


if __name__ == "__main__":
    sys.exit(run(main))
