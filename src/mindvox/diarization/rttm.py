"""Read and write RTTM and UEM files: the turns of recordings, and the parts of recordings that are scored.

A line of RTTM (NIST, Rich Transcription 2009 evaluation plan, appendix A) is

    SPEAKER <recording> <channel> <start, s> <duration, s> <NA> <NA> <speaker> <NA> <NA>

and one of UEM `<recording> <channel> <start, s> <end, s>`. Fields are separated by white space.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindvox.diarization.turns import Turn
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, text_lines

SUFFIX = ".rttm"
NUM_FIELDS = 9  # fields of a line of RTTM; the plan of 2009 added a tenth, the look-ahead time
NOT_TURNS = frozenset(  # other kinds of lines in the plan
    [
        "SEGMENT",
        "NOSCORE",
        "NO_RT_METADATA",
        "LEXEME",
        "NON-LEX",
        "NON-SPEECH",
        "FILLER",
        "EDIT",
        "IP",
        "SU",
        "CB",
        "A/P",
        "SPKR-INFO",
    ]
)
RTTM_LINE = "'SPEAKER <recording> <channel> <start> <duration> <NA> <NA> <speaker> <NA> <NA>'"


def read_rttm(path: PathLike) -> dict[str, list[Turn]]:
    """Read turns by recording, sorted by time, from an RTTM file or from all RTTM files below a folder.

    Turns of length 0 are left out. Lines that begin with ;; are comments.

    Raises:
        InputError: a line is not RTTM, a time is negative or not a number, or there is no file.
    """
    found: dict[str, list[Turn]] = {}
    for file in _files(Path(path)):
        for line_no, line in text_lines(file):
            words = line.split()
            if line.lstrip().startswith(";;") or words[0] in NOT_TURNS:
                continue
            if words[0] != "SPEAKER" or len(words) < NUM_FIELDS:
                raise InputError(f"{file}:{line_no}: expected {RTTM_LINE}, got {line!r}.")
            start_s, duration_s = _times(words[3:5], f"{file}:{line_no}: start and duration")
            turns = found.setdefault(words[1], [])
            if duration_s > 0:
                turns.append(Turn(start_s, start_s + duration_s, words[7]))
    return {recording: sorted(turns) for recording, turns in found.items()}


def write_rttm(path: PathLike, turns_of: Mapping[str, Sequence[Turn]]) -> None:
    """Write an RTTM file atomically.

    White space in names becomes an underscore, because white space separates fields.

    Raises:
        InputError: two names become the same in this way.
    """
    names = {turn.speaker for turns in turns_of.values() for turn in turns} | set(turns_of)
    for kind in ([*turns_of], sorted(names - set(turns_of))):
        written = {rttm_name(name): name for name in kind}
        if len(written) != len(kind):
            raise InputError(f"{path}: names that differ in white space only are the same in RTTM: {', '.join(kind)}.")
    with atomic_path(path) as temporary:
        temporary.write_text("".join(rttm_text(name, turns) for name, turns in turns_of.items()), encoding="utf-8")


def rttm_name(name: str) -> str:
    """Return a name with underscores instead of white space."""
    return "_".join(name.split()) or "_"


def rttm_text(recording: str, turns: Sequence[Turn]) -> str:
    """Return the lines of one recording, in milliseconds; turns that round to length 0 are left out."""
    lines = []
    for turn in sorted(turns):
        start_ms, end_ms = round(1000 * turn.start_s), round(1000 * turn.end_s)
        if end_ms > start_ms:
            times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
            lines.append(f"SPEAKER {rttm_name(recording)} 1 {times} <NA> <NA> {rttm_name(turn.speaker)} <NA> <NA>\n")
    return "".join(lines)


def read_uem(path: PathLike) -> dict[str, list[tuple[float, float]]]:
    """Read the parts of recordings that are scored, as (start, end) in seconds.

    Raises:
        InputError: a line is not UEM, a part ends before it begins, or there is no file.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for line_no, line in text_lines(path):
        if line.lstrip().startswith(";;"):
            continue
        words = line.split()
        if len(words) != 4:
            raise InputError(f"{path}:{line_no}: expected '<recording> <channel> <start> <end>', got {line!r}.")
        start_s, end_s = _times(words[2:], f"{path}:{line_no}: start and end")
        if end_s <= start_s:
            raise InputError(f"{path}:{line_no}: expected an end after the start {start_s:g}, got {end_s:g}.")
        found.setdefault(words[0], []).append((start_s, end_s))
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise InputError(f"{path}: expected RTTM files ({SUFFIX}) in this folder, found none.")
    return files


def _times(words: Sequence[str], where: str) -> tuple[float, float]:
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        first = second = math.nan
    if not (0 <= first < math.inf and 0 <= second < math.inf):
        raise InputError(f"{where}: expected seconds of at least 0, got {' and '.join(words)}.")
    return first, second
