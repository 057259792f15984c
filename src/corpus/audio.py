"""Reading recordings: mono, 16 kHz, full scale 1, whatever the file holds, or a reason why not."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Optional

import numpy as np
import soundfile

from src.corpus.resample import resample_blocks
from src.files import PathLike

SAMPLE_RATE = 16000
MAX_PEAK = 10.0  # beyond this a float file was not overdriven but never scaled to [-1, 1]
BLOCK_SAMPLES = 1 << 20  # read at once
CANCELLED = 1e-3  # of the channels' peak is left: rounding
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a FLAC header without a length
_STREAM_BYTES = 0x7FFF0000  # a WAV written to a pipe promises about 2 or 4 GiB; its end is the end of the file

SNDFILE_SUFFIXES = frozenset(
    (".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp1", ".mp2", ".mp3", ".ogg", ".oga", ".opus")
    + (".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc")
)
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".aac", ".wma", ".asf", ".amr", ".awb", ".3gp", ".3gpp", ".3g2", ".webm")
    + (".mka", ".mkv", ".ac3", ".eac3", ".ape", ".wv", ".tta", ".spx", ".avi")
)
AUDIO_SUFFIXES = SNDFILE_SUFFIXES | MEDIA_SUFFIXES
SUFFIX_EXAMPLES = ".wav, .flac, .mp3, .m4a, ..."  # for messages


def is_audio_name(name: str) -> bool:
    """Tell whether a file is audio by its name, in capitals or not, readable here or not.

    libsndfile reads SNDFILE_SUFFIXES, PyAV (requirements-media.txt) MEDIA_SUFFIXES: audio, or video with sound.
    """
    return suffix_of(name) in AUDIO_SUFFIXES


def suffix_of(name: str) -> str:
    """Return the suffix of a path in small letters, such as `.wav`; empty when it has none."""
    return os.path.splitext(name)[1].lower()


class Skipped(NamedTuple):
    """A file that is not used, and why."""

    utt_id: str
    reason: str


class BadAudio(Exception):  # noqa: N818 - a finding about a file, which callers count and list
    """A recording that cannot be used.

    Args:
        reason: why, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AudioInfo(NamedTuple):
    """What a file's header says: length at 16 kHz, and the file's own rate (Hz) and channels."""

    num_samples: int
    sample_rate: int
    num_channels: int


class AudioClip(NamedTuple):
    """Samples (N,), float32, mono, in [-1, 1], and whether channels or rate had to be converted."""

    waveform: np.ndarray
    was_converted: bool


def audio_info(path: PathLike) -> AudioInfo:
    """Read the header of a recording.

    Raises:
        BadAudio: the file is missing, is not audio, is empty, or is shorter than its header says. A cut FLAC file
            shows only when it is read.
    """
    with _open(path) as file:
        return AudioInfo(_converted_length(file.frames, file.samplerate, SAMPLE_RATE), file.samplerate, file.channels)


def read_audio(path: PathLike, start: int = 0, stop: Optional[int] = None, sample_rate: int = SAMPLE_RATE) -> AudioClip:
    """Read samples `start` to `stop` of a recording.

    A file of the wanted rate is read only there. Any other is read whole, its channels averaged, resampled, then cut.

    Args:
        start: first sample, at `sample_rate`.
        stop: sample after the last, at `sample_rate`; None for the end.
        sample_rate: rate of the returned waveform, Hz.

    Raises:
        BadAudio: as audio_info; besides, the file is cut or damaged, ends before `stop`, is constant over the range, or
            has NaN, infinite or unscaled samples or channels of opposite sign.
    """
    with _open(path) as file:
        length = _converted_length(file.frames, file.samplerate, sample_rate)
        stop = length if stop is None else stop
        if not 0 <= start < stop <= length:
            raise BadAudio(f"samples {start} to {stop} were asked for, it has {length}")
        if file.samplerate == sample_rate:
            waveform = _join(_read_blocks(file, start, stop), 0, stop - start)
        else:
            blocks = _read_blocks(file, 0, file.frames)
            waveform = _join(resample_blocks(blocks, file.samplerate, sample_rate), start, stop - start)
        was_converted = file.samplerate != sample_rate or file.channels > 1
    if np.ptp(waveform) == 0:
        raise BadAudio("constant signal")
    return AudioClip(np.clip(waveform, -1.0, 1.0, out=waveform), was_converted)


@contextmanager
def _open(path: PathLike) -> Iterator[soundfile.SoundFile]:
    """Open a recording whose header can be relied upon."""
    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError as error:
        raise BadAudio(_why_unreadable(path, error)) from None
    with file:
        if file.frames == 0:
            raise BadAudio("no samples")
        if file.frames == _UNKNOWN_FRAMES:
            raise BadAudio("header does not say its length: encode it again, to a file")
        promised = _promised_frames(file)
        if promised > file.frames:
            raise BadAudio(f"truncated: header says {promised} samples, {file.frames} could be read")
        yield file


def _why_unreadable(path: PathLike, error: soundfile.LibsndfileError) -> str:
    try:
        with open(path, "rb") as stream:
            is_empty = not stream.read(1)
    except OSError as system_error:
        return str(system_error.strerror).lower()
    return "empty file" if is_empty else f"not a readable audio file ({error.error_string.rstrip('.')})"


def _promised_frames(file: soundfile.SoundFile) -> int:
    """Return the length in a WAV header: libsndfile gives what the file really has and notes the other in its log."""
    match = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, flags=re.MULTILINE)
    if match is None or int(match[1]) >= _STREAM_BYTES:
        return file.frames
    return file.frames * int(match[1]) // int(match[2])


def _read_blocks(file: soundfile.SoundFile, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield frames `start` to `stop` at the file's own rate, channels averaged, in blocks: a file may be hours long."""
    peak = mono_peak = 0.0
    try:
        file.seek(start)
        for first in range(start, stop, BLOCK_SAMPLES):
            count = min(BLOCK_SAMPLES, stop - first)
            frames = file.read(count, dtype="float32", always_2d=True)
            if len(frames) < count:
                raise BadAudio(f"truncated: header says {file.frames} samples, {first + len(frames)} could be read")
            peak = max(peak, _peak(frames))
            waveform = frames.mean(axis=1)
            mono_peak = max(mono_peak, float(np.abs(waveform).max()))
            yield waveform
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"truncated or damaged ({error.error_string.rstrip('.')})") from None
    if peak > 0 and mono_peak < CANCELLED * peak:
        raise BadAudio("its channels cancel each other")


def _peak(frames: np.ndarray) -> float:
    """Return the greatest absolute sample; raise BadAudio when a sample is no number or not scaled."""
    peak = float(np.abs(frames).max())
    if not np.isfinite(peak):
        raise BadAudio("NaN or infinite samples")
    if peak > MAX_PEAK:
        raise BadAudio(f"samples reach {peak:g} where full scale is 1")
    return peak


def _join(blocks: Iterable[np.ndarray], start: int, count: int) -> np.ndarray:
    """Return samples `start` to `start + count` of blocks, all of which are read: any of them may be found bad."""
    waveform = np.empty(count, np.float32)
    position = -start
    for block in blocks:
        inside = block[max(0, -position) : max(0, count - position)]
        waveform[max(0, position) :][: len(inside)] = inside
        position += len(block)
    return waveform


def _converted_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Return the length that resample_poly gives: rounded up."""
    return -(-num_samples * to_rate // from_rate)
