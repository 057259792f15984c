"""A sampler for batches of P speakers with K utterances each."""

from dataclasses import dataclass

import numpy as np

from mindvox.config.option import option
from mindvox.data.samplers.balanced import split_by_label
from mindvox.data.samplers.sampler import Sampler
from mindvox.errors import InputError
from mindvox.progress import quantity


class Speakers(Sampler):
    """Take K consecutive utterances per speaker, with each speaker at most once in a global batch.

    A global batch of B records has P = B / K speakers. The K records of a group are of different utterances; a speaker
    with fewer utterances gives several pieces or crops of one. If a speaker has more records than fit into different
    batches, the surplus is left out of the epoch; the next epoch leaves out others.

    Args:
        records, labels, utterances, global_size, seed: see `Sampler`.
        keys: see `Options`.

    Raises:
        InputError: there are fewer than P speakers, or K does not divide the size of a global batch.
    """

    @dataclass
    class Options:
        """Keys of the section `sampler`."""

        num_utterances: int = option(2, "number of utterances per speaker in a batch, K", minimum=2)
        max_records: int = option(500, "greatest number of records per speaker and epoch; 0: no limit", minimum=0)

    def set_up(self) -> None:
        self.utterances_per_speaker = size = self.options.num_utterances
        if self.global_size % size:
            raise InputError(
                f"minibatch_size: expected a multiple of sampler.num_utterances {size}, got a batch of "
                f"{self.global_size}."
            )
        of_record = self.labels()
        self.by_speaker = split_by_label(self.records, of_record)
        self.utterances_of = split_by_label(self.utterances(), of_record)
        most = self.options.max_records or len(self.records)
        self.counts = np.array([-(-min(len(of_speaker), most) // size) for of_speaker in self.by_speaker])  # groups
        self.num_speakers = self.global_size // size
        if len(self.counts) < self.num_speakers:
            raise InputError(
                f"{quantity(len(self.counts), 'speaker')}, fewer than the {self.num_speakers} of a batch: set a "
                "smaller minibatch_size, or a greater sampler.num_utterances."
            )
        self.num_batches = _most_batches(self.counts, self.num_speakers)

    @property
    def num_records(self) -> int:
        """Number of records in an epoch; all fill whole batches."""
        return self.num_batches * self.global_size

    def order(self, epoch: int) -> np.ndarray:
        """Return the records of an epoch, batch by batch, each batch group by group of K records."""
        rng = np.random.default_rng((self.seed, epoch))
        size, most = self.utterances_per_speaker, self.num_batches
        groups = []
        for of_speaker, of_utterance, count in zip(self.by_speaker, self.utterances_of, self.counts, strict=True):
            made = _groups(of_speaker, of_utterance, size, int(count), rng)
            groups.append(made[rng.permutation(len(made))[:most]])
        kept = np.sort(rng.permutation(sum(map(len, groups)))[: most * self.num_speakers])
        speaker_of = np.repeat(rng.permutation(len(groups)), [len(made) for made in groups])
        # A speaker's groups are consecutive, and at most as many as there are batches. Dealing them out to the batches
        # in turn therefore puts no two of them into one batch.
        dealt = kept[np.argsort(speaker_of[kept], kind="stable")]
        table = np.concatenate(groups)[dealt].reshape(self.num_speakers, most, size).swapaxes(0, 1)
        return rng.permutation(table).ravel()


def _most_batches(counts: np.ndarray, num_speakers: int) -> int:
    """Return how many batches of different speakers can be filled with these numbers of groups per speaker."""
    low, high = 0, int(counts.sum()) // num_speakers
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() >= middle * num_speakers:
            low = middle
        else:
            high = middle - 1
    return low


def _groups(records: np.ndarray, utterances: np.ndarray, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` groups (count, size) of a speaker's records, with different utterances in a group if possible.

    Args:
        records, utterances: records of the speaker and their utterances, (R,).
    """
    shuffled = rng.permutation(len(records))
    _, number = np.unique(utterances[shuffled], return_inverse=True)
    rank_of = rng.permutation(number.max() + 1)[number]
    # Go through the utterances in rounds of the same order, so that neighbours are of different utterances.
    by_utterance = np.argsort(rank_of, kind="stable")
    starts = np.searchsorted(rank_of[by_utterance], rank_of[by_utterance])
    round_of = np.empty(len(records), np.int64)
    round_of[by_utterance] = np.arange(len(records)) - starts
    order = shuffled[np.lexsort((rank_of, round_of))]
    groups = np.resize(order, (count, size))
    if number.max() + 1 >= size:
        of_group = np.sort(utterances[groups], axis=1)
        for number in np.flatnonzero((of_group[:, 1:] == of_group[:, :-1]).any(axis=1)):
            _separate(groups[number], order, utterances)
    return records[groups]


def _separate(group: np.ndarray, order: np.ndarray, utterances: np.ndarray) -> None:
    """In a group, replace records of a repeated utterance by the first records, in order, of other utterances."""
    seen: set[int] = set()
    for place, index in enumerate(group):
        if utterances[index] in seen:
            taken = set(utterances[group].tolist())
            index = next(other for other in order if utterances[other] not in taken)
            group[place] = index
        seen.add(int(utterances[index]))
