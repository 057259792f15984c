"""Folder trees of recordings: a reader for each layout, and the reading of headers."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple, Optional, Union

from tqdm import tqdm

from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, Skipped, audio_info
from mindvox.corpus.names import WAV_FOLDER, utterance_name
from mindvox.corpus.section import Section
from mindvox.corpus.trials import speaker_of
from mindvox.corpus.walk import walk_audio
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike

REPEATED = "a link to what is listed already"  # the reason of Listing.ignored
TOO_DEEP = "a folder too deep; expected <speaker>/<session>/<file>"
_NUM_THREADS = 8  # mostly waiting for the disk or the network


class Utterance(NamedTuple):
    """A recording or its samples `start` to `stop` at 16 kHz; `wav` is relative to the corpus's folder."""

    utt_id: str
    duration_s: float
    wav: str
    start: int
    stop: int
    spk_id: str


class Recording(NamedTuple):
    """A listed recording or its seconds `start_s` to `stop_s`; it may turn out to be unreadable.

    Attributes:
        wav: path relative to the corpus's folder; absolute if it lies elsewhere.
        stop_s: None: the end of the recording.
    """

    utt_id: str
    wav: str
    spk_id: str
    start_s: float = 0.0
    stop_s: Optional[float] = None

    def section(self, folder: PathLike) -> Section:
        """Return the section to read, given the corpus's folder."""
        return Section(Path(folder, self.wav), self.start_s, self.stop_s)


class Listing(NamedTuple):
    """The result of a reader.

    Attributes:
        recordings: the recordings of the corpus.
        skipped: recordings that cannot be used where they are, with the reason.
        ignored: links to recordings that are listed under another name.
    """

    recordings: list[Recording]
    skipped: list[Skipped]
    ignored: list[Skipped]


def list_wav(data_folder: PathLike) -> Listing:
    """List `data_folder`/wav/<speaker>/<session>/<file> and wav/<speaker>/<file>; ids are paths below wav/."""

    def place(name: str) -> Union[Recording, str]:
        depth = name.count("/")
        if depth == 0:
            return "outside the speakers' folders; expected <speaker>/<session>/<file>"
        return Recording(name, f"{WAV_FOLDER}/{name}", speaker_of(name)) if depth <= 2 else TOO_DEEP

    return _list(Path(data_folder, WAV_FOLDER), place)


def list_folders(data_folder: PathLike) -> Listing:
    """List <speaker>/<file> at any depth, below `data_folder`/wav if it exists; ids are paths below that folder."""
    prefix = f"{WAV_FOLDER}/" if Path(data_folder, WAV_FOLDER).is_dir() else ""

    def place(name: str) -> Union[Recording, str]:
        if "/" not in name:
            return "outside the speakers' folders; expected <speaker>/.../<file>"
        return Recording(name, prefix + name, speaker_of(name))

    return _list(Path(data_folder, prefix), place)


def list_flat(data_folder: PathLike, speaker_pattern: str) -> Listing:
    """List all recordings below `data_folder`; the pattern gives each speaker. Ids are paths below it."""
    speaker = speaker_matcher(speaker_pattern)

    def place(name: str) -> Union[Recording, str]:
        spk_id = speaker(name)
        return Recording(name, name, spk_id) if spk_id else f"its name does not match speaker_pattern {speaker_pattern}"

    return _list(Path(data_folder), place)


def list_cnceleb(data_folder: PathLike) -> Listing:
    """List CN-Celeb: data/<speaker>/<file>, eval/enroll/<speaker>-enroll.* and eval/test/<speaker>-<genre>-*.

    Ids are those of its lists: <speaker>/<file>, enroll/<file> and test/<file>. The lists name .wav files although the
    files are .flac; the ids of enroll and test follow the lists.
    """

    def place(name: str) -> Union[Recording, str]:
        part, _, rest = name.partition("/")
        if part == "data" and "/" in rest:
            return Recording(rest, name, speaker_of(rest))
        if part == "eval" and speaker_of(rest) in ("enroll", "test"):
            return Recording(f"{os.path.splitext(rest)[0]}.wav", name, Path(rest).name.split("-")[0])
        return "not in data/<speaker>, eval/enroll or eval/test"

    return _list(Path(data_folder), place)


def list_rawnet(data_folder: PathLike) -> Listing:
    """List RawNet's folders dev_wav, eval_wav and wav, each with <speaker>/<session>/<file>; ids are paths below."""

    def place(name: str) -> Union[Recording, str]:
        part, _, rest = name.partition("/")
        if part not in RAWNET_FOLDERS or "/" not in rest:
            return f"not in {' or '.join(f'{folder}/<speaker>' for folder in RAWNET_FOLDERS)}"
        return Recording(rest, name, speaker_of(rest))

    return _list(Path(data_folder), place)


RAWNET_FOLDERS = ("dev_wav", "eval_wav", WAV_FOLDER)


