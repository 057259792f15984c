"""Samplers: orders that follow from seed and epoch, parts of ranks, records that are drawn more than once."""

from pathlib import Path

import numpy as np
import pytest

from mindvox.data.pipeline import TrainBatches
from mindvox.data.samplers import Sampler, Shuffle, drawn_before
from mindvox.data.train_store import TrainStoreWriter
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
    return Shuffle(np.arange(3, 14), lambda: np.zeros(11), global_size, seed)


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
