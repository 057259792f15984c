"""Training batches: shuffled records of a training store, with a new random crop of each in every epoch.

Records are features, cropped by threads, or samples, which worker processes distort and transform (`online`).

The order of an epoch follows from seed and epoch only. Ranks of one training cut it into the same global batches and
take a part of each, so that global batches depend neither on the number of ranks nor on interruptions.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import chain, count, islice, repeat
from typing import Any, NamedTuple, Optional

import mindspore.dataset as ds
import numpy as np

from mindvox.config import Config
from mindvox.data.front_ends import check_training_front_end
from mindvox.data.held_out import choose_held_out, utterance_of
from mindvox.data.online import CROP, Crops, FeatureWorkers, OnlineFeatures, crop_samples, generator
from mindvox.data.samplers.sampler import Sampler
from mindvox.data.samplers.shuffle import Shuffle
from mindvox.data.train_store import WAVEFORM, decode_wave, read_manifest, shard_paths
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend import front_end_of
from mindvox.frontend.augment import FeatureMasks, parse_stages
from mindvox.frontend.frames import repeat_to
from mindvox.progress import quantity

NAMES_AT_ONCE = 1000


class Batch(NamedTuple):
    """A training batch: features (B, T, F), float32, as the model takes them, labels (B,), int32, and utterance ids."""

    feats: np.ndarray
    label: np.ndarray
    utt_ids: list[str]


class TrainBatches:
    """Batches of equal shape from a training store, reproducible from the seed for any number of workers.

    Args:
        folder: the training store.
        batch_size: batch size of this rank, utterances; records at the end of an epoch that fill no global batch are
            left out of it.
        num_frames: number of frames of a crop; shorter records are repeated from their start.
        seed: random seed of the order and of the crops.
        num_workers: number of threads that crop features, or of processes that compute features from samples.
        masks: SpecAugment masks for a store of features; None: none.
        online: computes features from a store of samples; required for one.
        rank: index of this rank, from 0.
        num_ranks: number of ranks; a global batch has batch_size utterances for each.
        num_held_out: number of utterances to hold out for validation.
        make_sampler: called with the records, functions that return their labels and utterance indices, the size of a
            global batch, and the seed; returns the sampler that decides the order.

    Raises:
        InputError: the store is missing, damaged or smaller than one global batch, or cannot hold out this many
            utterances.
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
        rank: int = 0,
        num_ranks: int = 1,
        num_held_out: int = 0,
        make_sampler: Callable[..., Sampler] = Shuffle,
    ) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.paths = shard_paths(folder)
        self.records = np.arange(self.manifest.num_utterances)
        self.held_out: list[int] = []
        if num_held_out:
            names, labels = self._names()
            held_out = choose_held_out(names, labels, num_held_out, seed)
            self.records = np.delete(self.records, held_out.records)
            self.held_out = held_out.samples
        self.global_size = batch_size * num_ranks
        if len(self.records) < self.global_size:
            devices = f" of each of {num_ranks} devices" if num_ranks > 1 else ""
            raise InputError(
                f"{folder}: {quantity(len(self.records), 'record')}, fewer than a batch of {batch_size}{devices}: "
                "set a smaller minibatch_size."
            )
        self.batch_size = batch_size
        self.num_frames = num_frames
        self.seed = seed
        self.num_workers = num_workers
        self.masks = masks
        self.online = online
        self.front_end = online.front_end if online else front_end_of(self.manifest.front_end or {}, folder)
        self.rank = rank
        self.num_ranks = num_ranks
        self.sampler = make_sampler(self.records, self._labels, self._utterances, self.global_size, seed)

    @property
    def num_classes(self) -> int:
        """Number of classes of the objective: speakers, or speakers at each speed."""
        return self.manifest.num_speakers * (self.online.num_speeds if self.online else 1)

    def num_batches(self, first_record: int = 0) -> int:
        """Return the number of batches in an epoch, or in the rest of it after `first_record` records."""
        return (self.sampler.num_records - first_record) // self.global_size

    def order(self, epoch: int, first_record: int = 0) -> np.ndarray:
        """Return the records of this rank in an epoch (from 0), after the first `first_record` records of all ranks."""
        return self.sampler.part(epoch, first_record, self.rank, self.num_ranks)[0].ravel()

    def epochs(self, epoch: int = 0, first_record: int = 0) -> Generator[Iterator[Batch], None, None]:
        """Yield epochs forever, each as an iterator over its batches.

        Args:
            epoch: index of the first epoch, from 0.
            first_record: number of its records that all ranks have already processed.

        Raises:
            InputError: in a store of samples, a worker was killed, or a noise or room response cannot be read.
        """
        if self.online is None:
            for start in _starts(epoch, first_record):  # infinite
                yield (Batch(feats, label, utt_ids.tolist()) for utt_ids, label, feats, _ in self._records(*start))
            return
        workers = FeatureWorkers(self.online, self.num_workers)
        try:
            batches = workers.map(self.sample_crops(epoch, first_record))  # continues across epochs without a pause
            for _, first in _starts(epoch, first_record):
                features = islice(batches, self.num_batches(first))
                yield (Batch(batch.feats, batch.label, batch.utt_ids) for batch in features)
        finally:
            workers.close()

    def sample_crops(self, epoch: int = 0, first_record: int = 0) -> Iterator[Crops]:
        """Yield the undistorted batches of a store of samples, epoch after epoch forever; see `epochs`."""
        for number, first in _starts(epoch, first_record):
            for utt_ids, label, samples, drawn_before in self._records(number, first):
                yield Crops(utt_ids.tolist(), label, samples, number, drawn_before)

    def _records(
        self, epoch: int, first_record: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the batches of an epoch: names, labels, crops, and how often each record was drawn earlier in it."""
        is_online = self.manifest.kind == WAVEFORM
        columns = self._columns()
        records, drawn_before = self.sampler.part(epoch, first_record, self.rank, self.num_ranks)
        if not records.size:  # MindSpore reads an empty list as all records
            return
        batches = self._read(records.ravel().tolist(), columns).batch(
            self.batch_size,
            drop_remainder=True,
            num_parallel_workers=1 if is_online else min(self.num_workers, ds.config.get_num_parallel_workers()),
            input_columns=columns,
            output_columns=columns,
            per_batch_map=partial(self._cut if is_online else self._crop, epoch, drawn_before),
        )
        rows = batches.create_tuple_iterator(num_epochs=1, output_numpy=True)
        for row, times in zip(rows, drawn_before, strict=True):
            yield *row, times

    def held_out_feats(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield name, label and features (T, F), before mean subtraction, of one record of each held-out utterance."""
        return self._feats(self.held_out)

    def feats_of_speakers(self, num_records: int) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield name, label and features (T, F), undistorted and before mean subtraction, of at most `num_records`
        records of each speaker, drawn with the seed; held-out utterances are not among them.
        """
        labels = self._labels()
        taken: Counter[int] = Counter()
        chosen = []
        for index in np.random.default_rng(self.seed).permutation(len(labels)):
            label = int(labels[index])
            if taken[label] < num_records:
                taken[label] += 1
                chosen.append(int(self.records[index]))
        return self._feats(sorted(chosen))

    def _feats(self, records: list[int]) -> Iterator[tuple[str, int, np.ndarray]]:
        if not records:  # MindSpore reads an empty list as all records
            return
        rows = self._read(records, self._columns()).create_tuple_iterator(num_epochs=1, output_numpy=True)
        for name, label, content in rows:
            yield str(name), int(label), self.online.clean(decode_wave(content)) if self.online else content

    def refuse_one_speaker(self) -> None:
        """Raise InputError unless two records have different labels; usually the first few suffice."""
        order = np.random.default_rng(self.seed).permutation(self.records).tolist()
        labels = self._read(order, ["label"]).create_tuple_iterator(num_epochs=1, output_numpy=True)
        (first,) = next(labels)
        if all(label == first for (label,) in labels):
            raise InputError(
                f"{self.folder}: all {len(order)} records are of one speaker: there is nothing to tell apart. Prepare "
                "a corpus of at least two speakers: wav/<speaker>/<session>/<file>."
            )

    def _columns(self) -> list[str]:
        return ["utt_id", "label", "wave" if self.manifest.kind == WAVEFORM else "feats"]

    def _read(self, records: list[int], columns: list[str]) -> ds.Dataset:
        """Return these columns of these records, in this order; records may repeat."""
        size = self.manifest.num_utterances  # a sampler accepts at most as many records as the store has (2.10)
        pieces = [records[first : first + size] for first in range(0, len(records), size)]
        parts = [ds.MindDataset(self.paths, columns_list=columns, sampler=ds.SubsetSampler(piece)) for piece in pieces]
        return parts[0] if len(parts) == 1 else parts[0].concat(parts[1:])

    def _names(self) -> tuple[list[str], list[int]]:
        """Return names and labels of all records."""
        rows = self._read(self.records.tolist(), ["utt_id", "label"]).batch(NAMES_AT_ONCE)
        names, labels = [], []
        for name, label in rows.create_tuple_iterator(num_epochs=1, output_numpy=True):
            names += name.tolist()
            labels += label.tolist()
        return names, labels

    def _labels(self) -> np.ndarray:
        """Return the label of each record in batches, without reading features or samples."""
        rows = self._read(self.records.tolist(), ["label"]).batch(NAMES_AT_ONCE)
        return np.concatenate([label for (label,) in rows.create_tuple_iterator(num_epochs=1, output_numpy=True)])

    def _utterances(self) -> np.ndarray:
        """Return an utterance index for each record in batches; records of one utterance share it."""
        numbers: dict[str, int] = {}
        rows = self._read(self.records.tolist(), ["utt_id"]).batch(NAMES_AT_ONCE)
        found = [
            [numbers.setdefault(utterance_of(name), len(numbers)) for name in names.tolist()]
            for (names,) in rows.create_tuple_iterator(num_epochs=1, output_numpy=True)
        ]
        return np.concatenate(found)

    def _crop(
        self, epoch: int, drawn_before: np.ndarray, utt_ids: list, labels: list, feats: list, batch: ds.BatchInfo
    ) -> tuple[np.ndarray, ...]:
        names = [str(utt_id) for utt_id in utt_ids]
        # The seed depends on what is cropped and how often it was drawn in this epoch, not on workers or order.
        times = drawn_before[batch.get_batch_num()]
        rngs = [generator(self.seed, epoch, name, CROP, drawn) for name, drawn in zip(names, times, strict=True)]
        crops = [random_crop(record, self.num_frames, rng) for record, rng in zip(feats, rngs, strict=True)]
        crops = [self.front_end.finish(crop) for crop in crops]
        if self.masks:
            crops = [self.masks(crop, rng) for crop, rng in zip(crops, rngs, strict=True)]
        return np.array(names), np.array(labels, np.int32), np.stack(crops)

    def _cut(
        self, epoch: int, drawn_before: np.ndarray, utt_ids: list, labels: list, waves: list, batch: ds.BatchInfo
    ) -> tuple[np.ndarray, ...]:
        assert self.online is not None, "required for a store of samples"
        names, length = [str(utt_id) for utt_id in utt_ids], self.online.crop_length
        times = drawn_before[batch.get_batch_num()]
        crops = [
            crop_samples(decode_wave(wave), length, generator(self.seed, epoch, name, CROP, drawn))
            for wave, name, drawn in zip(waves, names, times, strict=True)
        ]
        return np.array(names), np.array(labels, np.int32), np.stack(crops)


def open_batches(config: Config, rank: int = 0, num_ranks: int = 1) -> TrainBatches:
    """Open the training store of a configuration with its augmentation; for `rank` see `TrainBatches`.

    Raises:
        InputError: the store is missing, damaged, smaller than one batch or of one speaker, or a store of features
            does not allow the augmentation or has another front end.
        UsageError, InputError: stages, folders or the front end are wrong.
    """
    manifest = read_manifest(config.train_data_path)
    common = (config.train_data_path, config.minibatch_size, config.train_frames, config.seed, config.num_workers)
    shared: dict[str, Any] = {"rank": rank, "num_ranks": num_ranks, "num_held_out": config.valid_utterances}
    shared["make_sampler"] = config.sampler.build
    if manifest.kind == WAVEFORM:
        batches = TrainBatches(*common, online=OnlineFeatures.from_config(config, manifest.num_speakers), **shared)
        batches.refuse_one_speaker()
        return batches
    if any(stage.steps for stage in parse_stages(config)) or config.speed_classes:
        raise InputError(
            f"{config.train_data_path}: holds features, which cannot be distorted any more. Leave augmentations at "
            "[clean] and speed_classes at false, or prepare with store_kind: waveform."
        )
    check_training_front_end(config, manifest.front_end or {}, config.train_data_path)
    batches = TrainBatches(*common, masks=FeatureMasks.from_config(config), **shared)
    batches.refuse_one_speaker()
    return batches


def _starts(epoch: int, first_record: int) -> Iterator[tuple[int, int]]:
    """Yield each epoch from `epoch`, with the record at which it starts: 0 for all but the first."""
    return zip(count(epoch), chain([first_record], repeat(0)))


def random_crop(feats: np.ndarray, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Cut `num_frames` random frames of (T, F); shorter features are repeated from their start."""
    spare = max(0, len(feats) - num_frames)
    start = int(rng.integers(spare + 1))
    return repeat_to(feats[start : start + num_frames], num_frames)
