"""What all front ends have in common: the stored form, comparison, lengths."""

import json

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.frontend import check_front_end, filterbank, front_end_of
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.registry import FRONT_ENDS

FRONT_END = Fbank().to_dict()


@pytest.fixture(params=list(FRONT_ENDS))
def front_end(request):
    """Each front end of the registry, with frames of 40 numbers where one key sets their size."""
    cls = FRONT_ENDS.get(request.param)
    return cls(**({cls.size_option: 40} if cls.size_option else {}))


def test_stored_form_survives_json(front_end):
    assert front_end_of(json.loads(json.dumps(front_end.to_dict()))) == front_end
    assert front_end.to_dict()["type"] == front_end.name


def test_it_has_the_frames_that_it_promises(front_end):
    for num_samples in (*range(1600, 2100, 37), 16000):
        feats = front_end(np.random.default_rng(0).standard_normal(num_samples).astype(np.float32))
        assert feats.shape == (front_end.num_frames(num_samples), front_end.size) and feats.dtype == np.float32


def test_num_samples_are_the_fewest_that_give_so_many_frames(front_end):
    least = front_end.num_frames(front_end.num_samples(1))  # mirrored edges need some samples
    assert 1 <= least <= 2
    for num_frames in (1, 2, 9, 301):
        num_samples = front_end.num_samples(num_frames)
        assert front_end.num_frames(num_samples) == max(least, num_frames)
        assert num_samples == 1 or front_end.num_frames(num_samples - 1) < num_frames


def test_frame_shift_is_in_seconds(front_end):
    shift_ms = 1 / 16 if front_end.name == "samples" else front_end.options.hop_length_ms
    assert front_end.frame_shift_s == shift_ms / 1000 and front_end.sample_rate == 16000


@pytest.mark.parametrize("name", list(FRONT_ENDS))
def test_products_are_those_of_all_filters_and_small_enough_for_one_thread(name):
    front_end = FRONT_ENDS.get(name)()
    if not isinstance(front_end, filterbank.Filterbank) or (filters := front_end.filters()) is None:
        pytest.skip("has no filters")
    found = np.zeros(filters.shape, np.float32)
    for frequencies, mels, weights in front_end._filters:
        assert filterbank.BLOCK_FRAMES * weights.size <= filterbank.MOST_PRODUCTS
        found[frequencies, mels] = weights
    assert np.array_equal(found, filters.astype(np.float32))


def test_older_stored_form_of_kaldis_has_the_defaults_for_what_it_lacks():
    older = {
        **{"type": "kaldi_fbank", "sample_rate": 16000, "n_mels": 80, "win_length_ms": 25.0, "hop_length_ms": 10.0},
        **{"window": "hamming", "waveform_scale": 32768.0},
    }
    assert front_end_of(older) == KaldiFbank(window="hamming", waveform_scale=32768.0)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, r"store/meta\.json: expected a front end of type fbank or kaldi_fbank or"),
        (
            {**FRONT_END, "type": "plp"},
            r"store/meta\.json: expected a front end of type fbank or kaldi_fbank or",
        ),
        ({**FRONT_END, "dither": 1}, r"store/meta\.json: expected a front end of type fbank with \['amin'"),
        ({"type": "fbank", "n_mels": 80}, r"store/meta\.json: expected a front end of type fbank with \['amin'"),
        ({**FRONT_END, "n_mels": "many"}, "impossible front end: n_mels: expected a number"),
        ({**FRONT_END, "n_mels": None}, "impossible front end: n_mels: expected a number"),
        ({**FRONT_END, "f_max": 9000.0}, "impossible front end: f_max"),
    ],
)
def test_stored_form_that_no_front_end_has_is_refused(stored, message):
    with pytest.raises(InputError, match=message):
        front_end_of(stored, "store/meta.json")


def test_equal_front_ends_pass_the_check():
    check_front_end(Fbank().to_dict(), Fbank().to_dict(), "store")


def test_dither_makes_no_difference_to_the_check():
    check_front_end(KaldiFbank(dither=1.0).to_dict(), KaldiFbank().to_dict(), "store")


def test_differing_front_ends_are_named_by_key_with_what_to_prepare():
    with pytest.raises(InputError, match=r"store: .*n_mels 40 \(expected 64\)") as caught:
        check_front_end(Fbank(n_mels=64).to_dict(), Fbank(n_mels=40).to_dict(), "store")
    assert "n_fft" not in str(caught.value)
    assert "--front_end=fbank --front_end.n_mels=64," in str(caught.value)


def test_another_front_end_is_one_line_with_what_to_prepare():
    wanted = KaldiFbank(window="hamming", waveform_scale=32768.0)
    with pytest.raises(InputError, match="store: holds features of the front end fbank, the model takes") as caught:
        check_front_end(wanted.to_dict(), Fbank().to_dict(), "store")
    keys = "--front_end=kaldi_fbank --front_end.window=hamming --front_end.waveform_scale=32768.0,"
    assert keys in str(caught.value) and "\n" not in str(caught.value)
