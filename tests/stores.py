"""Stores that the tests read and write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mindvox.data.eval_store import EvalStoreWriter
from mindvox.data.train_store import Record, WaveRecord, read_shard, shard_paths
from mindvox.frontend.fbank import Fbank


def read_records(folder: Union[str, Path]) -> Iterator[Union[Record, WaveRecord]]:
    """Yield the records of a store in the order in which they were written."""
    for path in shard_paths(folder):
        yield from read_shard(path)


def write_eval_store(
    folder: Path,
    prefix: str,
    num_speakers: int,
    utts_each: int,
    num_frames: int,
    front_end: Optional[dict[str, Any]] = None,
) -> None:
    """Write utterances `<prefix><speaker>/s/<number>.wav` of separable speakers; without a front end, of 8 mel bins."""
    front_end = front_end or Fbank(n_mels=8).to_dict()
    rng, num_bins = np.random.default_rng(len(prefix) + num_frames), front_end.get("n_mels", 1)
    with EvalStoreWriter(folder, front_end) as writer:
        for speaker in range(num_speakers):
            timbre = rng.normal(size=num_bins)
            for utt in range(utts_each):
                feats = timbre * rng.normal(size=(num_frames, 1)) + rng.normal(size=(num_frames, num_bins))
                writer.add(f"{prefix}{speaker}/s/{utt}.wav", f"{prefix}{speaker}", feats.astype(np.float32))
