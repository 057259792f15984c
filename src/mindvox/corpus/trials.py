"""Trial lists: pairs of utterances for which a verification system decides `same speaker` or `different speakers`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from mindvox.corpus.names import Names, utterance_name
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, atomic_path, text_lines


class Trial(NamedTuple):
    """One comparison; the utterance ids are paths below the corpus's folder wav/.

    Attributes:
        is_target: whether both sides are of one speaker; None in a blind list, whose answers are withheld.
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
        "<enrol> <test>", 2, None, {}, "A list with answers has three columns: set trial_format: voxceleb."
    ),
}


def read_trials(
    path: PathLike, trial_format: str = "voxceleb", repeated_trials: str = "keep", known: Iterable[str] = ()
) -> list[Trial]:
    """Read a trial list; see read_numbered_trials."""
    return read_numbered_trials(path, trial_format, repeated_trials, known)[1]


def read_numbered_trials(
    path: PathLike, trial_format: str = "voxceleb", repeated_trials: str = "keep", known: Iterable[str] = ()
) -> tuple[list[int], list[Trial]]:
    """Read a trial list with the line number of each trial, counted from 1; blank lines are skipped.

    Columns are separated by white space, or only by tabs, so that names can contain spaces.

    Args:
        trial_format: `voxceleb` (`<0|1> <enrol> <test>`, voxceleb_trainer's too), `kaldi`
            (`<enrol> <test> <target|nontarget>`), `cnceleb` (`<enrol> <test> <0|1>`) or `voxsrc` (`<enrol> <test>`,
            blind: every `is_target` is None).
        repeated_trials: treatment of a repeated pair: "error", or "keep" to count both lines. Two lines that contradict
            each other, in the same or in swapped order of their sides, are always an error; so is an utterance that is
            said to differ in speaker from itself.
        known: names of the corpus or the store to which the list refers; they resolve its spellings (see Names).

    Raises:
        InputError: the file is missing, is not text or has no trials, or a line has another format or repeats or
            contradicts another one; the message gives the line number.
    """
    if trial_format not in _FORMS:
        raise UsageError(f"trial_format: expected one of {', '.join(_FORMS)}, got {trial_format!r}.")
    form = _FORMS[trial_format]
    names = Names(known)
    line_nos, trials = [], []
    for line_no, line in text_lines(path, "trial list"):
        line_nos.append(line_no)
        trials.append(_parse(split_columns(line, form.num_words), line, f"{path}:{line_no}", form, names))
    if not trials:
        raise InputError(f"{path}: expected trials '{form.text}', got no line.")
    _check_pairs(path, line_nos, trials, repeated_trials)
    return line_nos, trials


def split_columns(line: str, num_columns: int) -> list[str]:
    """Split a line at its tabs if that gives `num_columns` columns, which may then contain spaces, else at blanks."""
    columns = [column.strip() for column in line.strip().split("\t")]
    return columns if len(columns) == num_columns and all(columns) else line.split()


def _parse(words: list[str], line: str, where: str, form: _Form, names: Names) -> Trial:
    fits = len(words) == form.num_words and "".join(words).isprintable()
    is_target = None
    if form.label_column is not None:
        label = words.pop(form.label_column) if fits else ""
        fits = label in form.is_target
        is_target = form.is_target.get(label)
    if not fits:
        raise InputError(f"{where}: expected '{form.text}', got {_shown(line)}. {form.hint}")
    enrol, test = (names(word, where) for word in words)
    return Trial(is_target, enrol, test)


def _shown(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 100 else line[:100] + "...")


def _check_pairs(path: PathLike, line_nos: list[int], trials: list[Trial], repeated_trials: str) -> None:
    """Raise InputError for contradicting trials and, if they are an error, for repeated ones."""
    for line_no, trial in zip(line_nos, trials, strict=True):
        if trial.enrol == trial.test and trial.is_target is False:
            raise InputError(
                f"{path}:{line_no}: says that {_shown(trial.enrol)} is of another speaker than itself. "
                "Remove the line, or correct its label."
            )
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
    """Return the number of trials that repeat an earlier one."""
    return len(trials) - len(set(trials))


def count_targets(trials: Iterable[Trial]) -> int:
    """Return the number of target trials."""
    return sum(trial.is_target is True for trial in trials)


