"""Shared code of the stores: completeness, leftovers of interrupted runs, disk space, and checks of the content."""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike, read_json
from mindvox.frontend import FrontEnd
from mindvox.progress import quantity

SKIPPED_FILE = "skipped.csv"  # in a store: the recordings that were left out, and why; absent: there are none
LOW_DISK_BYTES = 1 << 24  # MindRecord refuses to write if about 10 MB are left


def holds_store(folder: PathLike, done_file: str, made_from: Mapping[str, Any], option: str) -> bool:
    """Return whether `folder` holds a complete store with the same sources and settings.

    Args:
        done_file: the JSON file that is written last; a folder without it holds no complete store.
        made_from: entries of that file that decide the content.
        option: key of the configuration that names the folder, for the error.

    Raises:
        InputError: it holds a store with other sources or settings.
    """
    path = Path(folder, done_file)
    if not path.exists():
        return False
    found = read_json(path)
    differing = _differences(found if isinstance(found, dict) else {}, made_from)
    if differing:
        raise InputError(
            f"{folder}: holds data prepared from other things: {'; '.join(differing)}. "
            f"Remove that folder or choose another {option}."
        )
    return True


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    differing = []
    for key, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            differing += _differences(found[key], value)
        elif found.get(key) != value:
            differing.append(f"{key} {found.get(key)}, now {value}")
    return differing


def remove_files(folder: PathLike, patterns: Sequence[str]) -> None:
    """Remove the matching files in `folder`; anything else in it stays."""
    for pattern in patterns:
        for path in Path(folder).glob(pattern):
            path.unlink(missing_ok=True)  # another part of the same store may remove it at the same time


def free_bytes(folder: PathLike) -> int:
    """Return the free bytes on the disk of `folder`, which need not exist yet."""
    parent = Path(folder).resolve()
    while not parent.exists():
        parent = parent.parent
    return shutil.disk_usage(parent).free


def check_free_space(folder: PathLike, num_bytes: int) -> None:
    """Raise InputError if the disk of `folder`, which need not exist yet, has less than `num_bytes` free."""
    free = free_bytes(folder)
    if free < num_bytes:
        raise InputError(
            f"{folder}: needs {num_bytes / 1e9:.3f} GB, has {free / 1e9:.3f} GB. Free some or choose another disk."
        )


@contextmanager
def explain_full_disk(folder: PathLike) -> Iterator[None]:
    """Turn a failure to write to a full disk, including MindRecord's errors, into an InputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not is_full and isinstance(error, RuntimeError):
            is_full = shutil.disk_usage(folder).free < LOW_DISK_BYTES
        if not is_full:
            raise
        raise InputError(
            f"{folder}: the disk is full. What was written is not a complete store; free some space and run again."
        ) from None


class WholeOrAbsent:
    """A writer whose `with` block completes the output with _finish(), or undoes it with _abandon() on a failure."""

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        is_complete = False
        try:
            if kind is None:
                self._finish()
                is_complete = True
        finally:
            if not is_complete:
                self._abandon()

    def _finish(self) -> None:
        raise NotImplementedError

    def _abandon(self) -> None:
        raise NotImplementedError


def content_bytes(front_end: Optional[FrontEnd], num_samples: int) -> int:
    """Return the size in bytes of the stored content of this many samples: features, or 16-bit samples."""
    return 2 * num_samples if front_end is None else 4 * front_end.size * front_end.num_frames(num_samples)


def check_feats(utt_id: str, feats: np.ndarray, size: int) -> None:
    """Raise ValueError unless these are finite float32 features (T, size), T >= 1."""
    if feats.dtype != np.float32 or feats.ndim != 2 or feats.shape[1] != size or len(feats) == 0:
        raise ValueError(f"{utt_id}: expected float32 (T, {size}), T >= 1, got {feats.dtype} {feats.shape}.")
    if not np.isfinite(feats).all():
        raise ValueError(f"{utt_id}: expected finite features.")


def check_wave(utt_id: str, wave: np.ndarray) -> None:
    """Raise ValueError unless these are 16-bit samples (N,), N >= 1."""
    if wave.dtype != np.int16 or wave.ndim != 1 or len(wave) == 0:
        raise ValueError(f"{utt_id}: expected int16 (N,), N >= 1, got {wave.dtype} {wave.shape}.")


def describe_work(
    folder: PathLike,
    num_records: int,
    num_utterances: int,
    audio_s: float,
    num_skipped: int,
    elapsed_s: float,
    read_s: float,
) -> str:
    """Return two lines about a finished store.

    Args:
        folder: folder of the store.
        num_records, num_utterances, audio_s: its content; audio_s is the duration of its speech, s.
        num_skipped: number of recordings that were left out.
        elapsed_s, read_s: duration of this run, and of the speech that it read, s.
    """
    num_bytes = sum(path.stat().st_size for path in Path(folder).iterdir() if path.is_file())
    return (
        f"{folder}: {quantity(num_records, 'record')} from {quantity(num_utterances, 'utterance')} of "
        f"{audio_s / 3600:.2f} h, {num_bytes / 1e6:.1f} MB, {quantity(num_skipped, 'recording')} skipped\n"
        f"  in {elapsed_s:.1f} s, {read_s / max(elapsed_s, 1e-9):.0f} times real time"
    )
