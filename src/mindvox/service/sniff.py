"""Detect the file format of a recording from its first bytes; file names and media types of callers are not trusted."""

import re
from typing import Optional

KINDS = (  # the first match counts
    ("wav", rb"(RIFF|RIFX|RF64)....WAVE"),
    ("w64", rb"riff\x2e\x91\xcf\x11"),
    ("aiff", rb"FORM....AIF[FC]"),
    ("flac", rb"fLaC"),
    ("ogg", rb"OggS"),
    ("webm", rb"\x1a\x45\xdf\xa3"),
    ("mp4", rb"....ftyp"),
    ("caf", rb"caff"),
    ("asf", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("amr", rb"#!AMR"),
    ("au", rb"\.snd"),
    ("sph", rb"NIST_1A"),
    ("voc", rb"Creative Voice File"),
    ("mp3", rb"ID3|\xff[\xe2\xe3\xf2-\xf7\xfa-\xff]"),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.DOTALL)) for kind, pattern in KINDS)


def kind_of(content: bytes) -> Optional[str]:
    """Return the file format of a recording; None: it is unknown."""
    return next((kind for kind, pattern in _PATTERNS if pattern.match(content)), None)
