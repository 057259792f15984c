"""Augmentation: named stages of distortions, drawn from a given random generator and applied to waveforms.

A stage is a list of steps. Each step draws its parameters (`draw`) and applies them (`apply`), so that the result
follows from the generator's seed only. `STAGES` holds the six stages of the model zoo's offline preparation; others
are written as steps joined by `+`, such as `speed+reverb+noise`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, Optional, Protocol, Union

import numpy as np

from mindvox.config import AugmentationOptions, Config
from mindvox.errors import UsageError
from mindvox.frontend import distortions
from mindvox.frontend.frames import repeat_to
from mindvox.lru import ArrayCache

STAGES = {
    "clean": (),
    "augment_wavedrop": ("drop_freq", "drop_chunk"),
    "augment_speed": ("speed", "drop_freq", "drop_chunk"),
    "add_rev": ("reverb",),
    "add_noise": ("noise",),
    "add_rev_noise": ("reverb", "noise"),
}
ROOM_CACHE_BYTES = 1 << 26  # of cached room spectra; one for 3 s takes 192 kB

# (generator, number of voices, samples of each) -> waveforms of other utterances
BabbleSource = Callable[[np.random.Generator, int, int], Union[Sequence[np.ndarray], np.ndarray]]


class Noises(Protocol):
    """Noise recordings by index."""

    def __len__(self) -> int: ...

    def num_samples(self, index: int) -> int:
        """Return the length of a recording."""

    def segment(self, index: int, start: int, length: int) -> np.ndarray:
        """Return (length,), float32, samples from `start`; a recording that ends earlier starts again."""

    def of_kind(self, kind: str) -> "Noises":
        """Return the recordings in MUSAN's part `kind` (noise, music or speech); none if there is no such part."""


class Rooms(Protocol):
    """Room responses by index."""

    def __len__(self) -> int: ...

    def response(self, index: int) -> np.ndarray:
        """Return the samples (M,) float32 of a response."""


class Step(Protocol):
    """A distortion: the ranges to draw from, and its inputs besides the waveform."""

    def draw(self, rng: np.random.Generator, num_samples: int) -> Any:
        """Return parameters for a waveform of `num_samples`."""

    def apply(self, waveform: np.ndarray, drawn: Any, babble: Optional[BabbleSource]) -> np.ndarray:
        """Return the distorted waveform."""


class Stage(NamedTuple):
    """A kind of augmented copy: its configured name, the names of its steps, and its weight."""

    name: str
    steps: tuple[str, ...]
    weight: float = 1.0


class Plan(NamedTuple):
    """Drawn parameters for one waveform.

    Args:
        source_length: number of samples that `apply` takes.
        num_samples: number of samples that `apply` returns.
        speed_index: index of the drawn speed in `speeds`; None: the stage has no speed step.
    """

    source_length: int
    num_samples: int
    speed_index: Optional[int]
    draws: tuple[tuple[Step, Any], ...]

    def apply(self, waveform: np.ndarray, babble: Optional[BabbleSource] = None) -> np.ndarray:
        """Distort a waveform (source_length,), float32, to (num_samples,).

        Args:
            babble: returns other utterances; required by stages with babble.
        """
        if len(waveform) != self.source_length:
            raise ValueError(f"expected {self.source_length} samples, got {len(waveform)}.")
        for step, drawn in self.draws:
            waveform = step.apply(waveform, drawn, babble)
        return waveform[: self.num_samples]


