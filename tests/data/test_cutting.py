"""Which pieces of an utterance are stored."""

import numpy as np
import pytest

from mindvox.config import EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.corpus.tree import Utterance
from mindvox.data.cutting import Cutting
from mindvox.frontend.fbank import Fbank


def utterance_of(num_samples: int, start: int = 0, utt_id: str = "id1/a/1.wav") -> tuple[Utterance, np.ndarray]:
    utterance = Utterance(utt_id, num_samples / 16000, f"wav/{utt_id}", start, start + num_samples, "id1")
    return utterance, np.arange(num_samples, dtype=np.float32)


def test_whole_utterances_keep_their_samples_and_their_name():
    utterance, waveform = utterance_of(1000)
    (piece,) = Cutting(length=0).pieces(utterance, waveform)
    assert piece.name == utterance.utt_id
    np.testing.assert_array_equal(piece.waveform, waveform)


def test_consecutive_chunks_leave_out_an_incomplete_last_one():
    pieces = Cutting(length=300, is_random=False).pieces(*utterance_of(1000))
    assert [piece.name for piece in pieces] == ["id1/a/1.wav#0-300", "id1/a/1.wav#300-600", "id1/a/1.wav#600-900"]
    np.testing.assert_array_equal(pieces[1].waveform, np.arange(300, 600))


def test_consecutive_chunks_are_repeated_for_each_copy():
    pieces = Cutting(length=500, is_random=False, copies=2).pieces(*utterance_of(1000))
    assert [int(piece.waveform[0]) for piece in pieces] == [0, 500, 0, 500]


def test_names_count_samples_of_the_recording_of_which_the_utterance_is_a_part():
    (piece,) = Cutting(length=300, is_random=False).pieces(*utterance_of(400, start=5000))
    assert piece.name.endswith("#5000-5300")


@pytest.mark.parametrize("is_random", [True, False])
def test_short_utterances_are_repeated_from_their_start(is_random):
    pieces = Cutting(length=10, is_random=is_random, copies=2).pieces(*utterance_of(4))
    assert len(pieces) == 2
    for piece in pieces:
        assert piece.name.endswith("#0-4")
        np.testing.assert_array_equal(piece.waveform, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1])


def test_random_chunks_say_where_they_are_from_and_stay_inside():
    for copies in (1, 50):
        for piece in Cutting(length=300, copies=copies, seed=1).pieces(*utterance_of(305)):
            first = int(piece.waveform[0])
            np.testing.assert_array_equal(piece.waveform, np.arange(first, first + 300))
            assert piece.name.endswith(f"#{first}-{first + 300}")


def test_random_chunks_reach_every_position():
    pieces = Cutting(length=300, copies=200).pieces(*utterance_of(305))
    assert {int(piece.waveform[0]) for piece in pieces} == set(range(6))


def test_random_positions_follow_from_seed_copy_and_utterance():
    def starts(utt_id="id1/a/1.wav", copies=3, seed=1):
        pieces = Cutting(length=300, copies=copies, seed=seed).pieces(*utterance_of(10000, utt_id=utt_id))
        return [int(piece.waveform[0]) for piece in pieces]

    assert starts() == starts()
    assert starts(copies=5)[:3] == starts()
    assert len(set(starts())) == 3
    assert starts(seed=2) != starts()
    assert starts(utt_id="id1/a/2.wav") != starts()


def test_random_positions_are_the_same_on_every_machine():
    # From sha256 of "1/0/id1/a/1.wav", its first 8 bytes little-endian, modulo the 9701 positions.
    (piece,) = Cutting(length=300, seed=1).pieces(*utterance_of(10000))
    assert piece.name == "id1/a/1.wav#7419-7719"


@pytest.mark.parametrize("is_random", [True, False])
def test_size_of_the_store_is_known_before_reading(is_random):
    front_end = Fbank()
    utterances = [utterance_of(length) for length in (100, 48000, 99999)]
    for cutting in (Cutting(0), Cutting(16000, is_random, copies=2), Cutting(16000, is_random, only_first=True)):
        lengths = [len(piece.waveform) for pair in utterances for piece in cutting.pieces(*pair)]
        expected = 4 * 80 * sum(front_end.num_frames(length) for length in lengths)
        assert cutting.total_bytes([utterance for utterance, _ in utterances], front_end) == expected
        assert cutting.total_bytes([utterance for utterance, _ in utterances], None) == 2 * sum(lengths)


def test_training_cuts_chunks_of_sentence_len_seconds():
    cutting = Cutting.from_config(load_config(TrainPrepConfig, ["--sentence_len=2.5", "--number_of_epochs=4"]))
    assert cutting == Cutting(length=40000, is_random=True, copies=4, seed=1234)


@pytest.mark.parametrize("random_chunk", ["true", "false"])
def test_cohort_takes_one_chunk_of_each_utterance(random_chunk):
    config = load_config(EvalPrepConfig, ["--sentence_len=1", f"--random_chunk={random_chunk}"])
    assert len(Cutting.from_config(config).pieces(*utterance_of(100000))) == 1


def test_settings_that_change_nothing_are_not_compared():
    assert Cutting(length=0, seed=1).settings() == Cutting(length=0, seed=2, is_random=False).settings()
    assert Cutting(16000, is_random=False, seed=1).settings() == Cutting(16000, is_random=False, seed=2).settings()
    assert Cutting(16000, seed=1).settings() != Cutting(16000, seed=2).settings()
