"""Compute training features from crops of samples in worker processes: distortion, filterbanks, mean and masks.

MindSpore is not imported here, so that workers start in half a second and stay small.
"""

import multiprocessing
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Barrier
from typing import NamedTuple, Optional

import numpy as np

from mindvox.config import Config
from mindvox.corpus.audio import from_int16
from mindvox.data.augmentation import make_augmenter
from mindvox.data.front_ends import training_front_end
from mindvox.errors import InputError
from mindvox.frontend import FrontEnd
from mindvox.frontend.augment import Augmenter, FeatureMasks
from mindvox.frontend.frames import repeat_to
from mindvox.parallel import in_order, one_thread_each, start_process

BATCHES_AHEAD = 2  # per worker: one in progress, one waiting
START_TIMEOUT_S = 300
CROP, DISTORT = 0, 1  # purpose of a generator


def generator(seed: int, epoch: int, utt_id: str, purpose: int = CROP, drawn_before: int = 0) -> np.random.Generator:
    """Return the generator of an utterance in an epoch; it is independent of the worker.

    Args:
        purpose: CROP or DISTORT.
        drawn_before: how often this utterance was drawn earlier in the epoch.
    """
    again = (int(drawn_before),) if drawn_before else ()
    return np.random.default_rng((seed, epoch, zlib.crc32(utt_id.encode()), purpose, *again))


