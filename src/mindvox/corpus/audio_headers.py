"""Length and streams of audio files from their headers, where libsndfile does not report or guesses them."""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Optional

_MP3_TABLES = (b"Xing", b"Info", b"VBRI")  # one of these marks a first MP3 frame that gives the length
_MP3_KBITS = {  # bit rate of layer III by the index in a frame's header, kbit/s; 0: invalid or not stated
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG 1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),  # MPEG 2 and 2.5
}
_MP3_RATES = (44100, 48000, 32000)  # of MPEG 1, Hz; MPEG 2 has half of these, 2.5 a quarter
_MP3_HEAD = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # start of a layer III frame
_MP3_CHAIN = 3  # consecutive frames that identify an MP3; two may be chance
_FIND_BYTES = 1 << 12  # block size of a search
_WAV_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}  # byte order of sizes, in struct's notation
_OGG_HEAD = 27  # bytes of a page header before its segment table


def part_starts(path: Path, container: str) -> list[int]:
    """Return the start byte of each stream of a file, 0 first, for containers that can hold several."""
    with open(path, "rb") as stream:
        if container == "OGG":
            return _ogg_starts(stream)
        return _mp3_starts(stream) if container == "MP3" else [0]


def _ogg_starts(stream: BinaryIO) -> list[int]:
    """Return the starts of the links of a chained Ogg: each first page of a stream after the data of another one."""
    starts, position, was_first = [0], 0, True
    while head := _read_at(stream, position, _OGG_HEAD + 255):
        if len(head) < _OGG_HEAD or head[:4] != b"OggS":  # damaged: continue at the next page
            found = _find(stream, b"OggS", position + 1)
            if found is None:
                break
            position = found
            continue
        is_first = bool(head[5] & 2)
        if is_first and not was_first:
            starts.append(position)
        was_first = is_first
        num_segments = head[_OGG_HEAD - 1]
        position += _OGG_HEAD + num_segments + sum(head[_OGG_HEAD : _OGG_HEAD + num_segments])
    return starts


def _mp3_starts(stream: BinaryIO) -> list[int]:
    """Return the starts of concatenated MP3s.

    A new MP3 starts after the frames that the previous one's table counts. Frames after an MP3 without a table belong
    to it, unless the rate or the number of channels changes; libmpg123 stops there.
    """
    starts = [0]
    while True:
        end = _mp3_end(stream, starts[-1])
        start = _mp3_change(stream, starts[-1]) if end is None else _find_mp3(stream, end)
        if start is None:
            return starts
        starts.append(start)


def _mp3_change(stream: BinaryIO, begin: int) -> Optional[int]:
    """Return the byte at which the frames of an MP3 change their rate or number of channels."""
    position = _find_mp3(stream, _mp3_table(stream, begin)[0])
    if position is None:
        return None
    first_kind = _mp3_frame(_read_at(stream, position, 4))[1]
    while True:
        length, kind = _mp3_frame(_read_at(stream, position, 4))
        if kind == first_kind:
            position += length
            continue
        position = _find_mp3(stream, position)
        if position is None:
            return None
        if _mp3_frame(_read_at(stream, position, 4))[1] != first_kind:
            return position


def _mp3_end(stream: BinaryIO, begin: int) -> Optional[int]:
    """Return the end byte (exclusive) of an MP3 from the table in its first frame; None: it has none."""
    position, frame, found = _mp3_table(stream, begin)
    if found < 0:
        return None
    if frame[found : found + 4] == b"VBRI":
        at = found + 10
    else:
        flags = int.from_bytes(frame[found + 4 : found + 8], "big")
        if not flags & 2:
            return None
        at = found + (12 if flags & 1 else 8)
    num_bytes = int.from_bytes(frame[at : at + 4], "big")
    return position + num_bytes if num_bytes else None


def _find_mp3(stream: BinaryIO, position: int) -> Optional[int]:
    """Return the start of the next MP3; skip what precedes it, such as tags."""
    while len(block := _read_at(stream, position, _FIND_BYTES)) > 1:
        for match in _MP3_HEAD.finditer(block):
            if _is_mp3(stream, position + match.start()):
                return position + match.start()
        position += len(block) - 1
    return None


