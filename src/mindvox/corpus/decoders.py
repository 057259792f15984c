"""Decode audio files with libsndfile or, if it is installed, PyAV, without changing rate or channels.

If a header's length is not reliable, it is found by decoding, so that it always equals what is read.
"""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Optional, Protocol

import numpy as np
import soundfile

from mindvox.corpus.audio_headers import (
    ends_with_last_ogg_page,
    has_endless_list,
    has_mp3_table,
    part_starts,
    unclosed_data,
)
from mindvox.files import PathLike

SNDFILE_SUFFIXES = frozenset(
    (".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp1", ".mp2", ".mp3", ".ogg", ".oga", ".opus")
    + (".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc")
)
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".aac", ".wma", ".asf", ".amr", ".awb", ".3gp", ".3gpp", ".3g2", ".webm")
    + (".mka", ".mkv", ".ac3", ".eac3", ".ape", ".wv", ".tta", ".spx", ".avi")
)
MAX_MISSING_BYTES = 4096  # a header may promise this much too much: some recorders count the header or a full block
MAX_MISSING_SHARE = 0.25  # of the existing bytes
BLOCK_FRAMES = 1 << 16
MAX_CHANNELS = 64
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 2000, 768000  # Hz; at a damaged header's 1 Hz an hour would take 3.7 TB
_STREAM_BYTES = 0x7FFF0000  # a WAV written to a pipe promises 2 or 4 GiB; it ends with the file
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's value for a FLAC header without a length
_EXACT = re.compile("PCM_.*|FLOAT|DOUBLE|ULAW|ALAW")  # formats in which seeking gives the same samples as decoding
_PROMISES = {  # labels in libsndfile's log of the promised and the existing size
    "WAV": "data",
    "WAVEX": "data",
    "AIFF": " SSND",
    "AU": "  Data Size  ",
    "W64": "riff",
    "RF64": "  Riff size",
}
_MP3_CLAIM = 1000  # multiple of an MP3's size, so that libsndfile's guess of its length is never too small
_SURE_CONTAINERS = frozenset(("mov", "matroska", "asf", "amr", "wav", "caf", "aiff", "ogg"))  # reliably detected
_TIMED_CONTAINERS = frozenset(("mov", "matroska", "asf"))  # their headers give the duration
_MEDIA_TOLERANCE_S = 0.5
_SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63, "flt": 1, "dbl": 1}