def speaker_matcher(pattern: str) -> Callable[[str], Optional[str]]:
    """Return a function from the path of a recording to its speaker; None: the pattern does not match.

    Args:
        pattern: text with `{speaker}` and `*`, such as `{speaker}_*`. Neither matches a `/`, and `{speaker}` matches as
            little as possible. Or a regular expression with a group (?P<speaker>...). It must match the whole path
            below the corpus's folder if it has a `/`, else the whole file name.
    """
    expression = pattern
    if "(?P<speaker>" not in pattern:
        parts = {"{speaker}": "(?P<speaker>[^/]+?)", "*": "[^/]*"}
        expression = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\{speaker\}|\*)", pattern))
        if pattern.count("{speaker}") != 1:
            raise UsageError(
                f"speaker_pattern: expected '{{speaker}}' once, as in '{{speaker}}_*' for anna_01.wav, or a regular "
                f"expression with a group (?P<speaker>...), got {pattern!r}."
            )
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise UsageError(f"speaker_pattern: {pattern!r} is no regular expression ({error}).") from None

    def match(name: str) -> Optional[str]:
        found = compiled.fullmatch(name if "/" in pattern else name.rsplit("/", 1)[-1])
        return found["speaker"] if found else None

    return match


def _list(folder: Path, place: Callable[[str], Union[Recording, str]]) -> Listing:
    """Walk a folder; `place` turns a path below it into a recording, or into a reason to skip it."""
    found = walk_audio(folder)
    listing = Listing([], list(found.skipped), [])
    listing.ignored.extend(Skipped(name, f"{REPEATED}, a folder") for name in found.repeated_links)
    repeated = _repeated_files(folder, found.names, found.file_links)
    for name in found.names:
        if name in repeated:
            listing.ignored.append(Skipped(name, f"{REPEATED}, a recording"))
            continue
        entry = "a backslash in its name, which lists of Windows use between folders" if "\\" in name else place(name)
        if isinstance(entry, str):
            listing.skipped.append(Skipped(name, entry))
        else:
            listing.recordings.append(entry._replace(utt_id=utterance_name(entry.utt_id)))
    _check_unique(folder, listing.recordings)
    return listing


def _repeated_files(folder: Path, names: Sequence[str], links: Sequence[str]) -> set[str]:
    """Return the links to files that are listed under their own path or through an earlier link."""
    if not links:
        return set()
    is_link = set(links)
    root = os.path.realpath(folder)
    listed = {os.path.join(root, name) for name in names if name not in is_link}
    repeated = set()
    for name in links:
        target = os.path.realpath(os.path.join(root, name))
        if target in listed:
            repeated.add(name)
        listed.add(target)
    return repeated


def _check_unique(folder: Path, recordings: Iterable[Recording]) -> None:
    first: dict[str, str] = {}
    twins = []
    for recording in sorted(recordings):
        stem = os.path.splitext(recording.utt_id)[0]
        if first.setdefault(stem, recording.wav) != recording.wav:
            twins.append(f"{first[stem]} and {recording.wav}")
    if twins:
        raise InputError(
            f"{folder}: {len(twins)} recordings are there twice, such as {'; '.join(twins[:3])}. Keep one of each."
        )


def read_headers(
    data_folder: PathLike, recordings: Sequence[Recording], progress: bool = True
) -> tuple[list[Utterance], list[Skipped]]:
    """Return the utterances with readable headers, in the order of `recordings`, and the others.

    A warning counts the recordings that are used although their header gives another length.
    """
    utterances: list[Utterance] = []
    unreadable: list[Skipped] = []
    wrong_length: list[str] = []
    with ThreadPool(_NUM_THREADS) as pool:
        found = pool.imap(partial(_read_header, data_folder, wrong_length), recordings, chunksize=64)
        for result in tqdm(
            found, "reading headers", len(recordings), unit=" files", disable=None if progress else True, leave=False
        ):
            if isinstance(result, Utterance):
                utterances.append(result)
            else:
                unreadable.append(result)
    if wrong_length:
        print(
            f"warning: {data_folder}: {len(set(wrong_length))} recordings whose header gives another length, as of a "
            f"recorder that was switched off, are used as far as they go, such as {min(wrong_length)}",
            file=sys.stderr,
        )
    return utterances, unreadable


def _read_header(data_folder: PathLike, wrong_length: list[str], recording: Recording) -> Union[Utterance, Skipped]:
    """Return the utterance, or why there is none; add the file to `wrong_length` if its header is wrong about it."""
    section = recording.section(data_folder)
    try:
        info = audio_info(section.path)
        if info.wrong_length:
            wrong_length.append(recording.wav)
        start, stop = section.bounds(info.num_samples)
    except BadAudio as error:
        return Skipped(recording.utt_id, error.reason)
    return Utterance(recording.utt_id, (stop - start) / SAMPLE_RATE, recording.wav, start, stop, recording.spk_id)