class Augmenter:
    """Draws and applies stages.

    Args:
        stages: stages that `choose` draws from, see `parse_stages`; `draw` and `apply` take any of them by name.
        options: ranges to draw from.
        noises: required by stages with noise, music or speech.
        rooms: required by stages with reverb.
        functions: module of the distortions: ours, or `speechbrain_front` for SpeechBrain's code.

    Raises:
        UsageError: a stage needs noises or rooms, but there are none.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        options: AugmentationOptions,
        noises: Optional[Noises] = None,
        rooms: Optional[Rooms] = None,
        functions: ModuleType = distortions,
    ) -> None:
        self.stages = tuple(stages)
        self.options = options
        names = dict.fromkeys(name for stage in stages for name in stage.steps)
        given = _Given(options, noises, rooms, functions)
        steps = {name: STEPS[name](given) for name in names}
        self._steps = {stage.name: [steps[name] for name in stage.steps] for stage in stages}
        self._bounds = np.cumsum([stage.weight for stage in stages])

    @property
    def needs_babble(self) -> bool:
        """Whether a stage needs other utterances."""
        return any("babble" in stage.steps for stage in self.stages)

    def source_length(self, num_samples: int) -> int:
        """Return the greatest number of samples that a plan for `num_samples` takes."""
        has_speed = any("speed" in stage.steps for stage in self.stages)
        fastest = max(100, *self.options.speed_percents) if has_speed else 100
        return distortions.speed_source_length(num_samples, fastest)

    def choose(self, rng: np.random.Generator) -> str:
        """Return the name of a stage, drawn by weight."""
        place = np.searchsorted(self._bounds, rng.random() * self._bounds[-1], side="right")
        return self.stages[min(int(place), len(self.stages) - 1)].name

    def draw(self, stage_name: str, num_samples: int, rng: np.random.Generator) -> Plan:
        """Draw the parameters of a stage for a result of `num_samples`."""
        steps = self._steps[stage_name]
        speed_index, percent = None, 100
        for step in steps:
            if isinstance(step, Speed):
                speed_index = step.draw(rng, num_samples)
                percent = step.percents[speed_index]
        source_length = length = distortions.speed_source_length(num_samples, percent)
        draws: list[tuple[Step, Any]] = []
        for step in steps:
            if isinstance(step, Speed):
                draws.append((step, speed_index))
                length = num_samples
            else:
                draws.append((step, step.draw(rng, length)))
        return Plan(source_length, num_samples, speed_index, tuple(draws))

    def apply(
        self,
        stage_name: str,
        waveform: np.ndarray,
        rng: np.random.Generator,
        babble: Optional[BabbleSource] = None,
    ) -> np.ndarray:
        """Return a distorted waveform of the same length.

        A stage that speeds up needs more samples than it returns; the waveform is then repeated from its start. A
        caller with enough samples can ask `draw` for the number instead.

        Args:
            waveform: (N,), float32.
        """
        plan = self.draw(stage_name, len(waveform), rng)
        return plan.apply(repeat_to(waveform, plan.source_length), babble)


def parse_stages(config: AugmentationOptions) -> tuple[Stage, ...]:
    """Return the stages that `augmentations` lists, as `NAME` or, for training, `NAME:WEIGHT`.

    Raises:
        UsageError: a name is unknown or repeated, or a weight is not positive or has no effect.
    """
    stages = tuple(_parse_stage(entry) for entry in config.augmentations)
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise UsageError(f"augmentations: expected each stage once, got {', '.join(names)}.")
    if not isinstance(config, Config) and any(":" in entry for entry in config.augmentations):
        raise UsageError(
            "augmentations: preparation makes one copy for each stage; weights such as 'clean:0.4' are for train.py."
        )
    return stages


def _parse_stage(entry: str) -> Stage:
    name, _, weight = entry.partition(":")
    steps = STAGES.get(name, tuple(name.split("+")))
    unknown = [step for step in steps if step not in STEPS]
    if unknown:
        raise UsageError(
            f"augmentations: unknown stage '{name}': expected one of {', '.join(STAGES)}, or steps joined by '+': "
            f"{', '.join(STEPS)}."
        )
    if steps.count("speed") > 1:
        raise UsageError(f"augmentations: '{name}' changes the speed twice.")
    try:
        value = float(weight or 1)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"augmentations: expected a positive weight after '{name}:', got '{weight}'.")
    return Stage(name, steps, value)


class Speed:
    """Change the speed; `drawn` is the index of one of the given speeds, drawn with equal probability."""

    def __init__(self, percents: Sequence[int], function: Callable = distortions.change_speed) -> None:
        self.percents = tuple(percents)
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> int:
        return int(rng.integers(len(self.percents)))

    def apply(self, waveform: np.ndarray, drawn: int, babble: Optional[BabbleSource] = None) -> np.ndarray:
        return self._function(waveform, self.percents[drawn])


class NoiseDraw(NamedTuple):
    """The drawn recording, its first sample and the signal-to-noise ratio."""

    index: int  # type: ignore[assignment] # hides tuple.index, which is not used
    start: int
    snr_db: float


class AddNoise:
    """Add a noise recording from a random position."""

    def __init__(self, noises: Noises, snr_db: Sequence[float], function: Callable = distortions.add_noise) -> None:
        self.noises = noises
        self.snr_db = tuple(snr_db)
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> NoiseDraw:
        index = int(rng.integers(len(self.noises)))
        start = int(rng.integers(max(0, self.noises.num_samples(index) - num_samples) + 1))
        return NoiseDraw(index, start, _number(rng, self.snr_db))

    def apply(self, waveform: np.ndarray, drawn: NoiseDraw, babble: Optional[BabbleSource] = None) -> np.ndarray:
        noise = self.noises.segment(drawn.index, drawn.start, len(waveform))
        return self._function(waveform, noise, drawn.snr_db)


class BabbleDraw(NamedTuple):
    """The number of voices, the seed of their choice, and the ratio of speech to babble."""

    num_voices: int
    seed: int
    snr_db: float


class AddBabble:
    """Add the sum of other utterances as noise."""

    def __init__(
        self, num_voices: Sequence[int], snr_db: Sequence[float], function: Callable = distortions.add_noise
    ) -> None:
        self.num_voices = tuple(num_voices)
        self.snr_db = tuple(snr_db)
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> BabbleDraw:
        return BabbleDraw(_whole(rng, self.num_voices), int(rng.integers(2**32)), _number(rng, self.snr_db))

    def apply(self, waveform: np.ndarray, drawn: BabbleDraw, babble: Optional[BabbleSource] = None) -> np.ndarray:
        if babble is None:
            raise ValueError("babble needs a source of other utterances.")
        voices = babble(np.random.default_rng(drawn.seed), drawn.num_voices, len(waveform))
        return self._function(waveform, np.sum(voices, axis=0), drawn.snr_db)


class Reverberate:
    """Apply a room response; `drawn` is its index. Results for the most recent rooms are cached."""

    def __init__(self, rooms: Rooms, functions: ModuleType = distortions) -> None:
        self.rooms = rooms
        self._prepare, self._function = functions.room_spectrum, functions.reverberate
        self._spectra = ArrayCache(ROOM_CACHE_BYTES)

    def draw(self, rng: np.random.Generator, num_samples: int) -> int:
        return int(rng.integers(len(self.rooms)))

    def apply(self, waveform: np.ndarray, drawn: int, babble: Optional[BabbleSource] = None) -> np.ndarray:
        num_samples = len(waveform)
        spectrum = self._spectra.get(
            (drawn, num_samples), lambda: self._prepare(self.rooms.response(drawn), num_samples)
        )
        return self._function(waveform, spectrum)


class DropFrequencies:
    """Remove narrow bands; `drawn` holds their positions as shares of half the sampling rate."""

    def __init__(self, count: Sequence[int], width: float, function: Callable = distortions.drop_frequencies) -> None:
        self.count = tuple(count)
        self.width = width
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        return 1 - rng.random(_whole(rng, self.count))  # in (0, 1]

    def apply(self, waveform: np.ndarray, drawn: np.ndarray, babble: Optional[BabbleSource] = None) -> np.ndarray:
        return self._function(waveform, drawn, self.width)


class ChunkDraw(NamedTuple):
    """First samples and lengths of the silenced stretches."""

    starts: np.ndarray
    lengths: np.ndarray


class DropChunks:
    """Silence stretches; all lie within the waveform if it is long enough."""

    def __init__(
        self, count: Sequence[int], length: Sequence[int], function: Callable = distortions.drop_chunks
    ) -> None:
        self.count = tuple(count)
        self.length = tuple(length)
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> ChunkDraw:
        count = _whole(rng, self.count)
        lengths = rng.integers(self.length[0], self.length[1] + 1, count)
        last = max(0, num_samples - int(lengths.max(initial=0)))
        return ChunkDraw(rng.integers(0, last + 1, count), lengths)

    def apply(self, waveform: np.ndarray, drawn: ChunkDraw, babble: Optional[BabbleSource] = None) -> np.ndarray:
        return self._function(waveform, drawn.starts, drawn.lengths)


class Scale:
    """A distortion with one parameter from a range: volume (the peak) or clip (the remaining share of the peak)."""

    def __init__(self, span: Sequence[float], function: Callable) -> None:
        self.span = tuple(span)
        self._function = function

    def draw(self, rng: np.random.Generator, num_samples: int) -> float:
        return _number(rng, self.span)

    def apply(self, waveform: np.ndarray, drawn: float, babble: Optional[BabbleSource] = None) -> np.ndarray:
        return self._function(waveform, drawn)


class FeatureMasks:
    """SpecAugment: one mask of frames and one of bins on some of the features, with random positions and lengths.

    Args:
        share: share of features that are masked.
        max_frames: greatest length of a mask along time.
        max_bins: greatest width of a mask along frequency.
    """

    def __init__(self, share: float, max_frames: int, max_bins: int) -> None:
        self.share = share
        self.max_frames = max_frames
        self.max_bins = max_bins

    @classmethod
    def from_config(cls, config: Config) -> Optional["FeatureMasks"]:
        """Return the configured masks; None: there are none."""
        if not config.spec_augment:
            return None
        return cls(config.spec_augment, config.spec_augment_frames, config.spec_augment_bins)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[list, list]:
        """Return masks (start, length) of frames and of bins for features of this shape; none for unmasked features."""
        if rng.random() >= self.share:
            return [], []
        return [_mask(rng, shape[0], self.max_frames)], [_mask(rng, shape[1], self.max_bins)]

    def __call__(self, feats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Mask mean-subtracted features (T, F)."""
        return distortions.mask_features(feats, *self.draw(rng, feats.shape))


