"""Choose utterances to hold out of training for validation."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mindvox.data.online import generator
from mindvox.errors import InputError

PIECE = re.compile(r"(#\d+-\d+)?(@[^@/]+)?$")  # suffix of chunks and distorted copies after the utterance's name


class HeldOut(NamedTuple):
    """Records of the utterances that are held out of training.

    Attributes:
        records: all records of these utterances, including chunks and distorted copies, ascending.
        samples: one record of each utterance, undistorted if there is one.
    """

    records: np.ndarray
    samples: list[int]


def choose_held_out(names: Sequence[str], labels: Sequence[int], num_utterances: int, seed: int) -> HeldOut:
    """Draw utterances of a store, never the last one of a speaker.

    Args:
        names, labels: names and labels of all records, in the store's order.
        num_utterances: number of utterances to draw.
        seed: random seed.

    Raises:
        InputError: there are too few utterances, or all are of one speaker.
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
            f"valid_utterances: cannot hold out {num_utterances} utterances of at least 2 speakers from "
            f"{len(utterances)}, because every speaker must keep one: set a smaller number, or 0 for no validation."
        )
    samples = [min(records_of[utterance], key=lambda record: ("@" in names[record], record)) for utterance in chosen]
    return HeldOut(np.sort(np.concatenate([records_of[utterance] for utterance in chosen])), samples)


def utterance_of(name: str) -> str:
    """Return the utterance to which the record `<utterance>[#<first>-<end>][@<stage>]` belongs."""
    stem, slash, file = name.rpartition("/")
    return stem + slash + PIECE.sub("", file, count=1)
