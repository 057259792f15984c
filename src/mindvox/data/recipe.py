"""The recipe that turns an utterance into the records of a training store."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.config import AugmentationOptions, TrainPrepConfig
from mindvox.corpus.audio import BadAudio, to_int16
from mindvox.corpus.quality import NOISE_LIMITS, read_usable
from mindvox.corpus.tree import Utterance
from mindvox.data.augmentation import Folders, make_augmenter, open_folders
from mindvox.data.cutting import Cutting, Piece
from mindvox.data.front_ends import prepared_front_end
from mindvox.data.store import content_bytes
from mindvox.data.train_store import FEATURES, WAVEFORM
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend import FrontEnd
from mindvox.frontend.augment import Augmenter, BabbleSource
from mindvox.frontend.frames import repeat_to

CLEAN = "clean"
OF_FEATURES = 1  # purpose of a generator, beside distortion
TRIES_FOR_A_VOICE = 100


@dataclass(frozen=True)
class Recipe:
    """Turns an utterance into records: cut it, distort each piece in several ways, compute features.

    Args:
        front_end: computes the features; None: records are 16-bit samples.
        cutting: cuts utterances into pieces.
        options: its `augmentations` are the ways of distortion; each piece gives one record for each.
        seed: random seed of the distortions.
        folders: checked noises and rooms.
    """

    front_end: Optional[FrontEnd]
    cutting: Cutting
    options: AugmentationOptions = field(default_factory=AugmentationOptions)
    seed: int = 0
    folders: Folders = Folders()

    @classmethod
    def from_config(cls, config: TrainPrepConfig) -> "Recipe":
        """Return the recipe of training data.

        Raises:
            UsageError: a stage is unknown, or lacks its folder.
            InputError: a folder of noises or rooms has no usable file, or SpeechBrain is selected but missing.
        """
        values = _options_of(config)
        for name in ("noise_folder", "rir_folder"):
            values[name] = values[name] and str(Path(values[name]).resolve())
        options = AugmentationOptions(**values)
        front_end = None if config.store_kind == "waveform" else prepared_front_end(config)
        folders = open_folders(options)
        make_augmenter(options, folders)  # raise errors here, not in the first shard
        return cls(front_end, Cutting.from_config(config), options, config.seed, folders)

    @property
    def kind(self) -> str:
        """The content of a record, as the manifest names it."""
        return WAVEFORM if self.front_end is None else FEATURES

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the ways of distortion, "clean" among them."""
        return self.options.augmentations

    @property
    def _augmenter(self) -> Augmenter:
        return _augmenter_of(tuple(_options_of(self.options).items()), self.folders)

    @property
    def needs_babble(self) -> bool:
        """Whether `records` needs other utterances."""
        return self._augmenter.needs_babble

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the content besides the table and the front end."""
        settings = {**self.cutting.settings(), "augmentations": list(self.stages)}
        if self.front_end is not None and self.front_end.draws:
            settings["seed"] = self.seed
        if self.stages == (CLEAN,):
            return settings
        values = _options_of(self.options)
        values["frontend"] = values.pop("feature_backend")  # its name in stores of the first version
        for name, paths in self._files().items():  # only the used files matter, not their location
            del values[name]
            values[f"{name}_sha256"] = _listing_sha256(paths) if paths else ""
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {**settings, **lists, "seed": self.seed}

    def augmentation_files(self) -> dict[str, dict[str, Path]]:
        """Return the usable files of `noise_folder` and `rir_folder` by name, if these folders are used."""
        return {name: paths for name, paths in self._files().items() if paths}

    def _files(self) -> dict[str, dict[str, Path]]:
        folders = {"noise_folder": self.folders.noises, "rir_folder": self.folders.rooms}
        return {
            name: {path: folder.folder / path for path in folder.paths} if folder else {}
            for name, folder in folders.items()
        }

    def stored_front_end(self) -> Optional[dict[str, Any]]:
        """Return the front end in the form of the manifest."""
        return None if self.front_end is None else self.front_end.to_dict()

    def num_records(self, utterance: Utterance) -> int:
        """Return the number of records of an utterance."""
        return len(self.stages) * self.cutting.num_pieces(utterance.stop - utterance.start)

    def record_bytes(self, utterance: Utterance) -> int:
        """Return the size in bytes of each of its records."""
        return content_bytes(self.front_end, self.cutting.num_samples(utterance.stop - utterance.start))

    def records(
        self, utterance: Utterance, waveform: np.ndarray, chosen: range, babble: Optional[BabbleSource] = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and content of the records with the indices `chosen`, as far as they exist.

        A waveform that was cut to its speech may have fewer consecutive chunks than `num_records` says.

        A distorted piece is named `<name of the piece>@<stage>`. Its random parameters follow from seed, name and copy.

        Args:
            babble: returns other utterances, for stages with babble.
        """
        pieces = self.cutting.pieces(utterance, waveform)
        for number in range(chosen.start, min(chosen.stop, len(pieces) * len(self.stages))):
            piece, stage = pieces[number // len(self.stages)], self.stages[number % len(self.stages)]
            name = piece.name if stage == CLEAN else f"{piece.name}@{stage}"
            yield name, self._encode(name, piece, self._distort(name, stage, piece, waveform, babble))

    def _distort(
        self, name: str, stage: str, piece: Piece, waveform: np.ndarray, babble: Optional[BabbleSource]
    ) -> np.ndarray:
        if stage == CLEAN:
            return piece.waveform
        rng = np.random.default_rng((self.seed, piece.copy, zlib.crc32(name.encode())))
        plan = self._augmenter.draw(stage, len(piece.waveform), rng)
        # A faster copy needs more samples than the piece has; they come from the recording as far as it goes.
        start = max(0, min(piece.start, len(waveform) - plan.source_length))
        source = repeat_to(waveform[start : start + plan.source_length], plan.source_length)
        return plan.apply(source, babble)

    def _encode(self, name: str, piece: Piece, waveform: np.ndarray) -> np.ndarray:
        if self.front_end is None:
            return to_int16(waveform)
        rng = None
        if self.front_end.draws:
            rng = np.random.default_rng((self.seed, piece.copy, zlib.crc32(name.encode()), OF_FEATURES))
        return self.front_end(waveform, rng)


class Voices:
    """Other utterances for babble.

    Args:
        utterances: utterances to draw from.
        data_folder: base folder of their paths.
    """

    def __init__(self, utterances: Sequence[Utterance], data_folder: PathLike) -> None:
        self._utterances = utterances
        self._data_folder = data_folder

    def besides(self, spk_id: str) -> BabbleSource:
        """Return a source that draws from other speakers, or from all if there is no other speaker."""
        others = [utterance for utterance in self._utterances if utterance.spk_id != spk_id] or self._utterances

        def draw(rng: np.random.Generator, num_voices: int, num_samples: int) -> list[np.ndarray]:
            return [self._draw(others, rng, num_samples) for _ in range(num_voices)]

        return draw

    def _draw(self, others: Sequence[Utterance], rng: np.random.Generator, num_samples: int) -> np.ndarray:
        for _ in range(TRIES_FOR_A_VOICE):
            utterance = others[rng.integers(len(others))]
            spare = max(0, utterance.stop - utterance.start - num_samples)
            start = utterance.start + int(rng.integers(spare + 1))
            try:
                stop = min(start + num_samples, utterance.stop)
                path = Path(self._data_folder, utterance.wav)
                return repeat_to(read_usable(path, start, stop, NOISE_LIMITS).waveform, num_samples)
            except BadAudio:
                continue
        raise InputError(f"{self._data_folder}: none of {TRIES_FOR_A_VOICE} recordings drawn for babble can be read.")


def _options_of(config: AugmentationOptions) -> dict[str, Any]:
    return {key.name: getattr(config, key.name) for key in fields(AugmentationOptions)}


@lru_cache(maxsize=1)
def _augmenter_of(options: tuple[tuple[str, Any], ...], folders: Folders) -> Augmenter:
    return make_augmenter(AugmentationOptions(**dict(options)), folders)


def _listing_sha256(paths: Mapping[str, Path]) -> str:
    """Return a hash of the names and sizes of the used files of a folder."""
    listing = [f"{name} {path.stat().st_size}" for name, path in paths.items()]
    return sha256("\n".join(sorted(listing)).encode()).hexdigest()
