"""The interface of front ends: from a waveform to the frames that a model takes."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import numpy as np

from mindvox.config.option import checked, typed, types_of
from mindvox.errors import InputError
from mindvox.frontend.frames import normalised
from mindvox.registry import FRONT_ENDS

if TYPE_CHECKING:  # only models that take waveforms need a Cell
    from mindspore import nn


class FrontEnd:
    """Turn waveforms into features (T, F).

    A subclass is one file with its name, its `Options` and the methods that are not implemented here. Front ends with
    equal options and equal precision compare equal; they can be pickled.

    Args:
        dtype: type of the transform: float64, or float32, which is as exact as other toolkits and faster.
        settings: keys of `Options`.

    Attributes:
        name: name in the registry, and "type" in the stored form.
        Options: the keys of the section `front_end`, including `sample_rate`.
        size_option: the option that sets the size of a frame; None: several options determine it.
        training_options: options that affect only training features; front ends may differ in them.
        later_options: options that older stored forms lack; their values are then the defaults.
        normalisation: what `finish` does over the frames that the model takes: "none", "mean", "instance" or "peak";
            see `normalised`.
    """

    name: ClassVar[str]
    Options: ClassVar[type]
    size_option: ClassVar[Optional[str]]
    training_options: ClassVar[frozenset[str]] = frozenset()
    later_options: ClassVar[frozenset[str]] = frozenset()

    normalisation: str

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        self.options: Any = checked(self.Options(**settings))
        self.dtype: np.dtype = np.dtype(dtype)

    @property
    def size(self) -> int:
        """Size of a frame, F."""
        if self.size_option is None:
            raise NotImplementedError
        return getattr(self.options, self.size_option)

    @property
    def draws(self) -> bool:
        """Whether the features depend on a random generator."""
        return False

    @property
    def prepares(self) -> bool:
        """Whether `prepare` changes recordings."""
        return False

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms, Hz."""
        return self.options.sample_rate

    @property
    def frame_shift_s(self) -> float:
        """Distance between two frames, s."""
        raise NotImplementedError

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of a waveform; 0: it is too short."""
        raise NotImplementedError

    def num_samples(self, num_frames: int) -> int:
        """Return the smallest number of samples, at least 1, that gives `num_frames` frames or more."""
        raise NotImplementedError

    def prepare(self, waveform: np.ndarray) -> np.ndarray:
        """Return a whole recording prepared for embedding, before it is cut; training crops are not prepared.

        Args:
            waveform: (N,), floating, full scale 1, at `sample_rate`, checked to be usable.

        Raises:
            BadAudio: nothing remains of the recording.
            InputError: a required package is not installed.
        """
        return waveform

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        """Return the features (T, F), float32, before `finish`.

        Args:
            waveform: (N,), floating, full scale 1, at `sample_rate`, long enough for one frame.
            rng: generator for random effects in training, such as dither; None: none, as in evaluation.

        Raises:
            ValueError: the waveform is too short, not one-dimensional or not of a floating type.
        """
        raise NotImplementedError

    def cell(self, form: str = "product") -> "nn.Cell":
        """Return a Cell from waveforms (B, N) to features (B, T, F) before `finish`, in single precision.

        Args:
            form: "product" gathers the frames and multiplies, which MindSpore runs fast on every device; "native" is a
                convolution, which MindSpore Lite supports.
        """
        raise NotImplementedError

    def finish(self, feats: np.ndarray) -> np.ndarray:
        """Return features (..., T, F) as the model takes them, after cutting."""
        return normalised(feats, self.normalisation)

    def check_waveform(self, waveform: np.ndarray) -> np.ndarray:
        """Return the waveform as an array.

        Raises:
            ValueError: it is too short, not one-dimensional or not of a floating type.
        """
        waveform = np.asarray(waveform)
        least = self.num_samples(1)
        if waveform.ndim != 1 or len(waveform) < least or waveform.dtype.kind != "f":
            raise ValueError(f"expected floating samples (N,), N >= {least}, got {waveform.dtype} {waveform.shape}.")
        return waveform

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is stored beside features and in models."""
        return {"type": self.name, **vars(self.options)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrontEnd) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self.options).items())})"

    def __reduce__(self) -> tuple:
        return _rebuilt, self._key()

    def _key(self) -> tuple:
        return type(self), self.dtype, tuple(vars(self.options).items())


@lru_cache
def _rebuilt(cls: type[FrontEnd], dtype: type, settings: tuple[tuple[str, Any], ...]) -> FrontEnd:
    """Return a front end sent from another process; cached, so that jobs share it."""
    return cls(dtype, **dict(settings))


def front_end_of(stored: Mapping[str, Any], where: object = "front end", dtype: type = np.float64) -> FrontEnd:
    """Build a front end from its stored form.

    Args:
        stored: result of `FrontEnd.to_dict`.
        where: the file that it came from, for the error.
        dtype: see `FrontEnd`.

    Raises:
        InputError: the type is unknown, a key is missing or unknown, or a value is impossible.
    """
    name = stored.get("type")
    if name not in FRONT_ENDS:
        raise InputError(f"{where}: expected a front end of type {' or '.join(FRONT_ENDS)}, got {dict(stored)}.")
    cls = FRONT_ENDS.get(str(name))
    known = {field.name: field for field in dataclasses.fields(cls.Options)}
    given = {key: value for key, value in stored.items() if key != "type"}
    if given.keys() - known or known.keys() - cls.later_options - given.keys():
        raise InputError(f"{where}: expected a front end of type {name} with {sorted(known)}, got {dict(stored)}.")
    types = types_of(cls.Options)
    settings: dict[str, Any] = {}
    for key, value in given.items():
        try:
            settings[key] = typed(value, types[key], known[key].metadata)
        except ValueError as error:
            raise InputError(f"{where}: impossible front end: {key}: {error}, got {value!r}.") from None
    try:
        return cls(dtype, **settings)
    except ValueError as error:
        raise InputError(f"{where}: impossible front end: {error}") from None


def check_front_end(expected: Mapping[str, Any], got: Mapping[str, Any], where: object) -> None:
    """Compare two stored front ends.

    Args:
        expected: front end of the reader, from `FrontEnd.to_dict`.
        got: front end of `where`.
        where: file or folder of `got`.

    Raises:
        InputError: they differ in more than training options; the message says how to prepare.
    """
    wanted, found = front_end_of(expected), front_end_of(got, where)
    if wanted.name != found.name:
        raise InputError(
            f"{where}: holds features of the front end {found.name}, the model takes {wanted.name}. "
            f"{_what_to_prepare(wanted)}"
        )
    differing = [
        f"{key} {value} (expected {getattr(wanted.options, key)})"
        for key, value in vars(found.options).items()
        if value != getattr(wanted.options, key) and key not in wanted.training_options
    ]
    if differing:
        raise InputError(f"{where}: made with another front end: {', '.join(differing)}. {_what_to_prepare(wanted)}")


def _what_to_prepare(front_end: FrontEnd) -> str:
    """Return advice on preparing a store for a front end."""
    default = type(front_end)()
    keys = [f"--front_end={front_end.name}"]
    for key, value in vars(front_end.options).items():
        if value != getattr(default.options, key):
            keys.append(f"--front_end.{key}={value}")
    return f"Prepare it in another folder with {' '.join(keys)}, or with --store_kind=waveform."