def crop_samples(wave: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Cut `length` samples at a random position; shorter samples are repeated from their start."""
    start = int(rng.integers(max(0, len(wave) - length) + 1))
    return repeat_to(wave[start : start + length], length)


class Crops(NamedTuple):
    """The samples of a batch, sent to a worker.

    Attributes:
        utt_ids: names of the utterances.
        label: (B,), int32.
        samples: crops (B, S), int16.
        epoch: index of the epoch, from 0.
        drawn_before: how often each record was drawn earlier in the epoch, (B,).
    """

    utt_ids: list[str]
    label: np.ndarray
    samples: np.ndarray
    epoch: int
    drawn_before: np.ndarray


class FeatureBatch(NamedTuple):
    """A batch from a worker: feats (B, T, F), float32, as the model takes them, and labels (B,), which include the
    speed with `speed_classes`."""

    utt_ids: list[str]
    label: np.ndarray
    feats: np.ndarray


class OnlineFeatures:
    """Distorts and transforms the crops of a batch; reproducible from seed, epoch and names.

    Args:
        augmenter: chooses a stage for each crop.
        front_end: computes the features, in single precision.
        num_frames: number of frames of each crop.
        seed: random seed.
        num_speakers: offset that each changed speed adds to a label; None: speeds keep the label.
        masks: SpecAugment masks of features; None: none.
    """

    def __init__(
        self,
        augmenter: Augmenter,
        front_end: FrontEnd,
        num_frames: int,
        seed: int,
        num_speakers: Optional[int] = None,
        masks: Optional[FeatureMasks] = None,
    ) -> None:
        self.augmenter = augmenter
        self.front_end = front_end
        self.num_frames = num_frames
        self.num_samples = front_end.num_samples(num_frames)
        self.seed = seed
        self.num_speakers = num_speakers
        self.masks = masks

    @classmethod
    def from_config(cls, config: Config, num_speakers: int) -> "OnlineFeatures":
        """Return the features of a training configuration.

        Raises:
            UsageError, InputError: stages, folders or the front end are wrong, see `make_augmenter`.
        """
        return cls(
            make_augmenter(config),
            training_front_end(config),
            config.train_frames,
            config.seed,
            num_speakers if config.speed_classes else None,
            FeatureMasks.from_config(config),
        )

    @property
    def crop_length(self) -> int:
        """Length of a crop in samples: enough for the fastest speed."""
        return self.augmenter.source_length(self.num_samples)

    @property
    def num_speeds(self) -> int:
        """Number of classes per speaker."""
        return 1 if self.num_speakers is None else len(self.augmenter.options.speed_percents)

    def clean(self, samples: np.ndarray) -> np.ndarray:
        """Return the features (T, F), before mean subtraction, of undistorted 16-bit samples (N,)."""
        return self.front_end(from_int16(samples))

    def __call__(self, crops: Crops) -> FeatureBatch:
        waves = from_int16(crops.samples)
        feats = np.empty((len(waves), self.num_frames, self.front_end.size), np.float32)
        label = np.array(crops.label, np.int32)
        for index, utt_id in enumerate(crops.utt_ids):
            rng = generator(self.seed, crops.epoch, utt_id, DISTORT, crops.drawn_before[index])
            plan = self.augmenter.draw(self.augmenter.choose(rng), self.num_samples, rng)
            start = int(rng.integers(self.crop_length - plan.source_length + 1))
            source = waves[index, start : start + plan.source_length]
            waveform = plan.apply(source, self._others(waves, crops.label, index))
            frames = self.front_end(waveform, rng)[: self.num_frames]  # mirrored edges can give more; see num_samples
            feats[index] = self.front_end.finish(frames)
            if self.masks:
                feats[index] = self.masks(feats[index], rng)
            label[index] += self._label_shift(plan.speed_index)
        return FeatureBatch(crops.utt_ids, label, feats)

    def _label_shift(self, speed_index: Optional[int]) -> int:
        """Return the label offset of a speed: 0 for 1.0, then one, two, ... times the number of speakers."""
        if self.num_speakers is None or speed_index is None:
            return 0
        percents = self.augmenter.options.speed_percents
        changed = [percent for percent in percents if percent != 100]
        percent = percents[speed_index]
        return 0 if percent == 100 else self.num_speakers * (1 + changed.index(percent))

    def _others(self, waves: np.ndarray, label: np.ndarray, index: int) -> Callable[..., np.ndarray]:
        """Return a source of babble: crops of the same batch, of other speakers if there are any."""

        def voices(rng: np.random.Generator, num_voices: int, num_samples: int) -> np.ndarray:
            others = np.flatnonzero(label != label[index])
            if not len(others):
                others = np.flatnonzero(np.arange(len(label)) != index)
            chosen = rng.permutation(others)[:num_voices]
            return waves[chosen, :num_samples]

        return voices


class FeatureWorkers:
    """Processes that turn crops into features, in the order of the crops.

    Args:
        features: the work of each process.
        num_workers: number of processes.

    Raises:
        InputError: a process was killed while starting.
    """

    def __init__(self, features: OnlineFeatures, num_workers: int) -> None:
        # Not forked: the copy of a process with threads, as MindSpore has, can deadlock.
        context = multiprocessing.get_context("spawn")
        self._num_workers = num_workers
        all_started = context.Barrier(num_workers)
        self._pool = ProcessPoolExecutor(num_workers, context, _start_worker, (features, all_started))
        with one_thread_each():
            # The pool starts a process if none is idle, and none is idle until all have reported.
            started = [self._pool.submit(_ready) for _ in range(num_workers)]
        try:
            for future in started:
                future.result()
        except BrokenProcessPool:
            raise _killed() from None

    def map(self, batches: Iterable[Crops]) -> Iterator[FeatureBatch]:
        """Yield the features of each batch; errors of a worker are raised here.

        Raises:
            InputError: a worker was killed, or a noise or room response cannot be read.
        """
        try:
            yield from in_order(self._pool.submit, _work, batches, BATCHES_AHEAD * self._num_workers)
        except BrokenProcessPool:
            raise _killed() from None

    def close(self) -> None:
        """Stop the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _killed() -> InputError:
    return InputError(
        "num_workers: a process that makes training features was killed, by the system if memory ran out. "
        "Run again with fewer workers or a smaller minibatch_size."
    )


_features: Optional[OnlineFeatures] = None  # set in each worker


def _start_worker(features: OnlineFeatures, all_started: Barrier) -> None:
    global _features
    start_process()
    _features = features
    all_started.wait(START_TIMEOUT_S)


def _ready() -> None:
    """Do nothing; a returned call shows that the worker runs."""


def _work(crops: Crops) -> FeatureBatch:
    assert _features is not None, "_start_worker runs first in every worker"
    return _features(crops)
