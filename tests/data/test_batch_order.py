"""Which record stands in which batch: by seed and epoch alone, on any number of devices, from anywhere on."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from mindvox.data.held_out import choose_held_out, utterance_of
from mindvox.data.pipeline import TrainBatches
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError
from mindvox.frontend.fbank import Fbank
from tests.stores import read_records

NUM_RECORDS, NUM_SPEAKERS, NUM_MELS = 23, 3, 4


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Five files, the last of them not full; frames of record i are i."""
    folder = tmp_path_factory.mktemp("order") / "feat_train"
    speakers = {f"id{label}": label for label in range(NUM_SPEAKERS)}
    with TrainStoreWriter(folder, Fbank(n_mels=NUM_MELS).to_dict(), speakers, shard_utterances=5) as writer:
        for record in range(NUM_RECORDS):
            label = record % NUM_SPEAKERS
            writer.add(f"id{label}/{record}.wav", label, np.full((20 + record, NUM_MELS), record, np.float32))
    return folder


def names(batches: TrainBatches, num_epochs: int = 1, **start: int) -> list[list[list[str]]]:
    epochs = batches.epochs(**start)
    return [[batch.utt_ids for batch in next(epochs)] for _ in range(num_epochs)]


def test_store_has_several_files_and_records_come_in_the_order_that_was_asked_for(store):
    stored = [record.utt_id for record in read_records(store)]
    assert len(list(store.glob("*.mindrecord"))) == 5
    batches = TrainBatches(store, 4, 10, seed=1)
    for epoch in range(2):
        expected = [stored[record] for record in batches.order(epoch)]
        assert sum(names(batches, epoch=epoch)[0], []) == expected
        assert len(set(expected)) == 20 and expected != sorted(expected)


def test_devices_share_the_global_batches_of_one_device(store):
    one = names(TrainBatches(store, 6, 10, seed=1), num_epochs=2)
    ranks = [names(TrainBatches(store, 3, 10, seed=1, rank=rank, num_ranks=2), num_epochs=2) for rank in range(2)]
    for epoch in range(2):
        for whole, first, second in zip(one[epoch], ranks[0][epoch], ranks[1][epoch], strict=True):
            assert whole == first + second
    assert not set(sum(ranks[0][0], [])) & set(sum(ranks[1][0], []))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_from_anywhere_are_the_tail_of_all(store, num_workers):
    batches = TrainBatches(store, 4, 10, seed=1, num_workers=num_workers)
    whole, part = batches.epochs(), batches.epochs(epoch=1, first_record=12)
    next(whole)
    for all_of_it, rest in ((list(next(whole))[3:], list(next(part))), (list(next(whole)), list(next(part)))):
        assert len(rest) == len(all_of_it) > 0
        for expected, batch in zip(all_of_it, rest, strict=True):
            assert batch.utt_ids == expected.utt_ids
            np.testing.assert_array_equal(batch.feats, expected.feats)


def test_run_on_other_devices_goes_on_at_the_same_record(store):
    order = TrainBatches(store, 1, 10, seed=1).order(0)
    two = [TrainBatches(store, 2, 10, seed=1, rank=rank, num_ranks=2) for rank in range(2)]
    first, second = (batches.order(0, first_record=9).tolist() for batches in two)
    assert sorted(first + second) == sorted(order[9:21].tolist())
    assert first[:2] + second[:2] == order[9:13].tolist()


def test_epoch_of_which_nothing_is_left_has_no_batches(store):
    assert names(TrainBatches(store, 4, 10, seed=1), epoch=0, first_record=20) == [[]]


def test_many_epochs_leave_no_threads_and_no_memory_behind(store):
    batches = TrainBatches(store, 4, 10, seed=1)

    def run(num_epochs: int) -> tuple[int, int]:
        epochs = batches.epochs()
        for _ in range(num_epochs):
            list(next(epochs))
        gc.collect()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines())
        return int(status["Threads"]), int(status["VmRSS"].split()[0])

    threads, kilobytes = run(5)
    threads_later, kilobytes_later = run(50)
    assert threads_later <= threads + 2
    assert kilobytes_later - kilobytes < 20000


def test_held_out_utterances_are_in_no_batch(store):
    batches = TrainBatches(store, 4, 10, seed=1, num_held_out=6)
    held_out = {name: feats for name, _, feats in batches.held_out_feats()}
    assert len(held_out) == 6
    trained = set(sum(sum(names(batches, num_epochs=5), []), []))
    assert not trained & held_out.keys() and len(trained) == NUM_RECORDS - 6
    for name, feats in held_out.items():
        assert feats.shape[0] - 20 == feats[0, 0] == int(name.split("/")[1].split(".")[0])
    assert held_out.keys() == {name for name, *_ in TrainBatches(store, 2, 10, 1, num_held_out=6).held_out_feats()}
    assert held_out.keys() != {name for name, *_ in TrainBatches(store, 4, 10, 2, num_held_out=6).held_out_feats()}


def test_chunks_and_distorted_copies_are_held_out_with_their_utterance():
    stored = [f"id{speaker}/{n}.wav" for speaker in range(3) for n in range(4)]
    pieces = [name + piece for name in stored for piece in ("@add_noise", "#0-48000", "#9-48009@add_rev")]
    labels = [int(name[2]) for name in pieces]
    held_out = choose_held_out(pieces, labels, 5, seed=0)
    assert len(held_out.records) == 15 and len(held_out.samples) == 5
    assert {utterance_of(pieces[record]) for record in held_out.records} == {
        utterance_of(pieces[record]) for record in held_out.samples
    }
    assert all(pieces[record].endswith("#0-48000") for record in held_out.samples)


@pytest.mark.parametrize(
    ("name", "utterance"),
    [
        ("id1/s/1.wav", "id1/s/1.wav"),
        ("id1/s/1.wav#160-48160", "id1/s/1.wav"),
        ("id1/s/1.wav#160-48160@speed+noise", "id1/s/1.wav"),
        ("id1/a@b/c#d.wav@add_rev", "id1/a@b/c#d.wav"),
    ],
)
def test_utterance_of_a_record(name, utterance):
    assert utterance_of(name) == utterance


@pytest.mark.parametrize(("number", "speakers"), [(10, 3), (1, 3), (3, 1)])
def test_what_cannot_be_held_out_is_refused(number, speakers):
    stored = [f"id{speaker}/{n}.wav" for speaker in range(speakers) for n in range(4)]
    with pytest.raises(
        InputError, match=f"valid_utterances: cannot hold out {number} utterances of at least 2 speakers"
    ):
        choose_held_out(stored, [int(name[2]) for name in stored], number, seed=0)


def test_every_speaker_keeps_an_utterance():
    stored = [f"id{speaker}/{n}.wav" for speaker in range(3) for n in range(4)]
    held_out = choose_held_out(stored, [int(name[2]) for name in stored], 9, seed=0)
    assert {stored[record][2] for record in np.delete(np.arange(12), held_out.records)} == {"0", "1", "2"}
