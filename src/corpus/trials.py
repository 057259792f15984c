"""Trial lists: pairs of utterances that a verification system says `same speaker` or `different speakers` about."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from src.errors import InputError, UsageError
from src.files import PathLike, atomic_path


class Trial(NamedTuple):
    """One comparison; the utterance ids are paths below the corpus's folder wav/."""

    is_target: bool
    enrol: str
    test: str


class _Form(NamedTuple):
    text: str
    label_column: int
    is_target: dict[str, bool]
    hint: str


_FORMS = {
    "voxceleb": _Form(
        "<0|1> <enrol> <test>", 0, {"1": True, "0": False}, "Kaldi lists put the label last: set trial_format: kaldi."
    ),
    "kaldi": _Form(
        "<enrol> <test> <target|nontarget>",
        2,
        {"target": True, "nontarget": False},
        "VoxCeleb lists put 0 or 1 first: set trial_format: voxceleb.",
    ),
}


def read_trials(path: PathLike, trial_format: str = "voxceleb") -> list[Trial]:
    """Read a trial list; blank lines are skipped.

    Args:
        trial_format: `voxceleb` (`<0|1> <enrol> <test>`) or `kaldi` (`<enrol> <test> <target|nontarget>`).

    Raises:
        InputError: the file is missing, not text, has no trials, or has a line of another form.
    """
    if trial_format not in _FORMS:
        raise UsageError(f"trial_format: expected one of {', '.join(_FORMS)}, got {trial_format!r}.")
    form = _FORMS[trial_format]
    try:
        with open(path, encoding="utf-8-sig") as stream:
            trials = [_parse(line, f"{path}:{number}", form) for number, line in enumerate(stream, 1) if line.strip()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a trial list in UTF-8 text, got other bytes.") from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: no such trial list.") from None
    if not trials:
        raise InputError(f"{path}: expected trials '{form.text}', got no line.")
    return trials


def _parse(line: str, where: str, form: _Form) -> Trial:
    words = line.split()
    label = words.pop(form.label_column) if len(words) == 3 else ""
    if label not in form.is_target:
        line = line.strip()
        shown = line if len(line) <= 100 else line[:100] + "..."
        raise InputError(f"{where}: expected '{form.text}', got {shown!r}. {form.hint}")
    return Trial(form.is_target[label], *words)


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
