"""Score files: `scores.tsv` with the header `label enrol test <score> ...`, one trial a line, separated by tabs.

A blind file, for trials with withheld answers, has no column `label`. Files are read strictly, because a wrong number
would silently enter error rates, calibrations and fusions.
"""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, TextIO

import numpy as np

from mindvox.corpus.names import Names
from mindvox.corpus.trials import speaker_of
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, open_text

BLIND_COLUMNS = ("enrol", "test")
TRIAL_COLUMNS = ("label", *BLIND_COLUMNS)
# float() would also accept nan, infinity, 1_000, digits of other scripts, and blanks around a number.
NUMBERS = re.compile(r"[0-9eE+.\t-]*")
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class ScoreTable:
    """Scored trials; lines with the same pair (enrol, test) agree.

    Attributes:
        path: the file, for messages.
        is_target: truth of each trial, bool (T,); None: the file is blind.
        enrol, test: names of each trial's two sides.
        columns: finite scores by the name of their column, float64 (T,).
    """

    path: Path
    is_target: Optional[np.ndarray]
    enrol: list[str]
    test: list[str]
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.enrol)

    def column(self, name: str) -> np.ndarray:
        """Return the scores of a column; raise InputError if it does not exist."""
        if name not in self.columns:
            raise InputError(f"{self.path}:1: no column {name!r}; the columns are {', '.join(self.columns)}.")
        return self.columns[name]

    def speakers(self, speaker_by_name: Mapping[str, str] | None = None) -> set[str]:
        """Return the speakers of all trials.

        Args:
            speaker_by_name: speaker of each utterance; None: the first part of its name, `<speaker>/...`.

        Raises:
            InputError: the speaker of an utterance is unknown.
        """
        names = {*self.enrol, *self.test}
        if speaker_by_name is None:
            unknown = [name for name in names if "/" not in name]
        else:
            unknown = [name for name in names if name not in speaker_by_name]
        if unknown:
            raise InputError(
                f"{self.path}: no speaker known for {len(unknown)} of {len(names)} utterances, such as {min(unknown)}. "
                "Name them '<speaker>/...', or give --speakers a file with the header 'utt_id,spk_id' that has them."
            )
        return {speaker_of(name) if speaker_by_name is None else speaker_by_name[name] for name in names}

    def describe(self) -> str:
        """Return one line for the user: the file and its trials."""
        truth = "blind" if self.is_target is None else f"{np.count_nonzero(self.is_target)} of them target"
        return f"{self.path}: {len(self)} trials, {truth}"

    def truth(self) -> np.ndarray:
        """Return `is_target`; raise InputError if the file is blind or its trials are all of one kind."""
        if self.is_target is None:
            raise InputError(f"{self.path}: a blind file, without a column label, has no error rates.")
        num_targets = int(np.count_nonzero(self.is_target))
        if not 0 < num_targets < len(self):
            kind = "target" if num_targets else "non-target"
            raise InputError(
                f"{self.path}: expected target and non-target trials, all {len(self)} (lines 2 to {len(self) + 1}) are "
                f"{kind}."
            )
        return self.is_target


def read_scores(path: PathLike) -> ScoreTable:
    """Read a score file.

    Raises:
        InputError: the file is missing or truncated, its header or a line is malformed, a score is not finite, or two
            lines contradict each other about a pair. The message gives the line number.
    """
    path = Path(path)
    with open_text(path, "score file", newline="\n") as stream:  # a carriage return within a line is an error
        return _read(path, stream)


def _read(path: Path, stream: TextIO) -> ScoreTable:
    lines = _lines(path, stream)
    _, header = next(lines, (0, ""))
    names, num_leading = _column_names(path, header)
    is_blind = num_leading == len(BLIND_COLUMNS)
    spellings = Names()
    rows: dict[str, int] = {}  # index of each utterance, in the order of their first line
    labels, sides, values = array("b"), (array("q"), array("q")), array("d")
    for line_no, line in lines:
        words = line.split("\t", num_leading)
        numbers = words[-1].split("\t")
        if len(words) <= num_leading or len(numbers) != len(names):
            found = line.count("\t") + 1
            raise InputError(
                f"{path}:{line_no}: expected {num_leading + len(names)} columns as the header has, got {found}."
            )
        if not is_blind and words[0] not in ("0", "1"):
            raise InputError(f"{path}:{line_no}: expected the label 0 or 1, got {_shown(words[0])}.")
        labels.append(words[0] == "1" and not is_blind)
        for side, word in zip(sides, words[-3:-1], strict=True):
            name = word
            if word not in rows:
                _check_name(f"{path}:{line_no}", word)
                name = spellings(word, f"{path}:{line_no}")
            side.append(rows.setdefault(name, len(rows)))
        if words[0] == "0" and sides[0][-1] == sides[1][-1] and not is_blind:
            raise InputError(
                f"{path}:{line_no}: says that {_shown(words[-3])} is of another speaker than itself. Remove the line."
            )
        values.extend(_numbers(f"{path}:{line_no}", words[-1], numbers))
    if not labels:
        raise InputError(f"{path}: expected trials below the header, got none.")
    enrol, test = (np.frombuffer(side, dtype=np.int64) for side in sides)
    table = np.frombuffer(values, dtype=np.float64).reshape(len(labels), len(names))
    _check_finite(path, table, names)
    is_target = np.frombuffer(labels, dtype=np.int8).astype(bool)
    _check_repeats(path, enrol * len(rows) + test, np.column_stack((is_target, table)))
    utterances = list(rows)
    return ScoreTable(
        path,
        None if is_blind else is_target,
        [utterances[row] for row in enrol],
        [utterances[row] for row in test],
        {name: table[:, index].copy() for index, name in enumerate(names)},
    )