class BadAudio(Exception):  # noqa: N818 - a finding about a file, which callers count and list
    """A recording cannot be used.

    Args:
        reason: why, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoDecoder(BadAudio):
    """No installed package can read a recording, which may be fine."""


class Decoder(Protocol):
    """An open recording.

    Attributes:
        sample_rate: Hz.
        num_channels: 1 to 64.
        num_frames: samples of each channel; None: unknown until all are decoded.
        can_seek: whether starting later costs less and gives the same samples.
        wrong_length: whether the header gives another length although nothing seems to be missing.
    """

    sample_rate: int
    num_channels: int
    num_frames: Optional[int]
    can_seek: bool
    wrong_length: bool

    def blocks(self, start: int = 0, stop: Optional[int] = None) -> Iterator[np.ndarray]:
        """Yield samples (n, channels), float32, from frame `start` to `stop` or the end.

        Raises:
            BadAudio: the data ends before the header's promise or before `stop`, or is damaged.
        """

    def close(self) -> None:
        """Close the file."""


def suffix_of(name: str) -> str:
    """Return the suffix of a path in lower case, such as `.wav`; empty if there is none."""
    return os.path.splitext(name)[1].lower()


@contextmanager
def open_recording(path: PathLike) -> Iterator[Decoder]:
    """Open a recording with the library that can read it.

    Raises:
        BadAudio: the file is missing, empty, not audio, has no samples, or is shorter than its header says.
    """
    path = Path(path)
    try:
        decoder: Decoder = _open_sndfile(path)
    except soundfile.LibsndfileError as error:
        _check_not_empty(path)
        decoder = _open_media(path, f"not a readable audio file ({error.error_string.rstrip('.')})")
    with closing(decoder):
        yield decoder


def _open_sndfile(path: Path) -> Decoder:
    """Open with libsndfile, which by itself reads only the first of several streams and hangs on some damaged files."""
    try:
        is_endless = has_endless_list(path)
    except OSError as error:
        raise BadAudio(str(error.strerror).lower()) from None
    if is_endless:
        raise BadAudio("not a readable audio file (damaged LIST chunk)")
    if suffix_of(path.name) == ".raw":  # soundfile would ask for the rate
        raise BadAudio("not a readable audio file (samples without a header: convert to WAV)")
    first = SndfileDecoder(path)
    try:
        starts = part_starts(path, first.container)
    except BaseException:
        first.close()
        raise
    if len(starts) == 1:
        return first
    first.close()
    return ChainDecoder(path, starts)


def _check_rate(sample_rate: int) -> None:
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise BadAudio(f"{sample_rate} Hz: expected {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")


def _check_not_empty(path: Path) -> None:
    try:
        with open(path, "rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        raise BadAudio(str(error.strerror).lower()) from None
    if is_empty:
        raise BadAudio("empty file")


def _open_media(path: Path, reason: str) -> "MediaDecoder":
    """Open with PyAV what libsndfile rejected for `reason`."""
    suffix = suffix_of(path.name)
    try:
        import av
    except ImportError:
        if suffix in MEDIA_SUFFIXES:
            raise NoDecoder(f"{suffix[1:]}: install the extra media (PyAV), or convert") from None
        raise BadAudio(reason) from None
    try:
        return MediaDecoder(path)
    except (BadAudio, av.FFmpegError) as error:
        if suffix in MEDIA_SUFFIXES:
            reason = error.reason if isinstance(error, BadAudio) else f"not a readable audio file ({error.strerror})"
        raise BadAudio(reason) from None


class _Sequential(soundfile.SoundFile):
    """A file read from its start; soundfile would seek after every read if the format says that it can."""

    def seekable(self) -> bool:
        return False


class _Altered:
    """A view of a file for soundfile: a part of it, with other bytes at one place, or with a larger claimed size.

    Args:
        stream: the file.
        begin: first byte of the part.
        end: end byte (exclusive); None: the end of the file.
        patch: bytes that replace those at `patch_at`, which counts from `begin`.
        claim: number of bytes by which the claimed size exceeds the real one.
    """

    def __init__(
        self,
        stream: BinaryIO,
        begin: int = 0,
        end: Optional[int] = None,
        patch: bytes = b"",
        patch_at: int = 0,
        claim: int = 0,
    ) -> None:
        self.stream = stream
        self.begin = begin
        self.patch, self.patch_at = patch, patch_at
        self.real_size = (os.fstat(stream.fileno()).st_size if end is None else end) - begin
        self.size = self.real_size + claim
        self.position = 0
        self.is_near_end = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.is_near_end = whence == os.SEEK_END and offset < 0
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self.size > self.real_size and self.is_near_end and self.position + len(view) <= self.size:
            content = bytes(len(view))  # libmpg123 looks for a tag in the last 128 bytes and fails if there are none
        else:
            self.stream.seek(self.begin + self.position)
            content = self.stream.read(max(0, min(len(view), self.real_size - self.position)))
        view[: len(content)] = content
        for index, byte in enumerate(self.patch, self.patch_at - self.position):
            if 0 <= index < len(content):
                view[index] = byte
        self.position += len(content)
        return len(content)


class SndfileDecoder:
    """A recording that libsndfile reads; see Decoder.

    Args:
        path: the file.
        begin: first byte of the recording, in a file with several streams (see ChainDecoder).
        end: end byte (exclusive); None: the end of the file.

    Attributes:
        container: libsndfile's name for the file format.
    """

    def __init__(self, path: Path, begin: int = 0, end: Optional[int] = None) -> None:
        self._stream: Optional[BinaryIO] = None
        self._file: Any = None
        self._begin, self._end = begin, end
        try:
            if begin or end is not None:
                self._reopen(path)
            else:
                self._file = soundfile.SoundFile(str(path))
            self.container: str = self._file.format
            self._examine(path)
        except BaseException:
            self.close()
            raise

    def _examine(self, path: Path) -> None:
        """Find the length, and how the file must be read."""
        file = self._file
        self.wrong_length = False
        self._promised = 0  # least number of frames that decoding must give
        is_mp3, is_ogg = self.container == "MP3", self.container == "OGG"
        if is_mp3 and not has_mp3_table(path, self._begin):
            # Without a table, libsndfile guesses the length from the file size, and stops there.
            self._reopen(path, claim=_MP3_CLAIM * path.stat().st_size)
        elif is_mp3:
            self._promised = file.frames
        elif is_ogg:
            if self._end is None and not ends_with_last_ogg_page(path):
                raise BadAudio("truncated: the last page of the stream is missing")
            self._promised = file.frames
        elif file.frames == 0 and (unclosed := unclosed_data(path)):
            patch_at, num_bytes = unclosed
            self._reopen(path, patch=struct.pack("<I", num_bytes), patch_at=patch_at)
            self.wrong_length = True
        file = self._file
        if file.frames == 0:
            raise BadAudio("no samples")
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise BadAudio(f"{file.channels} channels: expected 1 to {MAX_CHANNELS}")
        _check_rate(file.samplerate)
        self.sample_rate, self.num_channels = file.samplerate, file.channels
        is_counted = is_mp3 or is_ogg or file.frames == _UNKNOWN_FRAMES
        self.num_frames = None if is_counted else file.frames
        self.can_seek = not is_counted and file.seekable() and _EXACT.fullmatch(file.subtype) is not None
        if not is_counted:
            self._check_promise(path)
        if not self.can_seek and not isinstance(self._file, _Sequential):
            self._reopen(path)

    def _reopen(self, path: Path, **alteration: Any) -> None:
        """Open the file again, to read it from its start."""
        self.close()
        source: Any = str(path)
        if alteration or self._begin or self._end is not None:
            self._stream = open(path, "rb")  # noqa: SIM115 - closed by close()
            source = _Altered(self._stream, self._begin, self._end, **alteration)
        self._file = _Sequential(source)

    def _check_promise(self, path: Path) -> None:
        """Raise BadAudio if much less data exists than the header promises; note a small difference."""
        promised_bytes, real_bytes = _promised_bytes(self._file, path)
        missing = promised_bytes - real_bytes
        if missing <= 0 or promised_bytes >= _STREAM_BYTES:
            return
        if missing > min(MAX_MISSING_BYTES, MAX_MISSING_SHARE * real_bytes):
            promised = self._file.frames * promised_bytes // max(1, real_bytes)
            raise _truncated(promised, self._file.frames)
        self.wrong_length = True

    def blocks(self, start: int = 0, stop: Optional[int] = None) -> Iterator[np.ndarray]:
        """See Decoder."""
        position = 0
        try:
            if self.can_seek:
                position = self._file.seek(start)
            stop = self.num_frames if stop is None else stop
            while stop is None or position < stop:
                wanted = BLOCK_FRAMES if stop is None else min(BLOCK_FRAMES, stop - position)
                frames = self._file.read(wanted, dtype="float32", always_2d=True)
                if not len(frames):
                    break
                if position + len(frames) > start:
                    yield frames[max(0, start - position) :]
                position += len(frames)
        except soundfile.LibsndfileError as error:
            raise BadAudio(f"truncated or damaged ({error.error_string.rstrip('.')})") from None
        expected = self._promised if stop is None else stop
        if position < expected:
            raise _truncated(expected, position)

    def close(self) -> None:
        """See Decoder."""
        if self._file is not None:
            self._file.close()
        if self._stream is not None:
            self._stream.close()


class ChainDecoder:
    """A file with several consecutive streams: a chained Ogg, or concatenated MP3 files; see Decoder.

    Args:
        path: the file.
        starts: start byte of each stream, ascending.

    Raises:
        BadAudio: a stream cannot be read, or its rate or number of channels differs from the first one's.
    """

    can_seek = wrong_length = False
    num_frames: Optional[int] = None

    def __init__(self, path: Path, starts: list[int]) -> None:
        self._path = path
        self._spans = list(zip(starts, [*starts[1:], None], strict=True))
        formats = set()
        for part in self._parts():
            formats.add((part.sample_rate, part.num_channels))
            if len(formats) > 1:
                raise BadAudio("rate or channels change within it")
        self.sample_rate, self.num_channels = formats.pop()

    def _parts(self) -> Iterator[SndfileDecoder]:
        """Open and yield each stream."""
        for begin, end in self._spans:
            try:
                part = SndfileDecoder(self._path, begin, end)
            except soundfile.LibsndfileError as error:
                reason = error.error_string.rstrip(".")
                raise BadAudio(f"not a readable audio file behind its first stream ({reason})") from None
            with closing(part):
                yield part

    def blocks(self, start: int = 0, stop: Optional[int] = None) -> Iterator[np.ndarray]:
        """See Decoder."""
        position = 0
        for part in self._parts():
            for frames in part.blocks():
                last = len(frames) if stop is None else min(len(frames), stop - position)
                if position + last > start:
                    yield frames[max(0, start - position) : last]
                position += len(frames)
                if stop is not None and position >= stop:
                    return
        if stop is not None:
            raise _truncated(stop, position)

    def close(self) -> None:
        """See Decoder."""


def _truncated(promised: int, num_read: int) -> BadAudio:
    return BadAudio(f"truncated: header says {promised} samples, {num_read} could be read")


def _promised_bytes(file: soundfile.SoundFile, path: Path) -> tuple[int, int]:
    """Return the promised and the existing number of bytes as far as libsndfile knows them, otherwise 0, 0."""
    label = _PROMISES.get(file.format)
    if label:
        match = re.search(rf"^{label} : (\d+) \(should be (\d+)\)", file.extra_info, flags=re.MULTILINE)
        if match:
            return int(match[1]), int(match[2])
    if file.format == "NIST":
        header = path.read_bytes()[:1024]
        promised = re.search(rb"^sample_count -i (\d+)", header, flags=re.MULTILINE)
        if promised:
            return int(promised[1]), file.frames
    if file.format == "VOC" and "truncated file" in file.extra_info:
        match = re.search(r"Extended II : (\d+)", file.extra_info)
        if match:
            return int(match[1]), path.stat().st_size
    return 0, 0


class MediaDecoder:
    """A recording that PyAV reads, or the first sound track of a video; see Decoder.

    Channels are not mixed by PyAV: its mono of two equal channels is 3 dB louder than each.
    """

    can_seek = wrong_length = False
    num_frames: Optional[int] = None

    def __init__(self, path: Path) -> None:
        import av

        self._av = av
        self._container = av.open(str(path), metadata_errors="replace")  # the sound may be fine despite a damaged title
        try:
            self._formats = set(self._container.format.name.split(","))
            if suffix_of(path.name) not in MEDIA_SUFFIXES and not self._formats & _SURE_CONTAINERS:
                raise BadAudio("not a readable audio file")
            if not self._container.streams.audio:
                raise BadAudio("no sound track in it")
            self._frames = self._container.decode(audio=0)
            self._first = next(self._frames, None)
            if self._first is None:
                raise BadAudio("no samples")
            _check_rate(self._first.sample_rate)
        except BaseException:
            self.close()
            raise
        self.sample_rate, self.num_channels = self._first.sample_rate, len(self._first.layout.channels)

    def blocks(self, start: int = 0, stop: Optional[int] = None) -> Iterator[np.ndarray]:
        """See Decoder."""
        waiting, num_waiting = [], 0  # a frame has about 1000 samples, too few to process efficiently
        for samples in self._decode(start, stop):
            waiting.append(samples)
            num_waiting += len(samples)
            if num_waiting >= BLOCK_FRAMES:
                yield np.concatenate(waiting)
                waiting, num_waiting = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def _decode(self, start: int, stop: Optional[int]) -> Iterator[np.ndarray]:
        position, frame = 0, self._first
        try:
            while frame is not None and (stop is None or position < stop):
                samples = _samples_of(frame)
                if (frame.sample_rate, samples.shape[1]) != (self.sample_rate, self.num_channels):
                    raise BadAudio("rate or channels change within it")
                last = len(samples) if stop is None else min(len(samples), stop - position)
                if position + last > start:
                    yield samples[max(0, start - position) : last]
                position += last
                frame = next(self._frames, None)
        except self._av.FFmpegError as error:
            raise BadAudio(f"truncated or damaged ({error.strerror})") from None
        expected = self._promised_frames() if stop is None else stop
        if position < expected:
            raise _truncated(expected, position)

    def _promised_frames(self) -> int:
        """Return the container's length minus a tolerance; 0 if it gives none."""
        stream = self._container.streams.audio[0]
        if not self._formats & _TIMED_CONTAINERS:
            return 0
        if stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif self._container.duration is not None and len(self._container.streams) == 1:
            duration_s = self._container.duration / self._av.time_base
        else:
            return 0
        return max(0, int((duration_s - _MEDIA_TOLERANCE_S) * self.sample_rate))

    def close(self) -> None:
        """See Decoder."""
        self._container.close()


def _samples_of(frame: Any) -> np.ndarray:
    """Return the samples (n, channels), float32, full scale 1, of a PyAV frame."""
    samples = frame.to_ndarray()  # (channels, n), or (1, n * channels) when not planar
    num_channels = len(frame.layout.channels)
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, num_channels)
    name = frame.format.name.removesuffix("p")
    if name == "u8":
        samples = samples.astype(np.int16) - _SCALES["u8"]
    return (samples / _SCALES[name]).astype(np.float32)
