"""Folders of noises and room responses: their files, and their samples at 16 kHz in one channel.

The layouts of MUSAN (`music/`, `noise/`, `speech/`) and RIRS_NOISES are known; in the latter, `rir_list` names the
real rooms, and `pointsource_noises` are not rooms. In any other folder, every audio file counts.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Union

import numpy as np
from tqdm import tqdm

from mindvox.corpus.audio import (
    SAMPLE_RATE,
    SUFFIX_EXAMPLES,
    AudioInfo,
    BadAudio,
    Skipped,
    audio_info,
    from_int16,
    read_audio,
    read_first_channel,
    to_int16,
)
from mindvox.corpus.decoders import open_recording
from mindvox.corpus.quality import NOISE_LIMITS, read_usable
from mindvox.corpus.walk import walk_audio
from mindvox.errors import InputError
from mindvox.files import PathLike, text_lines
from mindvox.lru import ArrayCache

MUSAN_PARTS = ("music", "noise", "speech")
REAL_ROOMS, ROOM_LIST, POINT_NOISES = "real_rirs_isotropic_noises", "rir_list", "pointsource_noises"
CONVERTED_CACHE_BYTES = 1 << 28  # cache of resampled recordings as 16-bit samples
NAMES_SHOWN = 5
_NUM_THREADS = 8  # decoding and hashing release the interpreter lock


class NoiseFolder:
    """Noise recordings by index, read piece by piece.

    Recordings at 16 kHz are read only where needed; the system caches them. Others must be converted whole, and the
    most recent ones are cached.

    Args:
        folder: base folder of the paths.
        paths: the recordings, relative to the folder.
        infos: their headers.
        skipped: unusable files, with reasons.
    """

    def __init__(
        self, folder: PathLike, paths: Sequence[str], infos: Sequence[AudioInfo], skipped: Sequence[Skipped] = ()
    ) -> None:
        self.folder = Path(folder)
        self.paths = tuple(paths)
        self.skipped = list(skipped)
        self._infos = tuple(infos)
        self._cache = ArrayCache(CONVERTED_CACHE_BYTES)

    @classmethod
    def open(cls, folder: PathLike) -> "NoiseFolder":
        """Find the recordings below a folder and decode each once, so that none of them fails hours later.

        Raises:
            InputError: the folder is missing, or has no usable recording.
        """
        files = walk_audio(folder)
        found, skipped = _usable(Path(folder), files.names, _check_noise, "recordings of noise")
        return cls(folder, list(found), list(found.values()), files.skipped + skipped)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs, without the cache."""
        return {**self.__dict__, "_cache": ArrayCache(CONVERTED_CACHE_BYTES)}

    def __len__(self) -> int:
        return len(self.paths)

    def num_samples(self, index: int) -> int:
        """Return the length of a recording at 16 kHz."""
        return self._infos[index].num_samples

    def of_kind(self, kind: str) -> "NoiseFolder":
        """Return the recordings in MUSAN's part of that name; none if the folder is not laid out like MUSAN."""
        parts = [path.split("/", 1)[0] for path in self.paths]
        is_musan = any(part in MUSAN_PARTS for part in parts)
        chosen = [index for index, part in enumerate(parts) if is_musan and part == kind]
        return NoiseFolder(self.folder, [self.paths[i] for i in chosen], [self._infos[i] for i in chosen])

    def segment(self, index: int, start: int, length: int) -> np.ndarray:
        """Return (length,), float32, samples from `start`; a recording that ends earlier starts again.

        Raises:
            InputError: the file has changed or is damaged.
        """
        num_samples = self.num_samples(index)
        if start + length <= num_samples:
            return self._read(index, start, start + length)
        return np.resize(np.roll(self._read(index, 0, num_samples), -start), length)

    def _read(self, index: int, start: int, stop: int) -> np.ndarray:
        path = self.folder / self.paths[index]
        info = self._infos[index]
        try:
            if info.sample_rate != SAMPLE_RATE or not info.can_seek:
                samples = self._cache.get(index, lambda: to_int16(read_audio(path).waveform))
                return from_int16(samples[start:stop])
            with open_recording(path) as recording:
                segment = np.concatenate([block.mean(axis=1) for block in recording.blocks(start, stop)])
        except BadAudio as error:
            raise _changed(path, error.reason) from None
        if not np.isfinite(segment).all():
            raise _changed(path, "NaN or infinite samples")
        return segment


