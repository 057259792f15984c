"""Training stores, read by the tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Union

from mindvox.data.train_store import Record, WaveRecord, read_shard, shard_paths


def read_records(folder: Union[str, Path]) -> Iterator[Union[Record, WaveRecord]]:
    """Yield the records of a store in the order in which they were written."""
    for path in shard_paths(folder):
        yield from read_shard(path)
