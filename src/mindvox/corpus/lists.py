"""Lists of recordings: tables, two columns, Kaldi folders and lhotse manifests, with a reader for each format.

Paths in a list are relative to the corpus's folder, the list's folder or the working directory, whichever has the
file. Times are in seconds.
"""

import csv
import gzip
import json
import math
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mindvox.corpus.audio import SAMPLE_RATE, Skipped, is_audio_name
from mindvox.corpus.names import WAV_FOLDER, utterance_name
from mindvox.corpus.tree import Listing, Recording
from mindvox.errors import InputError
from mindvox.files import PathLike, open_text, text_lines

COLUMNS = {
    "path": ("path", "wav", "file", "filename", "file_name", "filepath", "audio", "audio_path", "audio_filepath"),
    "speaker": ("speaker", "spk", "spk_id", "speaker_id", "client_id", "label"),
    "start": ("start", "start_s", "start_time", "begin", "onset"),
    "stop": ("stop", "stop_s", "end", "end_s", "end_time"),
    "id": ("id", "utt_id", "utt", "utterance", "utterance_id"),
}
OWN_TABLE = ["ID", "duration", "wav", "start", "stop", "spk_id"]  # also SpeechBrain's: start and stop in samples
KALDI_FILE = "wav.scp"


class _Paths:
    """Finds the files of a list: in the corpus's folder, beside the list, or below the working directory."""

    def __init__(self, folder: PathLike, list_folder: PathLike) -> None:
        self._folder = os.path.abspath(folder)
        self._bases = list(dict.fromkeys((self._folder, os.path.abspath(list_folder), os.getcwd())))

    def wav(self, text: str) -> str:
        """Return a path in the form of a Recording: relative to the corpus's folder if it lies below it.

        A path may have Windows separators, or another Unicode form than the file's name.
        """
        text = text.replace("\\", "/")
        spellings = dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))))
        places = ((base, spelling) for base in self._bases for spelling in spellings)
        found = ((base, spelling) for base, spelling in places if os.path.isfile(os.path.join(base, spelling)))
        base, spelling = next(found, (self._folder, text))
        self._bases.sort(key=lambda other: other != base)  # try it first next time
        path = os.path.normpath(os.path.join(base, spelling))
        return os.path.relpath(path, self._folder) if path.startswith(f"{self._folder}{os.sep}") else path


def _recording(
    where: str, utt_id: str, wav: str, spk_id: str, start_s: float = 0.0, stop_s: Optional[float] = None
) -> Recording:
    """Return a recording; raise InputError if a name cannot be written into tables and read back."""
    for text in (utt_id, wav, spk_id):
        if not text.strip() or not text.isprintable():
            raise InputError(f"{where}: expected an id, a path and a speaker without control characters, got {text!r}.")
    return Recording(utterance_name(utt_id, where), wav, spk_id, start_s, stop_s)


