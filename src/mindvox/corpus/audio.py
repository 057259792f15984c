"""Read recordings as mono samples at 16 kHz with full scale 1, whatever the file holds, or say why they cannot be."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

import numpy as np

from mindvox.corpus.decoders import (
    BLOCK_FRAMES,
    MAX_CHANNELS,
    MAX_SAMPLE_RATE,
    MEDIA_SUFFIXES,
    MIN_SAMPLE_RATE,
    SNDFILE_SUFFIXES,
    BadAudio,
    Decoder,
    open_recording,
    suffix_of,
)
from mindvox.corpus.resample import resample_blocks, resampled_length
from mindvox.files import PathLike

SAMPLE_RATE = 16000
INT16_SCALE = 32768  # 16-bit samples are divided by it; full scale is 1
ZERO_AND_SCALE = {"int16": (0, INT16_SCALE), "int32": (0, 1 << 31), "uint8": (128, 128)}  # of integer arrays
MAX_PEAK = 10.0  # a float file with a higher peak was never scaled to [-1, 1]
CANCELLED = 1e-3  # a mean below this share of the channels' peak is rounding noise
CHANNELS_CANCEL = "its channels cancel each other"

AUDIO_SUFFIXES = SNDFILE_SUFFIXES | MEDIA_SUFFIXES
SUFFIX_EXAMPLES = ".wav, .flac, .mp3, .m4a, ..."  # for messages


def is_audio_name(name: str) -> bool:
    """Return whether a file is audio by its suffix, in any case, readable here or not.

    libsndfile reads SNDFILE_SUFFIXES, PyAV (extra media) MEDIA_SUFFIXES: audio, or video with sound.
    """
    return suffix_of(name) in AUDIO_SUFFIXES


class TooLong(BadAudio):
    """The recording is longer than the caller accepts."""


class Skipped(NamedTuple):
    """A file that is not used, and the reason."""

    utt_id: str
    reason: str


class AudioInfo(NamedTuple):
    """Facts about a file from its header.

    Attributes:
        num_samples: length at 16 kHz.
        sample_rate: the file's own, Hz.
        num_channels: the file's own.
        can_seek: whether a part can be read without decoding what precedes it.
        wrong_length: whether the header gives another length although nothing seems to be missing.
    """

    num_samples: int
    sample_rate: int
    num_channels: int
    can_seek: bool = True
    wrong_length: bool = False


class AudioClip(NamedTuple):
    """Samples (N,), float32, mono, in [-1, 1], and whether channels or sample rate were converted."""

    waveform: np.ndarray
    was_converted: bool


def audio_info(path: PathLike) -> AudioInfo:
    """Read the header of a recording; files without a reliable length, such as MP3 and Ogg, are decoded.

    Raises:
        BadAudio: the file is missing, is not audio, is empty, or is shorter than its header says. A truncated FLAC
            file is detected only when it is read.
    """
    with open_recording(path) as recording:
        num_frames = recording.num_frames
        if num_frames is None:
            num_frames = sum(len(block) for block in recording.blocks())
        if num_frames == 0:
            raise BadAudio("no samples")
        num_samples = resampled_length(num_frames, recording.sample_rate, SAMPLE_RATE)
        return AudioInfo(
            num_samples, recording.sample_rate, recording.num_channels, recording.can_seek, recording.wrong_length
        )


def read_audio(
    path: PathLike,
    start: int = 0,
    stop: Optional[int] = None,
    sample_rate: int = SAMPLE_RATE,
    channel: Optional[int] = None,
    max_duration_s: Optional[float] = None,
) -> AudioClip:
    """Read samples `start` to `stop` of a recording.

    A file at the wanted rate is read only there, if its format can seek. Any other file is read whole; its channels are
    averaged, and it is resampled and then cut.

    Args:
        start: first sample, at `sample_rate`.
        stop: end sample (exclusive), at `sample_rate`; None: the end.
        sample_rate: sample rate of the returned waveform, Hz.
        channel: index of the only channel to use, from 0; None: the mean of all.
        max_duration_s: longest accepted recording, s; decoding stops there; None: any.

    Raises:
        TooLong: the recording is longer than `max_duration_s`.
        BadAudio: as audio_info. Also, the file is truncated or damaged, ends before `stop`, has no such channel, has
            NaN, infinite or unscaled samples, or its channels cancel out. `corpus.quality` checks whether the
            samples are usable.
    """
    with open_recording(path) as recording:
        return _mono(recording, start, stop, sample_rate, channel, max_duration_s)


def audio_of_array(
    samples: np.ndarray, from_rate: int, sample_rate: int = SAMPLE_RATE, channel: Optional[int] = None
) -> AudioClip:
    """Return what `read_audio` would return for a file with these samples.

    Args:
        samples: (N,) or (N, channels): floats with full scale 1, or int16, int32 or uint8.
        from_rate: their sample rate, Hz.
        sample_rate, channel: see `read_audio`.

    Raises:
        ValueError: the shape, type or rate is not supported.
        BadAudio: as read_audio.
    """
    return _mono(_Samples(samples, from_rate), 0, None, sample_rate, channel)


class _Samples:
    """An array presented as a recording; see Decoder."""

    can_seek, wrong_length = True, False

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        samples = np.asarray(samples)
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.ndim != 2 or not 1 <= samples.shape[1] <= MAX_CHANNELS:
            raise ValueError(
                f"expected samples (N,) or (N, channels) with at most {MAX_CHANNELS} channels, got {samples.shape}."
            )
        if samples.dtype.kind != "f" and samples.dtype.name not in ZERO_AND_SCALE:
            raise ValueError(
                f"expected floats with full scale 1, or {', '.join(ZERO_AND_SCALE)} samples, got {samples.dtype}."
            )
        if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
            raise ValueError(f"expected a rate of {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, got {sample_rate}.")
        if not len(samples):
            raise BadAudio("no samples")
        self._samples = samples
        self.sample_rate = int(sample_rate)
        self.num_frames: Optional[int] = len(samples)
        self.num_channels = samples.shape[1]

    def blocks(self, start: int = 0, stop: Optional[int] = None) -> Iterator[np.ndarray]:
        """See Decoder."""
        zero, scale = ZERO_AND_SCALE.get(self._samples.dtype.name, (0, 1))
        stop = len(self._samples) if stop is None else stop
        for first in range(start, stop, BLOCK_FRAMES):
            block = self._samples[first : min(first + BLOCK_FRAMES, stop)]
            # Values too large for float32 become infinite, which is detected later.
            with np.errstate(over="ignore"):
                yield (block if scale == 1 else (block - np.float64(zero)) / scale).astype(np.float32)

    def close(self) -> None:
        """See Decoder."""


def _mono(
    recording: Decoder,
    start: int,
    stop: Optional[int],
    sample_rate: int,
    channel: Optional[int],
    max_duration_s: Optional[float] = None,
) -> AudioClip:
    """See read_audio."""
    most_frames = None if max_duration_s is None else int(max_duration_s * recording.sample_rate)
    if most_frames is not None and (recording.num_frames or 0) > most_frames:
        raise _too_long(max_duration_s)
    if channel is not None and not 0 <= channel < recording.num_channels:
        raise BadAudio(f"no channel {channel}: it has {recording.num_channels}, counted from 0")

    def blocks(*part: int) -> Iterator[np.ndarray]:
        num_frames = 0
        for block in recording.blocks(*part):
            num_frames += len(block)
            if most_frames is not None and num_frames > most_frames:
                raise _too_long(max_duration_s)
            yield block if channel is None else block[:, channel : channel + 1]

    is_same_rate = recording.sample_rate == sample_rate
    is_converted = not is_same_rate or recording.num_channels > 1
    length = recording.num_frames
    if length is not None:
        length = resampled_length(length, recording.sample_rate, sample_rate)
        _check_range(start, stop, length)
    if is_same_rate and stop is not None:
        waveform = _join(_average(blocks(start, stop)), 0, stop - start)
    else:
        averaged: Iterable[np.ndarray] = _average(blocks())
        if not is_same_rate:
            averaged = resample_blocks(averaged, recording.sample_rate, sample_rate)
        if length is None:
            waveform = np.concatenate([*averaged])
            _check_range(start, stop, len(waveform))
            waveform = waveform[start:stop]
        else:
            waveform = _join(averaged, start, (length if stop is None else stop) - start)
    return AudioClip(np.clip(waveform, -1.0, 1.0, out=waveform), is_converted)


def _too_long(max_duration_s: Optional[float]) -> TooLong:
    return TooLong(f"longer than {max_duration_s:g} s")


def read_first_channel(path: PathLike) -> np.ndarray:
    """Return the first channel (N,), float32, of a recording at 16 kHz, without clipping or quality checks.

    Raises:
        BadAudio: the file cannot be read, or has NaN or infinite samples.
    """
    with open_recording(path) as recording:
        blocks: Iterable[np.ndarray] = (block[:, 0] for block in recording.blocks())
        if recording.sample_rate != SAMPLE_RATE:
            blocks = resample_blocks(blocks, recording.sample_rate, SAMPLE_RATE)
        samples = np.concatenate([*blocks])
    if not np.isfinite(samples).all():
        raise BadAudio("NaN or infinite samples")
    return samples


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Return samples with full scale 1 as little-endian 16-bit integers."""
    return np.clip(np.round(waveform * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype("<i2")


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Return 16-bit samples as float32 with full scale 1."""
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


def _check_range(start: int, stop: Optional[int], length: int) -> None:
    if not 0 <= start < (length if stop is None else stop) <= length:
        raise BadAudio(f"samples {start} to {length if stop is None else stop} were asked for, it has {length}")


def _average(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the mean of the channels of blocks (n, C); after the last block, check all of them."""
    peak = mean_peak = 0.0
    for block in blocks:
        peak = max(peak, _peak(block))
        waveform = block.mean(axis=1)
        mean_peak = max(mean_peak, float(np.abs(waveform).max()))
        yield waveform
    if peak > 0 and mean_peak < CANCELLED * peak:
        raise BadAudio(CHANNELS_CANCEL)


def _peak(frames: np.ndarray) -> float:
    """Return the greatest absolute sample; raise BadAudio if a sample is not finite or not scaled."""
    peak = float(np.abs(frames).max())
    if not np.isfinite(peak):
        raise BadAudio("NaN or infinite samples")
    if peak > MAX_PEAK:
        raise BadAudio(f"samples reach {peak:g} where full scale is 1")
    return peak


def _join(blocks: Iterable[np.ndarray], start: int, count: int) -> np.ndarray:
    """Return samples `start` to `start + count`; read all blocks, because any of them may be found bad."""
    waveform = np.empty(count, np.float32)
    position = -start
    for block in blocks:
        inside = block[max(0, -position) : max(0, count - position)]
        waveform[max(0, position) :][: len(inside)] = inside
        position += len(block)
    return waveform