def _mask(rng: np.random.Generator, size: int, longest: int) -> tuple[int, int]:
    length = int(rng.integers(min(longest, size) + 1))
    return int(rng.integers(size - length + 1)), length


def _number(rng: np.random.Generator, bounds: Sequence[float]) -> float:
    """Draw a number between two bounds."""
    low, high = bounds
    return rng.uniform(low, high)


def _whole(rng: np.random.Generator, bounds: Sequence[int]) -> int:
    """Draw a whole number, including both bounds."""
    return int(rng.integers(bounds[0], bounds[1] + 1))


class _Given(NamedTuple):
    """Everything that steps are built from."""

    options: AugmentationOptions
    noises: Optional[Noises]
    rooms: Optional[Rooms]
    functions: ModuleType


def _noise(given: _Given) -> AddNoise:
    # Without MUSAN's parts, the whole folder counts as noise.
    noises = given.noises and (given.noises.of_kind("noise") or given.noises)
    return AddNoise(
        _some(noises, "noise", "noise_folder: recordings of noise"), given.options.noise_snr, given.functions.add_noise
    )


def _musan(part: str, given: _Given) -> AddNoise:
    noises = given.noises and given.noises.of_kind(part)
    needed = f"noise_folder: MUSAN, or a folder that has recordings in {part}/"
    return AddNoise(_some(noises, part, needed), getattr(given.options, f"{part}_snr"), given.functions.add_noise)


def _reverb(given: _Given) -> Reverberate:
    return Reverberate(_some(given.rooms, "reverb", "rir_folder: room responses"), given.functions)


def _some(recordings: Any, step: str, needed: str) -> Any:
    if not recordings:
        raise UsageError(f"augmentations: the step '{step}' needs {needed}. Set it, or leave this step's stages out.")
    return recordings


STEPS: dict[str, Callable[[_Given], Step]] = {
    "speed": lambda given: Speed(given.options.speed_percents, given.functions.change_speed),
    "noise": _noise,
    "music": partial(_musan, "music"),
    "speech": partial(_musan, "speech"),
    "babble": lambda given: AddBabble(given.options.babble_voices, given.options.babble_snr, given.functions.add_noise),
    "reverb": _reverb,
    "drop_freq": lambda given: DropFrequencies(
        given.options.drop_freq_count, given.options.drop_freq_width, given.functions.drop_frequencies
    ),
    "drop_chunk": lambda given: DropChunks(
        given.options.drop_chunk_count, given.options.drop_chunk_length, given.functions.drop_chunks
    ),
    "volume": lambda given: Scale(given.options.volume_peak, given.functions.set_peak),
    "clip": lambda given: Scale(given.options.clip_share, given.functions.clip_peaks),
}