def _is_mp3(stream: BinaryIO, position: int) -> bool:
    """Return whether consecutive frames of one kind start at a position."""
    kinds = set()
    for _ in range(_MP3_CHAIN):
        length, kind = _mp3_frame(_read_at(stream, position, 4))
        if kind is None:
            return False
        kinds.add(kind)
        position += length
    return len(kinds) == 1


def _mp3_frame(head: bytes) -> tuple[int, Optional[tuple[int, bool]]]:
    """Return the size in bytes of a layer III frame, with its rate in Hz and whether it is mono; 0, None: no frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0, None
    version, padding = head[1] >> 3 & 3, head[2] >> 1 & 1
    kbits, rate_index = _MP3_KBITS[version == 3][head[2] >> 4], head[2] >> 2 & 3
    if version == 1 or rate_index == 3 or kbits == 0:
        return 0, None
    rate = _MP3_RATES[rate_index] // (4, 0, 2, 1)[version]
    return (144 if version == 3 else 72) * 1000 * kbits // rate + padding, (rate, head[3] >> 6 == 3)


def _read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    stream.seek(position)
    return stream.read(count)


def _find(stream: BinaryIO, word: bytes, position: int) -> Optional[int]:
    """Return the next position of these bytes, searching from `position`."""
    while len(block := _read_at(stream, position, _FIND_BYTES)) >= len(word):
        found = block.find(word)
        if found >= 0:
            return position + found
        position += len(block) - len(word) + 1
    return None


def has_mp3_table(path: Path, begin: int) -> bool:
    """Return whether the first frame of an MP3 gives its length."""
    with open(path, "rb") as stream:
        return _mp3_table(stream, begin)[2] >= 0


def _mp3_table(stream: BinaryIO, begin: int) -> tuple[int, bytes, int]:
    """Return the start of an MP3's first frame, its bytes, and the offset of the table in them, or -1."""
    start = _read_at(stream, begin, 10)
    position = begin
    if start[:3] == b"ID3":
        size = 0
        for byte in start[6:10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size
    frame = _read_at(stream, position, 256)
    return position, frame, next((at for table in _MP3_TABLES if (at := frame.find(table)) >= 0), -1)


def ends_with_last_ogg_page(path: Path) -> bool:
    """Return whether a file ends with a complete Ogg page that is marked as the last of its stream."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - (1 << 17)))  # a page has at most 65307 bytes
        tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    num_segments = page[26] if len(page) > 26 else 0
    is_whole = len(page) > 27 and 27 + num_segments + sum(page[27 : 27 + num_segments]) <= len(page)
    return is_whole and bool(page[5] & 4)


def has_endless_list(path: Path) -> bool:
    """Return whether libsndfile (1.2.2) may never return from opening a WAV.

    It loops on a LIST chunk with an entry of 2^31 bytes or more, which no intact file has.
    """
    with open(path, "rb") as stream:
        start = stream.read(12)
        order = _WAV_ORDERS.get(start[:4])
        if order is None or start[8:] != b"WAVE":
            return False
        for name, begin, size in _chunks(stream, 12, order):
            if name != b"LIST":
                continue
            for _, entry, entry_size in _chunks(stream, begin + 4, order):  # skip the name of the list
                if entry - 8 >= begin + size:
                    break
                if entry_size >= 1 << 31:
                    return True
    return False


def unclosed_data(path: Path) -> Optional[tuple[int, int]]:
    """Return where a WAV's header claims that there are no samples, and how many bytes of samples follow anyway.

    A recorder that is switched off leaves 0 there. If a chain of chunks up to the end of the file follows instead,
    there are no samples.
    """
    with open(path, "rb") as stream:
        length = os.fstat(stream.fileno()).st_size
        start = stream.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        for name, begin, size in _chunks(stream, 12):
            if name == b"data":
                rest = length - begin
                return (begin - 4, rest) if size == 0 and rest and not _is_chain(stream, begin, length) else None
    return None


def _is_chain(stream: BinaryIO, position: int, length: int) -> bool:
    for name, begin, size in _chunks(stream, position):
        if not name.isascii() or not name.decode().isprintable():
            return False
        position = begin + size + size % 2
    return length <= position <= length + 1


def _chunks(stream: BinaryIO, position: int, order: str = "<") -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, start and size of each RIFF chunk from a position; `order` is struct's byte order."""
    while len(head := _read_at(stream, position, 8)) == 8:
        (size,) = struct.unpack(f"{order}I", head[4:])
        yield head[:4], position + 8, size
        position += 8 + size + size % 2
