"""Generate room responses: mindvox make-rooms FOLDER [--count N] [--seed S].

They simulate shoebox rooms by the image method of pyroomacoustics (extra rooms), and are 16 kHz wav files.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import soundfile

from mindvox.arguments import Parser
from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.errors import InputError, UsageError, run
from mindvox.files import atomic_path, lock_folder, read_json, user_path, write_json

SIZE_M = ((3.0, 10.0), (3.0, 8.0), (2.4, 4.0))  # [least, greatest] length, width and height
RT60_S = (0.2, 0.8)  # by Sabine's formula, the largest of these rooms cannot go below 0.18 s
MARGIN_M = 0.5  # least distance of speaker and microphone from the walls
MIN_DISTANCE_M = 0.5
SEED_FILE = "rooms.json"


class Room(NamedTuple):
    """A shoebox room: size and positions of speaker and microphone in m, and reverberation time (60 dB) in s."""

    size: tuple[float, ...]
    speaker: tuple[float, ...]
    microphone: tuple[float, ...]
    rt60_s: float


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room; speaker and microphone keep a distance from each other and from the walls."""
    size = np.array([rng.uniform(*span) for span in SIZE_M])
    while True:
        speaker, microphone = (rng.uniform(MARGIN_M, size - MARGIN_M) for _ in range(2))
        if np.linalg.norm(speaker - microphone) >= MIN_DISTANCE_M:
            return Room(tuple(size), tuple(speaker), tuple(microphone), rng.uniform(*RT60_S))


def room_response(room: Room) -> np.ndarray:
    """Return the room response (M,), float32, at 16 kHz; its greatest magnitude is 0.9.

    Raises:
        InputError: pyroomacoustics is missing.
    """
    acoustics = _pyroomacoustics()
    absorption, max_order = acoustics.inverse_sabine(room.rt60_s, room.size)
    shoebox = acoustics.ShoeBox(
        room.size, fs=SAMPLE_RATE, materials=acoustics.Material(absorption), max_order=max_order
    )
    shoebox.add_source(room.speaker)
    shoebox.add_microphone(room.microphone)
    shoebox.compute_rir()
    response = np.asarray(shoebox.rir[0][0], np.float32)
    return response * np.float32(0.9 / np.abs(response).max())


def make_rooms(folder: Path, count: int, seed: int) -> None:
    """Write `count` responses as room-00000.wav, ...; existing files are kept, because a seed reproduces them.

    Raises:
        InputError: the folder's rooms were drawn with another seed, or pyroomacoustics is missing.
    """
    _pyroomacoustics()
    _keep_seed(folder / SEED_FILE, seed)
    for index in range(count):
        path = folder / f"room-{index:05d}.wav"
        if not path.exists():
            response = room_response(draw_room(np.random.default_rng((seed, index))))
            with atomic_path(path) as temporary:
                soundfile.write(temporary, response, SAMPLE_RATE, subtype="PCM_16")
    print(f"{folder}: {count} room responses; set rir_folder: {folder}")


def _keep_seed(path: Path, seed: int) -> None:
    if not path.exists():
        write_json(path, {"seed": seed})
        return
    known = read_json(path)
    if known != {"seed": seed}:
        raise InputError(f"{path}: {known}: its rooms were drawn with these. Give that seed, or another folder.")


def _pyroomacoustics() -> Any:
    try:
        import pyroomacoustics
    except ImportError:
        raise InputError(
            "generating rooms needs pyroomacoustics: pip install -e '.[rooms]'. Or use recorded responses "
            "(RIRS_NOISES) as rir_folder."
        ) from None
    return pyroomacoustics


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Simulate room responses."""
    parser = Parser(prog="mindvox make-rooms", description=main.__doc__)
    parser.add_argument("folder", type=user_path, help="folder for the responses")
    parser.add_argument("--count", type=int, default=1000, help="number of responses (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of sizes, positions and walls (default: 0)")
    given = parser.parse_args(argv)
    if given.count < 1 or given.seed < 0:
        raise UsageError(f"expected --count >= 1 and --seed >= 0, got {given.count} and {given.seed}.")
    with lock_folder(given.folder):
        make_rooms(given.folder, given.count, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
