"""Recordings of noise: a few kilobytes each, different from one another."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


@pytest.fixture
def write_noise():
    """Write a recording and return its path."""

    def write(path: Path, num_samples: int = 1600, sample_rate: int = 16000, num_channels: int = 1, **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        waveform = noise(num_samples * num_channels, crc32(str(path.name).encode())).reshape(num_samples, num_channels)
        soundfile.write(path, waveform, sample_rate, **options)
        return path

    return write


@pytest.fixture
def make_corpus(write_noise):
    """Write FOLDER/wav/<speaker>/<session>/<file>.wav for {speaker: number of files} and return FOLDER."""

    def make(folder: Path, speakers: dict[str, int], suffix: str = ".wav") -> Path:
        for spk_id, num_files in speakers.items():
            for number in range(num_files):
                write_noise(folder / "wav" / spk_id / "s1" / f"{number:02d}{suffix}", 1600 + 100 * number)
        return folder

    return make
