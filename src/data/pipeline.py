"""Training batches: shuffled records of a training store, a random crop of each, new in every epoch.

Records are features, cropped by threads, or samples, which worker processes distort and transform (`online`).
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Optional

import mindspore.dataset as ds
import numpy as np

from src.config import Config
from src.data.online import Crops, FeatureWorkers, OnlineFeatures, crop_samples, generator
from src.data.train_store import WAVEFORM, decode_wave, read_manifest, shard_paths
from src.errors import InputError
from src.files import PathLike
from src.frontend.augment import FeatureMasks, parse_stages
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
        num_workers: threads that crop features, or processes that make features of samples.
        masks: of the features of a store of features; None: none.
        online: makes features of a store of samples, and must be given for one.

    Raises:
        InputError: the store is missing, damaged, or smaller than one batch.
    """

    def __init__(
        self,
        folder: PathLike,
        batch_size: int,
        num_frames: int,
        seed: int,
        num_workers: int = 1,
        masks: Optional[FeatureMasks] = None,
        online: Optional[OnlineFeatures] = None,
    ) -> None:
        self.manifest = read_manifest(folder)
        if self.manifest.num_utterances < batch_size:
            raise InputError(
                f"{folder}: {self.manifest.num_utterances} records, fewer than a batch of {batch_size}: "
                "set a smaller minibatch_size."
            )
        self.num_batches = self.manifest.num_utterances // batch_size
        self.num_frames = num_frames
        self.seed = seed
        self.masks = masks
        self.online = online
        self.num_workers = num_workers
        is_online = self.manifest.kind == WAVEFORM
        ds.config.set_seed(seed)
        columns = ["utt_id", "label", "wave" if is_online else "feats"]
        # A worker needs the epoch, which MindSpore tells this function only.
        records = ds.MindDataset(shard_paths(folder), columns_list=columns, shuffle=True)
        self._batches = records.batch(
            batch_size,
            drop_remainder=True,
            num_parallel_workers=1 if is_online else min(num_workers, ds.config.get_num_parallel_workers()),
            input_columns=columns,
            output_columns=[*columns, "epoch"] if is_online else columns,
            per_batch_map=self._cut if is_online else self._crop,
        )

    @property
    def front_end(self) -> dict:
        """How the features are made, as stores and checkpoints hold it."""
        return self.online.front_end.to_dict() if self.online else self.manifest.front_end

    @property
    def num_classes(self) -> int:
        """What the objective tells apart: speakers, or speakers at each speed."""
        return self.manifest.num_speakers * (self.online.num_speeds if self.online else 1)

    def iterator(self) -> Iterator:
        """Return MindSpore's iterator, which begins a new epoch whenever it is asked again after its end."""
        # One for all epochs: a new one would repeat the first epoch's order.
        return self._batches.create_tuple_iterator(num_epochs=-1, output_numpy=True)

    def epochs(self) -> Iterator[Iterator[Batch]]:
        """Yield epoch after epoch without end, each an iterator over its batches.

        Raises:
            InputError: of a store of samples: a worker was killed, or a noise or room cannot be read.
        """
        if self.online is None:
            iterator = self.iterator()
            while True:
                yield (Batch(feats, label, utt_ids.tolist()) for utt_ids, label, feats in iterator)
        workers = FeatureWorkers(self.online, self.num_workers)
        try:
            batches = workers.map(sample_crops(self))  # across the ends of epochs, where workers would wait otherwise
            while True:
                yield (Batch(batch.feats, batch.label, batch.utt_ids) for batch in islice(batches, self.num_batches))
        finally:
            workers.close()

    def _crop(self, utt_ids: list, labels: list, feats: list, info: ds.BatchInfo) -> tuple[np.ndarray, ...]:
        names, epoch = [str(utt_id) for utt_id in utt_ids], info.get_epoch_num()
        # Seeded by what is cropped, not by when, so that workers and order do not matter.
        rngs = [generator(self.seed, epoch, name) for name in names]
        crops = [random_crop(record, self.num_frames, rng) for record, rng in zip(feats, rngs, strict=True)]
        if self.masks:
            crops = [self.masks(crop, rng) for crop, rng in zip(crops, rngs, strict=True)]
        return np.array(names), np.array(labels, np.int32), np.stack(crops)

    def _cut(self, utt_ids: list, labels: list, waves: list, info: ds.BatchInfo) -> tuple[np.ndarray, ...]:
        names, epoch, length = [str(utt_id) for utt_id in utt_ids], info.get_epoch_num(), self.online.crop_length
        crops = [
            crop_samples(decode_wave(wave), length, generator(self.seed, epoch, name))
            for wave, name in zip(waves, names, strict=True)
        ]
        return np.array(names), np.array(labels, np.int32), np.stack(crops), np.full(len(names), epoch, np.int32)


def open_batches(config: Config) -> TrainBatches:
    """Open the training store of a configuration, with the augmentation that it asks for.

    Raises:
        InputError: the store is missing, damaged, or smaller than one batch; a store of features is to be distorted.
        UsageError, InputError: stages, folders or the front end are wrong.
    """
    manifest = read_manifest(config.train_data_path)
    common = (config.train_data_path, config.minibatch_size, config.train_frames, config.seed, config.num_workers)
    if manifest.kind == WAVEFORM:
        return TrainBatches(*common, online=OnlineFeatures.from_config(config, manifest.num_speakers))
    if any(stage.steps for stage in parse_stages(config)) or config.speed_classes:
        raise InputError(
            f"{config.train_data_path}: holds features, which cannot be distorted any more. Leave augmentations at "
            "[clean] and speed_classes at false, or prepare with store_kind: waveform."
        )
    return TrainBatches(*common, masks=FeatureMasks.from_config(config))


def sample_crops(batches: TrainBatches) -> Iterator[Crops]:
    """Yield the batches of a store of samples, not yet distorted, epoch after epoch without end."""
    iterator = batches.iterator()
    while True:
        for utt_ids, label, samples, epoch in iterator:
            yield Crops(utt_ids.tolist(), label, samples, int(epoch[0]))


def random_crop(feats: np.ndarray, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Cut random `num_frames` frames of (T, F), repeated from the start when shorter, and subtract their mean."""
    spare = max(0, len(feats) - num_frames)
    start = int(rng.integers(spare + 1))
    return subtract_mean(repeat_to(feats[start : start + num_frames], num_frames))