def count_self_trials(trials: Sequence[Trial], models: Optional[Mapping[str, Sequence[str]]] = None) -> int:
    """Return the number of trials that compare an utterance with itself, or with one of `models` that contains it."""
    models = models or {}
    return sum(trial.test == trial.enrol or trial.test in models.get(trial.enrol, ()) for trial in trials)


def self_trials_warning(count: int) -> str:
    """Return a warning about trials that compare an utterance with itself."""
    return (
        f"warning: self-trials, an utterance against itself: {count}. Their scores say nothing about the system and "
        "make its error rates look better: remove them"
    )


def read_enrol_map(path: PathLike, known: Iterable[str] = ()) -> dict[str, list[str]]:
    """Read the utterances that enrol each model: `<model> <utterance> [<utterance> ...]` a line.

    This is the format of CN-Celeb's enroll.map (several utterances) and enroll.lst (one). Columns are separated by
    white space, or only by tabs if all utterances of a line are then `known`, so that names can contain spaces.

    Raises:
        InputError: the file is missing, is not text or is empty, a line has another format, a model is repeated, or an
            utterance is repeated in a model.
    """
    names = Names(known)
    models: dict[str, list[str]] = {}
    for number, line in text_lines(path, "enrolment map"):
        words = line.split()
        if len(words) < 2 or not "".join(words).isprintable():
            raise InputError(f"{path}:{number}: expected '<model> <utterance> [<utterance> ...]', got {_shown(line)}.")
        where = f"{path}:{number}"
        by_tabs = [column.strip() for column in line.strip().split("\t") if column.strip()]
        if len(by_tabs) > 1 and all(map(names.knows, by_tabs[1:])):
            words = by_tabs
        model = utterance_name(words[0], where)
        utt_ids = [names(word, where) for word in words[1:]]
        if model in models:
            raise InputError(f"{path}:{number}: model {model} is there twice: put all its utterances in one line.")
        if len(set(utt_ids)) < len(utt_ids):
            raise InputError(f"{path}:{number}: model {model} names an utterance twice.")
        models[model] = utt_ids
    if not models:
        raise InputError(f"{path}: expected lines '<model> <utterance> [<utterance> ...]', got none.")
    return models


def find_model(models: dict[str, list[str]], name: str) -> Optional[str]:
    """Return the map's name for a model that a trial names, or None.

    CN-Celeb's trials write `id00800-enroll`; copies of its enroll.map write that or `id00800`.
    """
    return next((known for known in (name, name.removesuffix("-enroll")) if known in models), None)


def read_names(path: PathLike, known: Iterable[str] = ()) -> dict[str, int]:
    """Read a file with one utterance name a line; return the line number of each name. Blank lines are skipped.

    Raises:
        InputError: the file is missing, is not text or has no names, or a name has tabs or control characters.
    """
    names = Names(known)
    line_nos: dict[str, int] = {}
    for number, line in text_lines(path, "list of utterance names"):
        name = line.strip()
        if not name.isprintable():
            raise InputError(f"{path}:{number}: expected one utterance name, got {_shown(line)}.")
        line_nos.setdefault(names(name, f"{path}:{number}"), number)
    if not line_nos:
        raise InputError(f"{path}: expected utterance names, one per line, got none.")
    return line_nos


def write_trials(path: PathLike, trials: Iterable[Trial]) -> None:
    """Write a trial list in VoxCeleb's format, separated by tabs if a name has a space."""
    trials = list(trials)
    has_spaces = any(" " in name for trial in trials for name in (trial.enrol, trial.test))
    separator = "\t" if has_spaces else " "
    with atomic_path(path) as temporary:
        lines = (separator.join((f"{trial.is_target:d}", trial.enrol, trial.test)) + "\n" for trial in trials)
        temporary.write_text("".join(lines), encoding="utf-8")


def speaker_of(utt_id: str) -> str:
    """Return the speaker of an utterance: the first folder of its path below wav/."""
    return utt_id.split("/", 1)[0]


def find_trial_list(name: PathLike, folder: PathLike) -> Path:
    """Return the path of a trial list: `name` as given, else inside `folder`.

    Raises:
        InputError: the file is in neither place.
    """
    for path in (Path(name), Path(folder, name)):
        if path.is_file():
            return path
    raise InputError(f"no trial list: looked for {name} and for {Path(folder, name)}.")
