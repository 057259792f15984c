"""Cut utterances into the pieces that a store holds."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from mindvox.config import EvalPrepConfig, TrainPrepConfig
from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.corpus.tree import Utterance
from mindvox.data.store import content_bytes
from mindvox.frontend import FrontEnd
from mindvox.frontend.frames import repeat_to


class Piece(NamedTuple):
    """A part of a waveform.

    Args:
        name: name in the store.
        waveform: samples (N,).
        start: index of the first sample in the waveform that was cut.
        copy: index of the copy; pieces of two copies can have the same name.
    """

    name: str
    waveform: np.ndarray
    start: int = 0
    copy: int = 0


@dataclass(frozen=True)
class Cutting:
    """Take chunks of equal length from utterances, or whole utterances; shorter ones are repeated from their start.

    Args:
        length: length of a chunk, samples; 0: the whole utterance.
        is_random: take random positions, which follow from seed, copy and utterance only, so that neither the order nor
            other utterances matter. Otherwise take all consecutive chunks, without an incomplete last one.
        copies: number of random chunks of an utterance, or of repetitions of its consecutive chunks.
        only_first: take only the first chunk.
        seed: random seed of the positions.
    """

    length: int
    is_random: bool = True
    copies: int = 1
    only_first: bool = False
    seed: int = 0

    @classmethod
    def from_config(cls, config: Union[TrainPrepConfig, EvalPrepConfig]) -> "Cutting":
        """Return the cutting of training utterances, or of the cohort, which takes one chunk of each utterance."""
        return cls(
            length=0 if config.whole_utterance else max(1, round(config.sentence_len * SAMPLE_RATE)),
            is_random=config.random_chunk,
            copies=config.number_of_epochs if isinstance(config, TrainPrepConfig) else 1,
            only_first=not isinstance(config, TrainPrepConfig),
            seed=config.seed,
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the content, under the names of the configuration."""
        if not self.length:
            return {"whole_utterance": True}
        settings = {
            "whole_utterance": False,
            "sentence_len": self.length / SAMPLE_RATE,
            "random_chunk": self.is_random,
            "number_of_epochs": self.copies,
        }
        return {**settings, "seed": self.seed} if self.is_random else settings

    def pieces(self, utterance: Utterance, waveform: np.ndarray) -> list[Piece]:
        """Cut the waveform of an utterance.

        Returns:
            Chunks named `<utt_id>#<first sample>-<end sample>`, counted in the recording (copies at the same position
            share
                their name), or the whole utterance under its name.
        """
        if not self.length:
            return [Piece(utterance.utt_id, waveform)]
        starts = self._starts(utterance.utt_id, len(waveform))
        pieces = []
        for number, start in enumerate(starts):
            chunk = waveform[start : start + self.length]
            first = utterance.start + start
            name = f"{utterance.utt_id}#{first}-{first + len(chunk)}"
            pieces.append(Piece(name, repeat_to(chunk, self.length), start, number * self.copies // len(starts)))
        return pieces

    def num_pieces(self, num_samples: int) -> int:
        """Return the number of pieces of an utterance with this many samples."""
        if not self.length or self.only_first:
            return 1
        return self.copies if self.is_random else self.copies * max(1, num_samples // self.length)

    def num_samples(self, num_samples: int) -> int:
        """Return the length, in samples, of each piece of an utterance with this many samples."""
        return self.length or num_samples

    def total_bytes(self, utterances: Iterable[Utterance], front_end: Optional[FrontEnd]) -> int:
        """Return the size in bytes of a store with the pieces of all utterances; see `content_bytes`."""
        lengths = (utterance.stop - utterance.start for utterance in utterances)
        return sum(self.num_pieces(length) * content_bytes(front_end, self.num_samples(length)) for length in lengths)

    def _starts(self, utt_id: str, num_samples: int) -> list[int]:
        last = max(0, num_samples - self.length)
        if self.is_random:
            starts = [_stable_hash(f"{self.seed}/{copy}/{utt_id}") % (last + 1) for copy in range(self.copies)]
        else:
            starts = list(range(0, last + 1, self.length)) * self.copies
        return starts[:1] if self.only_first else starts


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