def _lines(path: Path, stream: TextIO) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, without blank lines at the end, which an editor may add."""
    num_blank = 0
    for line_no, line in enumerate(stream, 1):
        if not line.endswith("\n"):  # 0.58911407 truncated to 0.58 would still be a number
            raise InputError(
                f"{path}:{line_no}: the file ends within a line: it is cut off. Make it again, or end the line."
            )
        if not line.strip(" \r\n"):
            num_blank += 1
            continue
        yield from ((line_no - back, "") for back in range(num_blank, 0, -1))
        num_blank = 0
        yield line_no, line[:-1].removesuffix("\r")


def _column_names(path: Path, header: str) -> tuple[list[str], int]:
    """Return the names of the scores, and the number of columns before them."""
    names = header.split("\t")
    num_leading = len(BLIND_COLUMNS if names[0] == BLIND_COLUMNS[0] else TRIAL_COLUMNS)
    columns = names[num_leading:]
    if tuple(names[:num_leading]) not in (TRIAL_COLUMNS, BLIND_COLUMNS) or not columns:
        raise InputError(
            f"{path}:1: expected a header 'label enrol test <score> ...', separated by tabs, got {_shown(header)}."
        )
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}:1: expected each column once, got {_shown(header)}.")
    for name in columns:
        _check_name(f"{path}:1", name, allows_blanks=False)
    return columns, num_leading


def _check_name(where: str, name: str, allows_blanks: bool = True) -> None:
    if not name or name != name.strip() or not name.isprintable() or (" " in name and not allows_blanks):
        blanks = "blanks at its ends" if allows_blanks else "blanks"
        raise InputError(f"{where}: expected a name without {blanks} and control characters, got {_shown(name)}.")


def _numbers(where: str, text: str, words: Sequence[str]) -> list[float]:
    try:
        if NUMBERS.fullmatch(text):
            return [float(word) for word in words]
    except ValueError:
        pass
    raise InputError(f"{where}: expected numbers, got {_shown(text)}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")


def _check_finite(path: Path, table: np.ndarray, names: Sequence[str]) -> None:
    rows, columns = np.nonzero(~np.isfinite(table))
    if len(rows):
        raise InputError(f"{path}:{rows[0] + 2}: {names[columns[0]]} is too large for double precision.")


def _check_repeats(path: Path, pairs: np.ndarray, table: np.ndarray) -> None:
    """Raise InputError for lines that contradict each other about a pair; repeated lines may agree."""
    order = np.argsort(pairs, kind="stable")
    earlier, later = order[:-1], order[1:]
    differs = (pairs[earlier] == pairs[later]) & (table[earlier] != table[later]).any(axis=1)
    if differs.any():
        which = np.flatnonzero(differs)[np.argmin(later[differs])]
        raise InputError(
            f"{path}:{later[which] + 2}: says something else about the pair of line {earlier[which] + 2}. Remove one."
        )


def write_scores(
    path: PathLike,
    is_target: Optional[np.ndarray],
    enrol: Sequence[str],
    test: Sequence[str],
    columns: Mapping[str, np.ndarray],
) -> None:
    """Write a score file with nine digits, which restore the same float32. `is_target` None makes it blind."""
    labels = [""] * len(enrol) if is_target is None else [f"{int(label)}\t" for label in is_target]
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        print(*(BLIND_COLUMNS if is_target is None else TRIAL_COLUMNS), *columns, sep="\t", file=stream)
        for label, a, b, *values in zip(labels, enrol, test, *columns.values(), strict=True):
            numbers = "\t".join(f"{value:.9g}" for value in values)
            stream.write(f"{label}{a}\t{b}\t{numbers}\n")


def align(tables: Mapping[str, ScoreTable]) -> dict[str, np.ndarray]:
    """Match the trials of several score files by name.

    Args:
        tables: score files by the systems' names.

    Returns:
        For each system, the rows of its table in the order of the first system's trials.

    Raises:
        InputError: files have different trials, or contradict each other about a label.
    """
    first, *_ = tables.values()
    return {system: _matched_rows(first, table) for system, table in tables.items()}


def _matched_rows(first: ScoreTable, table: ScoreTable) -> np.ndarray:
    if table.enrol == first.enrol and table.test == first.test:
        rows = np.arange(len(first))
    else:
        row_of = {pair: row for row, pair in enumerate(zip(table.enrol, table.test, strict=True))}
        pairs = list(zip(first.enrol, first.test, strict=True))
        alone = row_of.keys() ^ set(pairs)
        if alone:
            raise InputError(
                f"{first.path} and {table.path}: expected the same trials, but {len(alone)} are in one of them alone, "
                f"such as {' '.join(min(alone))}. Score one list with all systems."
            )
        rows = np.array([row_of[pair] for pair in pairs])
    if table.is_target is not None and first.is_target is not None:
        contradicted = np.flatnonzero(table.is_target[rows] != first.is_target)
        if len(contradicted):
            row = int(contradicted[0])
            raise InputError(
                f"{first.path}:{row + 2} and {table.path}:{rows[row] + 2}: different labels for the same trial."
            )
    return rows
