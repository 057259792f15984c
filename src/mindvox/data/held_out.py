"""Utterances that are left out of training, to validate with."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mindvox.data.online import generator
from mindvox.errors import InputError

PIECE = re.compile(r"(#\d+-\d+)?(@[^@/]+)?$")  # what names of chunks and of distorted copies have after the utterance's


class HeldOut(NamedTuple):
    """Records of utterances that are left out of training.

    Attributes:
        records: all their records, chunks and distorted copies included, rising.
        samples: one record of each utterance, not distorted where there is one.
    """

    records: np.ndarray
    samples: list[int]


def choose_held_out(names: Sequence[str], labels: Sequence[int], num_utterances: int, seed: int) -> HeldOut:
    """Draw utterances of a store, never a speaker's last one.

    Args:
        names, labels: of all records, in the store's order.
        num_utterances: how many.
        seed: of the draw.

    Raises:
        InputError: there are not so many, or all are of one speaker.
    """
    records_of: dict[str, list[int]] = {}
    for record, name in enumerate(names):
        records_of.setdefault(utterance_of(name), []).append(record)
    utterances = sorted(records_of)
    label_of = {utterance: labels[records_of[utterance][0]] for utterance in utterances}
    left = Counter(label_of.values())
    chosen: list[str] = []
    for index in generator(seed, 0, "valid_utterances").permutation(len(utterances)):
        utterance = utterances[index]
        if len(chosen) < num_utterances and left[label_of[utterance]] > 1:
            left[label_of[utterance]] -= 1
            chosen.append(utterance)
    num_speakers = len({label_of[utterance] for utterance in chosen})
    if len(chosen) < num_utterances or num_speakers < 2:
        raise InputError(
            f"valid_utterances: {num_utterances} utterances of at least 2 speakers cannot be held out of "
            f"{len(utterances)} such that every speaker keeps one: set another number."
        )
    samples = [min(records_of[utterance], key=lambda record: ("@" in names[record], record)) for utterance in chosen]
    return HeldOut(np.sort(np.concatenate([records_of[utterance] for utterance in chosen])), samples)


def utterance_of(name: str) -> str:
    """Return the utterance that a record's name `<utterance>[#<first>-<after the last>][@<stage>]` is a piece of."""
    stem, slash, file = name.rpartition("/")
    return stem + slash + PIECE.sub("", file, count=1)
