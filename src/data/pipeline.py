"""Training batches: shuffled records of a training store, a random crop of each, new in every epoch."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import mindspore.dataset as ds
import numpy as np

from src.data.train_store import read_manifest, shard_paths
from src.errors import InputError
from src.files import PathLike
from src.frontend.fbank import repeat_to, subtract_mean


class Batch(NamedTuple):
    """One training batch: mean-subtracted features (B, T, F) float32, labels (B,) int32, utterance ids."""

    feats: np.ndarray
    label: np.ndarray
    utt_ids: list[str]


class TrainBatches:
    """Batches of equal shape from a training store, the same for the same seed whatever the number of workers.

    Args:
        folder: the training store.
        batch_size: utterances in a batch; an epoch's last records that fill no batch are left out of it.
        num_frames: frames of a crop; shorter records are repeated from their start.
        seed: of the order and of the crops.
        num_workers: threads that crop and stack.

    Raises:
        InputError: the store is missing, damaged, or smaller than one batch.
    """

    def __init__(self, folder: PathLike, batch_size: int, num_frames: int, seed: int, num_workers: int = 1) -> None:
        self.manifest = read_manifest(folder)
        if self.manifest.num_utterances < batch_size:
            raise InputError(
                f"{folder}: {self.manifest.num_utterances} records, fewer than a batch of {batch_size}: "
                "set a smaller minibatch_size."
            )
        self.num_batches = self.manifest.num_utterances // batch_size
        self.num_frames = num_frames
        self.seed = seed
        ds.config.set_seed(seed)
        columns = ["utt_id", "label", "feats"]
        records = ds.MindDataset([str(path) for path in shard_paths(folder)], columns_list=columns, shuffle=True)
        self._batches = records.batch(
            batch_size,
            drop_remainder=True,
            num_parallel_workers=min(num_workers, ds.config.get_num_parallel_workers()),
            input_columns=columns,
            output_columns=columns,
            per_batch_map=self._crop,
        )

    def epochs(self) -> Iterator[Iterator[Batch]]:
        """Yield epoch after epoch without end, each an iterator over its batches."""
        # One iterator for all epochs: a new one would repeat the first epoch's order.
        iterator = self._batches.create_tuple_iterator(num_epochs=-1, output_numpy=True)
        while True:
            yield (Batch(feats, label, utt_ids.tolist()) for utt_ids, label, feats in iterator)

    def _crop(self, utt_ids: list, labels: list, feats: list, info: ds.BatchInfo) -> tuple[np.ndarray, ...]:
        epoch = info.get_epoch_num()
        names = [str(utt_id) for utt_id in utt_ids]
        # Seeded by what is cropped, not by when, so that workers and order do not matter.
        rngs = [np.random.default_rng((self.seed, epoch, zlib.crc32(name.encode()))) for name in names]
        crops = [random_crop(record, self.num_frames, rng) for record, rng in zip(feats, rngs, strict=True)]
        return np.array(names), np.array(labels, np.int32), np.stack(crops)


def random_crop(feats: np.ndarray, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Cut random `num_frames` frames of (T, F), repeated from the start when shorter, and subtract their mean."""
    spare = max(0, len(feats) - num_frames)
    start = int(rng.integers(spare + 1))
    return subtract_mean(repeat_to(feats[start : start + num_frames], num_frames))
