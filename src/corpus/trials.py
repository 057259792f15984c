"""Trial lists: pairs of utterances that a verification system says `same speaker` or `different speakers` about."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from src.errors import InputError, UsageError
from src.files import PathLike, atomic_path, text_lines


class Trial(NamedTuple):
    """One comparison; the utterance ids are paths below the corpus's folder wav/.

    Attributes:
        is_target: whether both sides are of one speaker; None in a blind list, whose truth others keep.
        enrol: an utterance, or a model of an enrolment map.
        test: an utterance.
    """

    is_target: Optional[bool]
    enrol: str
    test: str


class _Form(NamedTuple):
    text: str
    num_words: int
    label_column: Optional[int]
    is_target: dict[str, bool]
    hint: str


_TRUTH_BY_DIGIT = {"1": True, "0": False}
_FORMS = {
    "voxceleb": _Form(
        "<0|1> <enrol> <test>", 3, 0, _TRUTH_BY_DIGIT, "Kaldi lists put the label last: set trial_format: kaldi."
    ),
    "kaldi": _Form(
        "<enrol> <test> <target|nontarget>",
        3,
        2,
        {"target": True, "nontarget": False},
        "VoxCeleb lists put 0 or 1 first: set trial_format: voxceleb.",
    ),
    "cnceleb": _Form(
        "<enrol> <test> <0|1>", 3, 2, _TRUTH_BY_DIGIT, "VoxCeleb lists put 0 or 1 first: set trial_format: voxceleb."
    ),
    "voxsrc": _Form(
        "<enrol> <test>", 2, None, {}, "A list that tells the truth has three columns: set trial_format: voxceleb."
    ),
}


def read_trials(path: PathLike, trial_format: str = "voxceleb", repeated_trials: str = "keep") -> list[Trial]:
    """Read a trial list; see read_numbered_trials."""
    return read_numbered_trials(path, trial_format, repeated_trials)[1]


def read_numbered_trials(
    path: PathLike, trial_format: str = "voxceleb", repeated_trials: str = "keep"
) -> tuple[list[int], list[Trial]]:
    """Read a trial list, and the number of each trial's line, counted from 1; blank lines are skipped.

    Args:
        trial_format: `voxceleb` (`<0|1> <enrol> <test>`, voxceleb_trainer's too), `kaldi`
            (`<enrol> <test> <target|nontarget>`), `cnceleb` (`<enrol> <test> <0|1>`) or `voxsrc` (`<enrol> <test>`,
            blind: every `is_target` is None).
        repeated_trials: what a pair that stands twice is: "error", or "keep" for both lines to count. Two lines that
            contradict each other, in this or in swapped order of their sides, are always an error.

    Raises:
        InputError: the file is missing, not text, has no trials, or has a line of another form, a repeated or a
            contradicting one; the message has the line's number.
    """
    if trial_format not in _FORMS:
        raise UsageError(f"trial_format: expected one of {', '.join(_FORMS)}, got {trial_format!r}.")
    form = _FORMS[trial_format]
    line_nos, trials = [], []
    for line_no, line in text_lines(path, "trial list"):
        line_nos.append(line_no)
        trials.append(_parse(line.split(), line, f"{path}:{line_no}", form))
    if not trials:
        raise InputError(f"{path}: expected trials '{form.text}', got no line.")
    _check_pairs(path, line_nos, trials, repeated_trials)
    return line_nos, trials


def _parse(words: list[str], line: str, where: str, form: _Form) -> Trial:
    fits = len(words) == form.num_words and "".join(words).isprintable()
    if fits and form.label_column is None:
        return Trial(None, *map(sys.intern, words))
    label = words.pop(form.label_column) if fits else ""
    if label not in form.is_target:
        raise InputError(f"{where}: expected '{form.text}', got {_shown(line)}. {form.hint}")
    return Trial(form.is_target[label], *map(sys.intern, words))  # a name stands in many trials


def _shown(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 100 else line[:100] + "...")


def _check_pairs(path: PathLike, line_nos: list[int], trials: list[Trial], repeated_trials: str) -> None:
    """Raise InputError for trials that contradict each other, and for repeated ones when these are an error."""
    if len({(enrol, test) if enrol < test else (test, enrol) for _, enrol, test in trials}) == len(trials):
        return
    first: dict[tuple[str, str], int] = {}
    for row, (is_target, enrol, test) in enumerate(trials):
        for other in (first.get((enrol, test)), first.get((test, enrol))):
            if other is not None and trials[other].is_target != is_target:
                pair = _shown(f"{enrol} {test}")
                raise InputError(f"{path}:{line_nos[row]}: says the opposite of line {line_nos[other]} about {pair}.")
        earlier = first.setdefault((enrol, test), row)
        if earlier != row and repeated_trials == "error":
            raise InputError(
                f"{path}:{line_nos[row]}: the same trial as line {line_nos[earlier]}, {_shown(f'{enrol} {test}')}. "
                "Remove one, or let both count: repeated_trials: keep."
            )


def count_repeated(trials: Sequence[Trial]) -> int:
    """Return how many trials repeat an earlier one."""
    return len(trials) - len(set(trials))


def read_enrol_map(path: PathLike) -> dict[str, list[str]]:
    """Read which utterances a model is enrolled with: `<model> <utterance> [<utterance> ...]` a line.

    That is the form of CN-Celeb's enroll.map (several utterances) and enroll.lst (one).

    Raises:
        InputError: the file is missing, not text, empty, or has a line of another form, a model twice, or an utterance
            twice in one model.
    """
    models: dict[str, list[str]] = {}
    for number, line in text_lines(path, "enrolment map"):
        words = line.split()
        if len(words) < 2 or not "".join(words).isprintable():
            raise InputError(f"{path}:{number}: expected '<model> <utterance> [<utterance> ...]', got {_shown(line)}.")
        model, *utt_ids = words
        if model in models:
            raise InputError(f"{path}:{number}: model {model} stands twice: put all its utterances in one line.")
        if len(set(utt_ids)) < len(utt_ids):
            raise InputError(f"{path}:{number}: model {model} names an utterance twice.")
        models[model] = utt_ids
    if not models:
        raise InputError(f"{path}: expected lines '<model> <utterance> [<utterance> ...]', got none.")
    return models


def find_model(models: dict[str, list[str]], name: str) -> Optional[str]:
    """Return the map's name of a model that a trial names, or None.

    CN-Celeb's trials say `id00800-enroll`; copies of its enroll.map say that or `id00800`.
    """
    return next((known for known in (name, name.removesuffix("-enroll")) if known in models), None)


def read_names(path: PathLike) -> dict[str, int]:
    """Read a file with one utterance name a line: line number of each; blank lines are skipped, repeats are one.

    Raises:
        InputError: the file is missing, not text, has no names, or a line with more than one word.
    """
    names: dict[str, int] = {}
    for number, line in text_lines(path, "list of utterance names"):
        words = line.split()
        if len(words) > 1:
            raise InputError(f"{path}:{number}: expected one utterance name, got {_shown(line)}.")
        for name in words:
            names.setdefault(name, number)
    if not names:
        raise InputError(f"{path}: expected utterance names, one a line, got none.")
    return names


def write_trials(path: PathLike, trials: Iterable[Trial]) -> None:
    """Write a trial list in VoxCeleb's form."""
    with atomic_path(path) as temporary:
        lines = (f"{trial.is_target:d} {trial.enrol} {trial.test}\n" for trial in trials)
        temporary.write_text("".join(lines), encoding="utf-8")


def speaker_of(utt_id: str) -> str:
    """Return the speaker of an utterance: the first folder of its path below wav/."""
    return utt_id.split("/", 1)[0]


def find_trial_list(name: PathLike, folder: PathLike) -> Path:
    """Return the path of a trial list: `name` as given, else in `folder`.

    Raises:
        InputError: there is no such file in either place.
    """
    for path in (Path(name), Path(folder, name)):
        if path.is_file():
            return path
    raise InputError(f"no trial list: looked for {name} and for {Path(folder, name)}.")
