"""The tree of recordings, FOLDER/wav/<speaker>/<session>/<file>: which there are, and what their headers say."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple, Union

from tqdm import tqdm

from src.corpus.audio import SAMPLE_RATE, SUFFIX_EXAMPLES, BadAudio, Skipped, audio_info, is_audio_name
from src.corpus.trials import speaker_of
from src.errors import InputError
from src.files import PathLike

_NUM_THREADS = 8  # they wait for the disk or the network most of the time


class Utterance(NamedTuple):
    """A recording, or samples `start` to `stop` of one, counted at 16 kHz; `wav` is relative to the corpus's folder."""

    utt_id: str
    duration_s: float
    wav: str
    start: int
    stop: int
    spk_id: str


def scan_tree(data_folder: PathLike, progress: bool = True) -> tuple[list[Utterance], list[Skipped]]:
    """Return all recordings below `data_folder`/wav, sorted by id, and the files that cannot be used.

    Args:
        data_folder: holds wav/<speaker>/<session>/<file> or wav/<speaker>/<file>, audio by name (is_audio_name).
        progress: show a bar when stderr is a terminal.

    Raises:
        InputError: the folder is missing, has no recordings, or has one recording twice.
    """
    utt_ids, misplaced = list_recordings(data_folder)
    utterances, unreadable = read_headers(data_folder, utt_ids, progress)
    return utterances, misplaced + unreadable


def wav_folder_of(data_folder: PathLike) -> Path:
    """Return the folder `wav` of a corpus; raise InputError when it is missing."""
    wav_folder = Path(data_folder, "wav")
    if wav_folder.is_dir():
        return wav_folder
    layout = f"expected {wav_folder}/<speaker>/<session>/<file> ({SUFFIX_EXAMPLES})"
    if not Path(data_folder).is_dir():
        raise InputError(f"{data_folder}: no such folder; {layout}.")
    raise InputError(f"{data_folder}: no folder 'wav' in it; {layout}.")


def list_recordings(data_folder: PathLike) -> tuple[list[str], list[Skipped]]:
    """Return the ids of all recordings, sorted, without opening them, and the files that stand in a wrong place.

    Links to folders and files are followed; names that start with a dot are ignored.
    """
    wav_folder = wav_folder_of(data_folder)
    utt_ids, misplaced = [], []
    for utt_id, reason in _walk(wav_folder):
        if reason:
            misplaced.append(Skipped(utt_id, reason))
        else:
            utt_ids.append(utt_id)
    if not utt_ids:
        layout = f"expected {wav_folder}/<speaker>/<session>/<file> ({SUFFIX_EXAMPLES})"
        raise InputError(f"{wav_folder}: no recordings; {layout}.")
    utt_ids.sort()
    _check_unique(wav_folder, utt_ids)
    return utt_ids, misplaced


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each recording's path below wav/ and, when it cannot be used there, the reason."""
    depth = prefix.count("/")
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            is_recording = is_audio_name(entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and depth < 2:
                yield from _walk(Path(entry.path), name + "/")
            elif entry.is_dir():
                yield _printable(name), "a folder inside a session; expected <speaker>/<session>/<file>"
            elif is_recording and depth == 0:
                yield _printable(name), "outside the speakers' folders; expected <speaker>/<session>/<file>"
            elif is_recording and not entry.is_file():
                yield _printable(name), "a link to nothing"
            elif is_recording:
                yield _printable(name), "" if _printable(name) == name else "its name is not UTF-8"


def _printable(name: str) -> str:
    """Return a file name with the bytes that are not UTF-8 written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _check_unique(wav_folder: Path, utt_ids: Sequence[str]) -> None:
    first: dict[str, str] = {}
    twins = []
    for utt_id in utt_ids:
        stem = os.path.splitext(utt_id)[0]
        if first.setdefault(stem, utt_id) != utt_id:
            twins.append(f"{first[stem]} and {utt_id}")
    if twins:
        raise InputError(
            f"{wav_folder}: {len(twins)} recordings are there twice, such as {'; '.join(twins[:3])}. Keep one of each."
        )


def read_headers(
    data_folder: PathLike, utt_ids: Sequence[str], progress: bool = True
) -> tuple[list[Utterance], list[Skipped]]:
    """Return the utterances whose header can be read, in the order of `utt_ids`, and the others."""
    utterances, unreadable = [], []
    with ThreadPool(_NUM_THREADS) as pool:
        found = pool.imap(partial(_read_header, data_folder), utt_ids, chunksize=64)
        for result in tqdm(
            found, "reading headers", len(utt_ids), unit=" files", disable=None if progress else True, leave=False
        ):
            (utterances if isinstance(result, Utterance) else unreadable).append(result)
    return utterances, unreadable


def _read_header(data_folder: PathLike, utt_id: str) -> Union[Utterance, Skipped]:
    wav = f"wav/{utt_id}"
    try:
        num_samples = audio_info(Path(data_folder, wav)).num_samples
    except BadAudio as error:
        return Skipped(utt_id, error.reason)
    return Utterance(utt_id, num_samples / SAMPLE_RATE, wav, 0, num_samples, speaker_of(utt_id))
