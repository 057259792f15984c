"""A small corpus of noise and tones, and configurations that point at it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import EvalPrepConfig, TrainPrepConfig, load_config

SAMPLE_RATE = 16000
LENGTHS = (8000, 20001, 48000, 64000)  # of a speaker's recordings, samples: shorter and longer than a chunk of 1 s


def waveform_of(speaker: int, length: int) -> np.ndarray:
    """Return a tone in noise, which 16-bit files keep up to rounding."""
    rng = np.random.default_rng([speaker, length])
    tone = 0.3 * np.sin(2 * np.pi * (150 + 40 * speaker) * np.arange(length) / SAMPLE_RATE)
    return (tone + 0.05 * rng.standard_normal(length)).astype(np.float32)


def write_corpus(folder: Path, speakers: range) -> Path:
    for speaker in speakers:
        session = folder / "wav" / f"id{speaker:05d}" / "session"
        session.mkdir(parents=True)
        for number, length in enumerate(LENGTHS):
            soundfile.write(session / f"{number:05d}.wav", waveform_of(speaker, length), SAMPLE_RATE)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Training speakers 0 to 4."""
    return write_corpus(tmp_path / "corpus", range(5))


@pytest.fixture
def eval_corpus(tmp_path: Path) -> Path:
    """Speakers 10 and 11 with a trial list of all pairs of their first three recordings."""
    folder = write_corpus(tmp_path / "eval_corpus", range(10, 12))
    names = [f"id{speaker:05d}/session/{number:05d}.wav" for speaker in (10, 11) for number in range(3)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    lines = [f"{int(a[:7] == b[:7])} {a} {b}" for a, b in pairs]
    (folder / "veri_test2.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def train_options(tmp_path: Path, corpus: Path) -> list[str]:
    """Arguments of train_data_prepare.py for the corpus: all of it, chunks of 1 s."""
    return [
        f"--data_folder={corpus}",
        f"--output_folder={tmp_path / 'out'}",
        f"--feat_folder={tmp_path / 'feat_train'}",
        "--split_ratio=100",
        "--sentence_len=1",
        "--num_processes=1",
    ]


@pytest.fixture
def eval_options(tmp_path: Path, corpus: Path, eval_corpus: Path) -> list[str]:
    """Arguments of eval_data_prepare.py; the cohort comes from the table that train_options lead to."""
    return [
        f"--data_folder={eval_corpus}",
        f"--output_folder={tmp_path / 'out_eval'}",
        f"--feat_eval_folder={tmp_path / 'feat_eval'}",
        f"--feat_norm_folder={tmp_path / 'feat_norm'}",
        f"--train_annotation={tmp_path / 'out' / 'save' / 'train.csv'}",
        f"--train_data_folder={corpus}",
        "--sentence_len=1",
        "--num_processes=1",
    ]


@pytest.fixture
def train_config(train_options):
    return lambda *changes: load_config(TrainPrepConfig, [*train_options, *changes])


@pytest.fixture
def eval_config(eval_options):
    return lambda *changes: load_config(EvalPrepConfig, [*eval_options, *changes])


@pytest.fixture
def table_of_a_part(tmp_path) -> None:
    """A user's own table, where train_config looks for it: samples 4000 to 12000 of one recording, named `mine`."""
    save_folder = tmp_path / "out" / "save"
    save_folder.mkdir(parents=True)
    header = "ID,duration,wav,start,stop,spk_id\n"
    row = "mine,0.5,wav/id00001/session/00003.wav,4000,12000,id00001\n"
    (save_folder / "train.csv").write_text(header + row)
    (save_folder / "dev.csv").write_text(header)
