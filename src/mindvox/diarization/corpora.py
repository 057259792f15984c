"""Recordings with a reference of who speaks when: the layouts of AMI and VoxConverse, or any audio files with RTTM.

- AMI: `amicorpus/ES2004a/audio/ES2004a.Mix-Headset.wav`, with RTTM from AMI-diarization-setup, e.g. `ES2004a.rttm`.
- VoxConverse: `audio/abjxc.wav`, and `dev/abjxc.rttm` from its repository.
- Otherwise: audio files named after their recordings, and RTTM files with these names.
"""

from pathlib import Path
from typing import NamedTuple

from mindvox.corpus.walk import walk_audio
from mindvox.diarization.rttm import read_rttm
from mindvox.diarization.turns import Turn
from mindvox.errors import InputError
from mindvox.files import PathLike

MICROPHONES = (".Mix-Headset", ".Mix-Lapel", ".Array1-01")  # endings of AMI's file names, in order of preference


class Referenced(NamedTuple):
    """A recording and its reference.

    Attributes:
        path: the file.
        turns: who speaks when.
    """

    path: Path
    turns: list[Turn]


def read_referenced(audio_folder: PathLike, rttm: PathLike) -> dict[str, Referenced]:
    """Return the recordings that a reference names, by name, in its order.

    Args:
        audio_folder: folder with the recordings, at any depth.
        rttm: an RTTM file, or a folder of RTTM files.

    Raises:
        InputError: a recording of the reference is missing, or two files match its name.
    """
    by_stem: dict[str, list[Path]] = {}
    for name in walk_audio(audio_folder).names:
        by_stem.setdefault(Path(name).stem, []).append(Path(audio_folder, name))
    return {name: Referenced(_file(name, by_stem, audio_folder), turns) for name, turns in read_rttm(rttm).items()}


def _file(recording: str, by_stem: dict[str, list[Path]], folder: PathLike) -> Path:
    for ending in ("", *MICROPHONES):
        files = by_stem.get(f"{recording}{ending}", [])
        if len(files) == 1:
            return files[0]
        if files:
            raise InputError(f"{folder}: both {files[0]} and {files[1]} could be {recording}: keep one of them.")
    raise InputError(f"{folder}: no recording {recording}, but the reference names it. Get it, or remove its lines.")