class RoomFolder:
    """Room responses by index; only the first of several channels is used, since a mean is not a room's response.

    Args:
        folder: base folder of the paths.
        paths: the responses, relative to the folder.
        skipped: unusable files, with reasons.
    """

    def __init__(self, folder: PathLike, paths: Sequence[str], skipped: Sequence[Skipped] = ()) -> None:
        self.folder = Path(folder)
        self.paths = tuple(paths)
        self.skipped = list(skipped)

    @classmethod
    def open(cls, folder: PathLike) -> "RoomFolder":
        """Find the room responses below a folder and decode each once.

        Raises:
            InputError: the folder is missing, or has no usable response.
        """
        found, skipped = _usable(Path(folder), _room_files(Path(folder)), _check_room, "room responses")
        return cls(folder, list(found), skipped)

    def __len__(self) -> int:
        return len(self.paths)

    def response(self, index: int) -> np.ndarray:
        """Return the samples (M,), float32, of a response at 16 kHz.

        Raises:
            InputError: the file has changed or is damaged.
        """
        path = self.folder / self.paths[index]
        try:
            return _read_room(path)
        except BadAudio as error:
            raise _changed(path, error.reason) from None


def _changed(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: damaged or changed while it was used ({reason}). Repair or remove it, and start again.")


def _check_noise(path: Path) -> AudioInfo:
    """Decode a whole noise recording; raise BadAudio if it cannot be used."""
    read_usable(path, limits=NOISE_LIMITS)
    return audio_info(path)


def _check_room(path: Path) -> bool:
    """Decode a whole room response; raise BadAudio if it cannot be used."""
    return len(_read_room(path)) > 0


def _read_room(path: Path) -> np.ndarray:
    response = read_first_channel(path)
    if not response.any():
        raise BadAudio("silent: no response of a room")
    return response


def warn_about_skipped(folder: PathLike, skipped: Sequence[Skipped]) -> None:
    """Print on stderr which files of a folder are not used, and why."""
    if skipped:
        shown = ", ".join(f"{name} ({reason})" for name, reason in skipped[:NAMES_SHOWN])
        more = f" and {len(skipped) - NAMES_SHOWN} more" if len(skipped) > NAMES_SHOWN else ""
        print(f"warning: {folder}: {len(skipped)} files cannot be used: {shown}{more}", file=sys.stderr)


def _room_files(folder: Path) -> list[str]:
    """Return the files with room responses; RIRS_NOISES also has files with noise."""
    listed: dict[Path, set[str]] = {}
    rooms = []
    for path in walk_audio(folder).names:
        parent, name = (folder / path).parent, Path(path).name
        if parent.name == REAL_ROOMS and (parent / ROOM_LIST).is_file():
            if parent not in listed:
                listed[parent] = _names_in(parent / ROOM_LIST)
            if name not in listed[parent]:
                continue
        if POINT_NOISES not in Path(path).parts:
            rooms.append(path)
    return rooms


def _names_in(room_list: Path) -> set[str]:
    """Return the file names of a list with lines such as `--rir-id 1 --room-id 2 RIRS_NOISES/real.../name.wav`."""
    return {Path(line.split()[-1]).name for _, line in text_lines(room_list, "list of room responses")}


def _usable(
    folder: Path, paths: Sequence[str], check: Callable[[Path], Any], what: str
) -> tuple[dict[str, Any], list[Skipped]]:
    """Check all files; return the results of `check` for the usable ones, at least one, and the others."""
    found, skipped = {}, []
    with ThreadPool(_NUM_THREADS) as pool:
        results = pool.imap(partial(_checked, folder, check), paths)
        shown = tqdm(results, f"checking {what}", len(paths), unit=" files", disable=None, leave=False)
        for path, result in zip(paths, shown, strict=True):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                found[path] = result
    if not found:
        listed = (
            f"; {len(skipped)} cannot be used, such as {skipped[0].utt_id} ({skipped[0].reason})" if skipped else ""
        )
        raise InputError(f"{folder}: expected {what} ({SUFFIX_EXAMPLES}), found none{listed}.")
    return found, skipped


def _checked(folder: Path, check: Callable[[Path], Any], path: str) -> Union[Any, Skipped]:
    try:
        return check(folder / path)
    except BadAudio as error:
        return Skipped(path, error.reason)
