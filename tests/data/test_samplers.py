"""Samplers: orders that follow from seed and epoch, parts of ranks, records that are drawn more than once."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindvox.data.pipeline import TrainBatches
from mindvox.data.samplers.balanced import Balanced
from mindvox.data.samplers.sampler import Sampler, drawn_before
from mindvox.data.samplers.shuffle import Shuffle
from mindvox.data.samplers.speakers import Speakers
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError
from mindvox.frontend.fbank import Fbank


class Twice(Sampler):
    """Every record twice, one after the other."""

    @property
    def num_records(self) -> int:
        return 2 * len(self.records)

    def order(self, epoch: int) -> np.ndarray:
        return np.repeat(np.random.default_rng((self.seed, epoch)).permutation(self.records), 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Eleven records of three speakers; every frame differs from every other."""
    folder = tmp_path_factory.mktemp("samplers") / "feat_train"
    rng = np.random.default_rng(0)
    with TrainStoreWriter(folder, Fbank(n_mels=4).to_dict(), {f"id{i}": i for i in range(3)}) as writer:
        for record in range(11):
            feats = rng.standard_normal((40, 4)).astype(np.float32)
            writer.add(f"id{record % 3}/{record}.wav", record % 3, feats)
    return folder


def shuffle(global_size=4, seed=1):
    return Shuffle(np.arange(3, 14), lambda: np.zeros(11), lambda: np.arange(11), global_size, seed)


def test_shuffle_takes_every_record_once_in_an_order_of_seed_and_epoch():
    orders = [shuffle(seed=seed).order(epoch).tolist() for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0))]
    assert all(sorted(order) == list(range(3, 14)) for order in orders)
    assert orders[0] == orders[3] and orders[0] != orders[1] and orders[0] != orders[2]


def test_ranks_share_every_global_batch():
    sampler = shuffle()
    whole, _ = sampler.part(0, 0, 0, 1)
    parts = [sampler.part(0, 0, rank, 2)[0] for rank in range(2)]
    assert whole.shape == (2, 4)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(sampler.part(0, 4, 0, 1)[0], whole[1:])
    assert sampler.part(0, 8, 0, 1)[0].size == 0


@pytest.mark.parametrize("order", [[5], [1, 2, 3], [4, 4, 4], [1, 2, 1, 1, 2, 9]])
def test_drawn_before_counts_earlier_draws(order):
    expected = [order[:place].count(record) for place, record in enumerate(order)]
    assert drawn_before(np.array(order)).tolist() == expected


@pytest.mark.parametrize("num_workers", [1, 2])
def test_record_that_is_drawn_twice_gets_two_crops(store, num_workers):
    twice = TrainBatches(store, 4, 5, seed=1, num_workers=num_workers, make_sampler=Twice)
    once = TrainBatches(store, 1, 5, seed=1)
    first_crops = {batch.utt_ids[0]: batch.feats[0] for batch in next(once.epochs())}
    epoch = list(next(twice.epochs()))
    assert len(epoch) == 5
    pairs = [(batch, row) for batch in epoch for row in (0, 2)]
    for batch, row in pairs:
        assert batch.utt_ids[row] == batch.utt_ids[row + 1]
        np.testing.assert_array_equal(batch.feats[row], first_crops[batch.utt_ids[row]])
    assert sum(np.array_equal(batch.feats[row], batch.feats[row + 1]) for batch, row in pairs) <= 2  # of 36 places


def test_labels_are_those_of_the_records_that_are_not_held_out(store):
    batches = TrainBatches(store, 1, 5, seed=1, num_held_out=4)
    seen = []
    make_sampler = lambda records, labels, *rest: seen.append((records, labels())) or Shuffle(records, labels, *rest)  # noqa: E731
    batches = TrainBatches(store, 1, 5, seed=1, num_held_out=4, make_sampler=make_sampler)
    ((records, labels),) = seen
    assert len(records) == 7
    np.testing.assert_array_equal(labels, records % 3)  # of the order in which they were written
    assert {
        name: label for batch in next(batches.epochs()) for name, label in zip(batch.utt_ids, batch.label, strict=True)
    } == {f"id{record % 3}/{record}.wav": record % 3 for record in records}


def by_speakers(labels, utterances=None, global_size=6, seed=1, **keys):
    labels = np.array(labels)
    utterances = np.arange(len(labels)) if utterances is None else np.array(utterances)
    records = np.arange(100, 100 + len(labels))
    return Speakers(records, lambda: labels, lambda: utterances, global_size, seed, **keys), labels, utterances


