"""Stores that the C++ program and Python both read, and Python's answers."""

from pathlib import Path

import numpy as np

from mindvox.data.eval_store import EvalStore, EvalStoreWriter
from mindvox.engines.engine import load_engine
from mindvox.scoring.embeddings import extract
from tests.deploy.toy import FRONT_END, NUM_MELS

LENGTHS = (50, 37, 50, 61, 37, 50, 90, 10)


def write_store(folder: Path, prefix: str, lengths: tuple[int, ...], with_trials: bool = False) -> None:
    names = [f"{prefix}{row % 4}/{row}.wav" for row in range(len(lengths))]
    trials = folder.with_name("veri_test2.txt")
    if with_trials:
        pairs = [(a, b) for row, a in enumerate(names) for b in names[row + 1 :]]
        trials.write_text("".join(f"{int(a.split('/')[0] == b.split('/')[0])} {a} {b}\n" for a, b in pairs))
    with EvalStoreWriter(folder, FRONT_END.to_dict(), trials if with_trials else None) as writer:
        for row, (name, length) in enumerate(zip(names, lengths, strict=True)):
            feats = 10 * np.random.default_rng(row + len(prefix)).standard_normal((length, NUM_MELS), np.float32)
            writer.add(name, name.split("/")[0], feats)


def in_python(folder: Path, model: str, frames: int | None) -> np.ndarray:
    return extract(load_engine(folder / model).encode, EvalStore.open(folder / "eval"), frames, 3, progress=False)


def score_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("eer ")]