def _name_of(wav: str, text: str) -> str:
    """Return the id of a recording: its path below the corpus's folder, else the path in the list."""
    parts = (text if os.path.isabs(wav) else wav).replace("\\", "/").split("/")
    parts = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(parts[1:] if parts[:1] == [WAV_FOLDER] and len(parts) > 2 else parts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(text: str, where: str) -> Optional[float]:
    """Return a time in seconds; None: not given."""
    if text == "":
        return None
    value = _number(text)
    if not 0 <= value < math.inf:
        raise InputError(f"{where}: expected a time in seconds, got {text!r}.")
    return value


def _with_times(name: str, start_s: float, stop_s: Optional[float]) -> str:
    """Return the id of a part of a recording, with milliseconds: talk.wav-1500-4250."""
    if start_s == 0 and stop_s is None:
        return name
    return f"{name}-{round(1000 * start_s)}-{'end' if stop_s is None else round(1000 * stop_s)}"


def read_table_list(folder: PathLike, data_list: PathLike) -> Listing:
    """Read csv or tsv with a header: columns for path and speaker, optionally start and stop (s) and id.

    In our own tables (`ID,duration,wav,start,stop,spk_id`, the same as SpeechBrain's), start and stop are samples at
    16 kHz.
    """
    paths = _Paths(folder, Path(data_list).parent)
    recordings = []
    with open_text(data_list, "list of recordings", newline="") as stream:
        first = stream.readline()
        stream.seek(0)
        rows = csv.reader(stream, delimiter="\t" if "\t" in first else ",")
        header = [column.strip() for column in next(rows, [])]
        columns = _columns(header, data_list)
        unit = SAMPLE_RATE if header == OWN_TABLE else 1
        for row in rows:
            where = f"{data_list}:{rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise InputError(f"{where}: expected {len(header)} columns as the header has, got {len(row)}.")
            cells = {key: row[index].strip() for key, index in columns.items()}
            if not cells["path"] or not cells["speaker"]:
                raise InputError(f"{where}: expected a path and a speaker, got {row}.")
            start_s, stop_s = (_seconds(cells.get(key, ""), where) for key in ("start", "stop"))
            start_s, stop_s = (start_s or 0.0) / unit, None if stop_s is None else stop_s / unit
            if stop_s is not None and stop_s <= start_s:
                raise InputError(f"{where}: expected start < stop, got {start_s:g} and {stop_s:g} s.")
            wav = paths.wav(cells["path"])
            utt_id = cells.get("id") or _with_times(_name_of(wav, cells["path"]), start_s, stop_s)
            recordings.append(_recording(where, utt_id, wav, cells["speaker"], start_s, stop_s))
    return Listing(recordings, [], [])


def _columns(header: Sequence[str], path: PathLike) -> dict[str, int]:
    """Return the index of each column with a known name."""
    lower = [column.lower() for column in header]
    found = {
        key: next(lower.index(name) for name in names if name in lower)
        for key, names in COLUMNS.items()
        if not set(names).isdisjoint(lower)
    }
    if not {"path", "speaker"} <= found.keys():
        raise InputError(
            f"{path}:1: expected a header with columns for path ({', '.join(COLUMNS['path'][:4])}, ...) and speaker "
            f"({', '.join(COLUMNS['speaker'][:4])}, ...), got {', '.join(header) or 'nothing'}."
        )
    return found


def has_table_header(data_list: PathLike) -> bool:
    """Return whether a file begins with the header of a table of recordings."""
    _, line = next(text_lines(data_list, "list of recordings"), (0, ""))
    try:
        _columns([column.strip().strip('"') for column in line.split("\t" if "\t" in line else ",")], data_list)
    except InputError:
        return False
    return True


def read_speaker_path(folder: PathLike, data_list: PathLike) -> Listing:
    """Read voxceleb_trainer's list, `<speaker> <path>`."""
    return _two_columns(folder, data_list, "<speaker> <path>", lambda columns: columns)


def read_path_speaker(folder: PathLike, data_list: PathLike) -> Listing:
    """Read mvector's list, `<path><TAB><label>`; the label becomes the speaker."""
    return _two_columns(folder, data_list, "<path> <speaker>", lambda columns: columns[::-1])


def _two_columns(
    folder: PathLike, data_list: PathLike, form: str, order: Callable[[list[str]], Sequence[str]]
) -> Listing:
    paths = _Paths(folder, Path(data_list).parent)
    recordings = []
    for line_no, line in text_lines(data_list, "list of recordings"):
        columns = split_two(line)
        speaker, path = order(columns) if len(columns) == 2 else ("", "")
        if not is_audio_name(path):
            raise InputError(f"{data_list}:{line_no}: expected '{form}', separated by a tab or a blank, got {line!r}.")
        wav = paths.wav(path)
        recordings.append(_recording(f"{data_list}:{line_no}", _name_of(wav, path), wav, speaker))
    return Listing(recordings, [], [])


def is_list_of_paths(data_list: PathLike) -> bool:
    """Return whether the first line of a list is only the path of a recording."""
    folder = Path(data_list).parent
    _, line = next(text_lines(data_list, "list of recordings"), (0, ""))
    line = line.strip()
    if not is_audio_name(line) or "\t" in line:
        return False
    return len(line.split()) == 1 or any(Path(base, line).is_file() for base in (folder, "."))  # names may have blanks


def read_paths(folder: PathLike, data_list: PathLike) -> list[Recording]:
    """Read a list of recording paths, one per line, in its order; speakers are unknown.

    Raises:
        InputError: a line is not a path, or two recordings have the same name.
    """
    paths = _Paths(folder, Path(data_list).parent)
    names: dict[str, int] = {}
    recordings = []
    for line_no, line in text_lines(data_list, "list of recordings"):
        where, text = f"{data_list}:{line_no}", line.strip()
        if not is_audio_name(text) or not text.isprintable():
            raise InputError(f"{where}: expected only the path of a recording, got {line!r}.")
        wav = paths.wav(text)
        name = utterance_name(_name_of(wav, text), where)
        if names.setdefault(name, line_no) != line_no:
            raise InputError(f"{where}: {name} is in line {names[name]} already. Keep one.")
        recordings.append(Recording(name, wav, ""))
    return recordings


def split_two(line: str) -> list[str]:
    """Split a line into two columns at its tab, else at the blank that follows or precedes an audio file's name."""
    if "\t" in line:
        return [column.strip() for column in line.strip().split("\t")]
    line = line.strip()
    return line.rsplit(maxsplit=1) if is_audio_name(line.rsplit(maxsplit=1)[0]) else line.split(maxsplit=1)


def read_kaldi_folder(folder: PathLike, kaldi_folder: PathLike) -> Listing:
    """Read a Kaldi data folder: wav.scp, utt2spk and, if present, segments."""
    scp = Path(kaldi_folder, KALDI_FILE)
    paths = _Paths(folder, kaldi_folder)
    wavs = {name: paths.wav(_plain_file(place, f"{scp}:{line_no}")) for line_no, name, place in _kaldi_table(scp, 2)}
    speakers = {name: speaker for _, name, speaker in _kaldi_table(Path(kaldi_folder, "utt2spk"), 2)}
    segments = Path(kaldi_folder, "segments")
    if segments.is_file():
        parts = {
            name: (
                recording,
                _seconds(start, f"{segments}:{line_no}") or 0.0,
                None if _number(stop) == -1 else _seconds(stop, f"{segments}:{line_no}"),  # -1: to the end
            )
            for line_no, name, recording, start, stop in _kaldi_table(segments, 4)
        }
    else:
        parts = {name: (name, 0.0, None) for name in wavs}
    listing = Listing([], [], [])
    for utt_id, (name, start_s, stop_s) in parts.items():
        if name not in wavs or utt_id not in speakers:
            what = KALDI_FILE if name not in wavs else "utt2spk"
            listing.skipped.append(Skipped(utt_id, f"not in {what}"))
        else:
            speaker = speakers[utt_id]
            listing.recordings.append(_recording(str(kaldi_folder), utt_id, wavs[name], speaker, start_s, stop_s))
    listing.skipped.extend(Skipped(name, "in utt2spk alone") for name in speakers if name not in parts)
    return listing


def _kaldi_table(path: Path, num_columns: int) -> Iterator[list]:
    """Yield line numbers and columns of a table with unique first columns; the last column may have spaces."""
    seen: set[str] = set()
    for line_no, line in text_lines(path, "Kaldi table"):
        columns = line.strip().split(maxsplit=num_columns - 1)
        if len(columns) != num_columns:
            raise InputError(f"{path}:{line_no}: expected {num_columns} columns, got {line.strip()[:100]!r}.")
        if columns[0] in seen:
            raise InputError(f"{path}:{line_no}: {columns[0]} is there twice. Keep one line.")
        seen.add(columns[0])
        yield [line_no, *columns]


def _plain_file(place: str, where: str) -> str:
    if "|" in place or place == "-":
        raise InputError(
            f"{where}: {place[:100]!r} is a command. Commands are not run, because a list could then do anything. "
            "Write its output to files first (in Kaldi: wav-copy scp:wav.scp ark,scp:..., or a loop over the lines), "
            "and list these files."
        )
    if ".ark:" in place:
        raise InputError(f"{where}: {place[:100]!r} is a position in an archive. Write its recordings to files first.")
    return place


def read_lhotse(folder: PathLike, place: PathLike) -> Listing:
    """Read lhotse's JSON lines (.jsonl or .jsonl.gz): a file of cuts, or a folder with recordings and supervisions."""
    manifests = _manifests(Path(place))
    paths = _Paths(folder, place if Path(place).is_dir() else Path(place).parent)
    listing = Listing([], [], [])
    if len(manifests) == 1:
        for where, cut in _json_lines(manifests[0]):
            for supervision in _get_all(cut, "supervisions", where):
                _add_supervision(listing, supervision, _get(cut, "recording", where, dict), paths, where, cut)
        return listing
    recordings, supervisions = manifests
    by_id = {_get(entry, "id", where, str): entry for where, entry in _json_lines(recordings)}
    for where, supervision in _json_lines(supervisions):
        recording = by_id.get(_get(supervision, "recording_id", where, str))
        if recording is None:
            utt_id = _get(supervision, "id", where, str)
            listing.skipped.append(Skipped(utt_id, f"its recording is not in {recordings.name}"))
        else:
            _add_supervision(listing, supervision, recording, paths, where)
    return listing


def find_manifests(folder: Path, kind: str) -> list[Path]:
    """Return the lhotse files of one kind (cuts, recordings, supervisions) in a folder."""
    return sorted(path for path in folder.glob(f"*{kind}*.jsonl*") if path.name.endswith((".jsonl", ".jsonl.gz")))


def _manifests(place: Path) -> list[Path]:
    """Return the file of cuts, or the files of recordings and supervisions."""
    if place.is_file():
        return [place]
    found = {kind: find_manifests(place, kind) for kind in ("cuts", "recordings", "supervisions")}
    counts = {kind: len(paths) for kind, paths in found.items()}
    if counts["recordings"] == counts["supervisions"] == 1:
        return found["recordings"] + found["supervisions"]
    if counts["cuts"] == 1:
        return found["cuts"]
    listed = ", ".join(path.name for paths in found.values() for path in paths) or "none"
    raise InputError(
        f"{place}: expected one *recordings*.jsonl[.gz] and one *supervisions*.jsonl[.gz], or one *cuts*.jsonl[.gz], "
        f"found {listed}. Name a file of cuts as data_list, or a folder with one pair."
    )


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the position and the object of each line."""
    is_packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if is_packed else open_text(path, "list") as stream:
            for line_no, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                entry = json.loads(line)
                if not isinstance(entry, dict):
                    raise InputError(f"{path}:{line_no}: expected a JSON object, got {line[:100]!r}.")
                yield f"{path}:{line_no}", entry
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON lines, one object each ({error}).") from None


def _get(entry: dict, key: str, where: str, kind: Union[type, tuple[type, ...]]) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind):
        raise InputError(f"{where}: expected {key!r} in lhotse's format, got {value!r}.")
    return value


def _get_all(entry: dict, key: str, where: str) -> list[dict]:
    found = _get(entry, key, where, list)
    if not all(isinstance(item, dict) for item in found):
        raise InputError(f"{where}: expected {key!r} in lhotse's format, got {found!r}.")
    return found


def _time(entry: dict, key: str, where: str) -> float:
    value = _get(entry, key, where, (int, float))
    if not math.isfinite(value):
        raise InputError(f"{where}: expected {key!r} in seconds, got {value!r}.")
    return float(value)


def _add_supervision(
    listing: Listing, supervision: dict, recording: dict, paths: _Paths, where: str, cut: Optional[dict] = None
) -> None:
    """Add a supervision, a speaker's part of a recording; in a cut, its times count from the start of the cut."""
    utt_id = _get(supervision, "id", where, str)
    sources = _get_all(recording, "sources", where)
    speaker = supervision.get("speaker")
    channels = [channel for source in sources for channel in _get({"channels": [0], **source}, "channels", where, list)]
    reason = ""
    if len(sources) != 1 or sources[0].get("type") != "file":
        kinds = ", ".join(str(source.get("type")) for source in sources)
        reason = f"its recording is not one file but {kinds}, which is not run or fetched"
    elif len(channels) > 1 and supervision.get("channel") not in (channels, None):
        reason = "one channel of several: write each channel to its own file first"
    elif not speaker:
        reason = "no speaker"
    if reason:
        listing.skipped.append(Skipped(utt_id, reason))
        return
    start_s, duration_s = _time(supervision, "start", where), _time(supervision, "duration", where)
    if cut is not None:  # a supervision may extend beyond its cut
        offset_s, stop_s = _time(cut, "start", where), min(start_s + duration_s, _time(cut, "duration", where))
        start_s, stop_s = offset_s + max(start_s, 0.0), offset_s + stop_s
    else:
        stop_s = start_s + duration_s
    wav = paths.wav(_get(sources[0], "source", where, str))
    listing.recordings.append(_recording(where, utt_id, wav, str(speaker), start_s, stop_s))
