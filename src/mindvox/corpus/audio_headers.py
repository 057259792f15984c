"""What the headers of audio files say about their length and parts, where libsndfile does not tell or guesses."""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Optional

_MP3_TABLES = (b"Xing", b"Info", b"VBRI")  # the first frame of an MP3 that knows its length has one of these
_MP3_KBITS = {  # of layer III by the index in a frame's header, kbit/s; 0: not allowed, or not said
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG 1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),  # MPEG 2 and 2.5
}
_MP3_RATES = (44100, 48000, 32000)  # of MPEG 1, Hz; MPEG 2 has the half of them, 2.5 a quarter
_MP3_HEAD = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # how a frame of layer III begins
_MP3_CHAIN = 3  # frames that follow each other are an MP3, two may be chance
_FIND_BYTES = 1 << 12  # searched at once
_WAV_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}  # how their sizes are written, as struct says it
_OGG_HEAD = 27  # bytes of a page's header before the table of its segments


def part_starts(path: Path, container: str) -> list[int]:
    """Return the byte at which each stream of a file begins, 0 first, for the containers that can hold several."""
    with open(path, "rb") as stream:
        if container == "OGG":
            return _ogg_starts(stream)
        return _mp3_starts(stream) if container == "MP3" else [0]


def _ogg_starts(stream: BinaryIO) -> list[int]:
    """Return where the links of a chained Ogg begin: with the first page of a stream behind another stream's data."""
    starts, position, was_first = [0], 0, True
    while head := _read_at(stream, position, _OGG_HEAD + 255):
        if len(head) < _OGG_HEAD or head[:4] != b"OggS":  # damaged: go on at the next page
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
    """Return where joined MP3s begin.

    These are frames that follow what the table of the one before counts. Behind an MP3 without a table they are part of
    it, unless they have another rate or number of channels: there libmpg123 stops.
    """
    starts = [0]
    while True:
        end = _mp3_end(stream, starts[-1])
        start = _mp3_change(stream, starts[-1]) if end is None else _find_mp3(stream, end)
        if start is None:
            return starts
        starts.append(start)


def _mp3_change(stream: BinaryIO, begin: int) -> Optional[int]:
    """Return where the frames of an MP3 change their kind, that is rate or number of channels."""
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
    """Return the byte after an MP3 by the table in its first frame; None: it does not say."""
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
    """Return where the next MP3 begins; what is before it, such as tags, is skipped."""
    while len(block := _read_at(stream, position, _FIND_BYTES)) > 1:
        for match in _MP3_HEAD.finditer(block):
            if _is_mp3(stream, position + match.start()):
                return position + match.start()
        position += len(block) - 1
    return None


def _is_mp3(stream: BinaryIO, position: int) -> bool:
    """Tell whether frames of one kind follow each other from a place on."""
    kinds = set()
    for _ in range(_MP3_CHAIN):
        length, kind = _mp3_frame(_read_at(stream, position, 4))
        if kind is None:
            return False
        kinds.add(kind)
        position += length
    return len(kinds) == 1


def _mp3_frame(head: bytes) -> tuple[int, Optional[tuple[int, bool]]]:
    """Return the bytes of a layer III frame, its rate, Hz, and whether it is mono; 0 and None when it is no frame."""
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
    """Return the next place from `position` on where these bytes stand."""
    while len(block := _read_at(stream, position, _FIND_BYTES)) >= len(word):
        found = block.find(word)
        if found >= 0:
            return position + found
        position += len(block) - len(word) + 1
    return None


def has_mp3_table(path: Path, begin: int) -> bool:
    """Tell whether an MP3 says in its first frame how long it is."""
    with open(path, "rb") as stream:
        return _mp3_table(stream, begin)[2] >= 0


def _mp3_table(stream: BinaryIO, begin: int) -> tuple[int, bytes, int]:
    """Return where the first frame of an MP3 begins, its bytes, and where in them the table is; -1: nowhere."""
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
    """Tell whether a file ends with a whole Ogg page that is marked as the last of its stream."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - (1 << 17)))  # a page has at most 65307 bytes
        tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    num_segments = page[26] if len(page) > 26 else 0
    is_whole = len(page) > 27 and 27 + num_segments + sum(page[27 : 27 + num_segments]) <= len(page)
    return is_whole and bool(page[5] & 4)


def has_endless_list(path: Path) -> bool:
    """Tell whether libsndfile (1.2.2) may never return from opening a WAV.

    In a LIST chunk it goes back, over and over, by an entry's size of 2^31 or more, which no whole file has.
    """
    with open(path, "rb") as stream:
        start = stream.read(12)
        order = _WAV_ORDERS.get(start[:4])
        if order is None or start[8:] != b"WAVE":
            return False
        for name, begin, size in _chunks(stream, 12, order):
            if name != b"LIST":
                continue
            for _, entry, entry_size in _chunks(stream, begin + 4, order):  # behind the list's own name
                if entry - 8 >= begin + size:
                    break
                if entry_size >= 1 << 31:
                    return True
    return False


def unclosed_data(path: Path) -> Optional[tuple[int, int]]:
    """Return where a WAV's header says that it has no samples, and how many bytes of samples follow all the same.

    A recorder that is switched off leaves 0 there. When what follows is a chain of chunks that ends with the file, it
    is none.
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
    """Yield name, begin of the content, and size of the RIFF chunks from a place on; `order` is struct's for bytes."""
    while len(head := _read_at(stream, position, 8)) == 8:
        (size,) = struct.unpack(f"{order}I", head[4:])
        yield head[:4], position + 8, size
        position += 8 + size + size % 2