def check_batches(sampler, labels, utterances, size, epoch):
    order = sampler.order(epoch) - 100
    assert len(order) == sampler.num_records
    speakers = labels[order].reshape(-1, sampler.global_size // size, size)
    assert (speakers == speakers[:, :, :1]).all()  # K of a speaker, one behind the other
    for batch in speakers[:, :, 0]:
        assert len(set(batch.tolist())) == len(batch)
    for group in order.reshape(-1, size):
        of_speaker = set(utterances[labels == labels[group[0]]].tolist())
        assert len(set(utterances[group].tolist())) == min(size, len(of_speaker))
    return order


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_batches_of_speakers_have_each_once_with_different_utterances(data):
    size = data.draw(st.integers(2, 4))
    num_speakers = data.draw(st.integers(2, 6))
    counts = data.draw(st.lists(st.integers(1, 30), min_size=num_speakers, max_size=12))
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    pieces = data.draw(st.integers(1, 4))  # records of an utterance
    utterances = labels * 1000 + np.arange(len(labels)) // pieces
    sampler, *rest = by_speakers(labels, utterances, num_speakers * size, num_utterances=size)
    if sampler.num_batches:
        check_batches(sampler, *rest, size, data.draw(st.integers(0, 3)))


def test_epochs_of_speakers_use_every_record_where_none_must_be_left_out():
    labels = np.repeat(np.arange(5), [4, 6, 6, 4, 6])
    sampler, *rest = by_speakers(labels, global_size=4)
    assert sampler.num_records == 24  # 13 groups of two: one waits for the next epoch
    orders = [check_batches(sampler, *rest, 2, epoch) for epoch in range(3)]
    assert all(len(set(order.tolist())) == 24 for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    assert len(set(np.concatenate(orders).tolist())) == 26
    np.testing.assert_array_equal(sampler.order(1), by_speakers(labels, global_size=4)[0].order(1))


def test_speaker_with_most_of_the_records_does_not_meet_itself():
    labels = np.repeat(np.arange(4), [100, 3, 3, 3])
    sampler, *rest = by_speakers(labels, global_size=4)
    assert sampler.num_batches == 6  # each of the six groups of the others beside one of the first
    check_batches(sampler, *rest, 2, 0)
    limited, *_ = by_speakers(labels, global_size=4, max_records=4)
    assert limited.counts.tolist() == [2, 2, 2, 2]


def test_few_speakers_and_odd_batches_are_refused():
    with pytest.raises(InputError, match="2 speakers, fewer than the 3 of a batch"):
        by_speakers([0, 0, 1, 1])
    with pytest.raises(InputError, match="expected a multiple of sampler.num_utterances 4, got a batch of 6"):
        by_speakers([0, 1, 2, 3], num_utterances=4)


def test_many_records_are_ordered_in_bounded_memory():
    labels = np.random.default_rng(0).integers(0, 1200, 200_000)
    sampler, *_ = by_speakers(labels, global_size=400, max_records=0)
    tracemalloc.start()
    order = sampler.order(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6 and len(order) > 190_000


def test_balanced_epochs_have_equally_many_of_each_speaker():
    labels = np.repeat(np.arange(3), [10, 2, 3])

    def make(**keys) -> Balanced:
        return Balanced(np.arange(15), lambda: labels, lambda: labels, 4, 1, **keys)

    order = make().order(0)
    assert np.bincount(labels[order]).tolist() == [5, 5, 5] and make().num_records == 15
    assert len(set(np.concatenate([make().order(epoch) for epoch in range(8)]).tolist())) == 15
    assert make(per_speaker=2).num_records == 6


def test_utterances_of_a_store_are_those_of_its_pieces(tmp_path):
    with TrainStoreWriter(tmp_path / "s", Fbank(n_mels=4).to_dict(), {"a": 0, "b": 1}) as writer:
        for name in ("a/1.wav#0-10", "a/1.wav#10-20@add_noise", "a/2.wav", "b/1.wav@add_rev", "b/1.wav"):
            writer.add(name, "ab".index(name[0]), np.ones((9, 4), np.float32))
    seen = []

    def make_sampler(records, labels, utterances, *rest) -> Shuffle:
        seen.append(utterances())
        return Shuffle(records, labels, utterances, *rest)

    TrainBatches(tmp_path / "s", 1, 5, seed=1, make_sampler=make_sampler)
    assert seen[0].tolist() == [0, 0, 1, 2, 2]
