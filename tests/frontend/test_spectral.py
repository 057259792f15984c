"""Spectrograms, mel spectrograms and MFCC: the numbers of the toolkits that have them, edges, options."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import ROOT, TrainPrepConfig, load_config
from mindvox.frontend.mel_spectrogram import MelSpectrogram
from mindvox.frontend.mfcc import Mfcc
from mindvox.frontend.spectrogram import Spectrogram
from tests.frontend.reference.signals import CORPUS, synthetic_waveforms
from tests.frontend.reference.spectral_cases import CASES, WAVEFORMS, stored_rows
from tests.frontend.toolkits import VECTORS, front_end_of_case
from tests.vectors import load_vector

SYNTHETIC = synthetic_waveforms()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", VECTORS)
def test_real_speech_has_the_numbers_of_other_toolkits(name, dtype):
    arrays, meta = load_vector(f"front_{name}")
    if not CORPUS.is_dir():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    front_end = front_end_of_case(VECTORS[name], dtype)
    bound = 10 * meta["float32_max_abs_dev"]  # the toolkits' mel matrices and windows are in single precision
    for index, utterance in enumerate(meta["utterances"]):
        feats = front_end(soundfile.read(CORPUS / utterance, dtype="float32")[0])
        expected = arrays[f"y{index}"]
        if name.startswith("vt"):
            np.testing.assert_allclose(feats, expected[0], rtol=0, atol=bound)
        if name.startswith("vt") or name.endswith("meannorm"):
            feats = front_end.finish(feats)
        np.testing.assert_allclose(feats, expected[-1] if name.startswith("vt") else expected, rtol=0, atol=bound)


def test_the_sections_in_the_documentation_are_these_front_ends(tmp_path):
    text = (ROOT / "docs" / "data.md").read_text()
    found = []
    for index, section in enumerate(re.findall(r"^front_end: \{name: mel_spectrogram[^}]*\}", text, re.MULTILINE)):
        path = tmp_path / f"{index}.yaml"
        path.write_text(section)
        found.append(load_config(TrainPrepConfig, [str(path)], check=("front_end",)).front_end.build())
    assert found == [front_end_of_case(case) for case in ("resnetse34l", "resemblyzer", "joovvhan")]


def test_speech_has_resemblyzers_mels():
    """Of what Resemblyzer keeps of a recording; the vectors hold its gain and the windows of 30 ms that it keeps."""
    arrays, meta = load_vector("resemblyzer")
    if not CORPUS.is_dir():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    front_end = front_end_of_case("resemblyzer")
    for index, utterance in enumerate(meta["utterances"]):
        waveform = soundfile.read(CORPUS / utterance, dtype="float64")[0] * arrays[f"u{index}_gain"]
        kept = arrays[f"u{index}_vad_kept"].astype(bool)
        waveform = waveform[: len(kept) * 480].reshape(-1, 480)[kept].ravel()
        _, num_kept, num_padded = arrays[f"u{index}_length"]
        assert len(waveform) == num_kept
        feats = front_end(np.pad(waveform, (0, int(num_padded - num_kept))))
        np.testing.assert_allclose(feats, arrays[f"u{index}_mel"], rtol=1e-6, atol=5e-6)  # ours is single precision


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent / "reference" / "spectral_reference.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_synthetic_waveforms_have_the_numbers_of_other_toolkits(case, dtype, reference):
    front_end = front_end_of_case(case, dtype)
    finishes = f"{case}/{WAVEFORMS[0]}/finished" in reference
    assert finishes == (front_end.normalisation == "instance")
    for name in WAVEFORMS:
        feats = front_end(SYNTHETIC[name])
        rows, expected = stored_rows(len(feats)), reference[f"{case}/{name}"]
        # torchaudio's mel matrix is single precision: 1e-5 of the greatest value.
        np.testing.assert_allclose(feats[rows], expected, rtol=0, atol=2e-5 * max(10, np.abs(expected).max()))
        if finishes:
            found = front_end.finish(feats)[rows]
            np.testing.assert_allclose(found, reference[f"{case}/{name}/finished"], rtol=0, atol=2e-4)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(200, 0), (201, 2), (399, 2), (400, 3), (48000, 241)])
def test_frames_are_centred_on_multiples_of_the_hop_and_mirrored_samples_must_be_there(num_samples, num_frames):
    front_end = MelSpectrogram()
    assert front_end.num_frames(num_samples) == num_frames
    waveform = SYNTHETIC["noise_48000"][:num_samples]
    if num_frames:
        assert front_end(waveform).shape == (num_frames, 128)
    else:
        with pytest.raises(ValueError, match=r"expected floating samples \(N,\), N >= 201"):
            front_end(waveform)


@pytest.mark.parametrize("settings", [{}, {"preemphasis": 0.97}, {"padding": "zero", "preemphasis": 0.97}], ids=str)
def test_edges_are_mirrored_or_zero_after_preemphasis_of_any_length(settings, monkeypatch):
    """A block of frames takes what it needs of the waveform; that is compared with the whole, padded at once."""
    monkeypatch.setattr("mindvox.frontend.filterbank.BLOCK_FRAMES", 2)
    front_end = Spectrogram(n_fft=64, win_length_ms=4.0, hop_length_ms=0.5, **settings)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    for num_samples in (33, 40, 64, 65, 100):
        waveform = SYNTHETIC["noise_16000"][:num_samples].astype(np.float64)
        before = np.concatenate((waveform[1:2], waveform[:-1]))
        mode = {"mode": "constant" if settings.get("padding") == "zero" else "reflect"}
        padded = np.pad(waveform - settings.get("preemphasis", 0) * before, 32, **mode)
        frames = np.stack([padded[start : start + 64] * window for start in range(0, num_samples + 1, 8)])
        np.testing.assert_allclose(front_end(waveform), np.abs(np.fft.rfft(frames)) ** 2, rtol=0, atol=1e-6)


def test_memory_is_that_of_the_features_and_a_few_blocks():
    waveform = np.tile(SYNTHETIC["noise_48000"], 100)  # 5 minutes
    front_end = front_end_of_case("resnetse34v2")
    tracemalloc.start()
    try:
        feats = front_end(waveform)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < feats.nbytes + (1 << 23)


@pytest.mark.parametrize("case", CASES)
def test_silence_is_finite(case):
    front_end = front_end_of_case(case)
    feats = front_end(np.zeros(16000, np.float32))
    assert np.isfinite(feats).all() and np.isfinite(front_end.finish(feats)).all()


def test_mfcc_of_an_utterance_does_not_depend_on_its_level_within_the_range():
    """dB of a scaled waveform are shifted, and the transform puts a shift into the first coefficient alone."""
    waveform = SYNTHETIC["noise_16000"]
    feats, louder = Mfcc()(waveform), Mfcc()(10 * waveform)
    np.testing.assert_allclose(feats[:, 1:], louder[:, 1:], rtol=0, atol=1e-3)
    np.testing.assert_allclose(louder[:, 0] - feats[:, 0], 20 * np.sqrt(128), rtol=1e-4)


def test_range_in_db_is_limited():
    front_end = MelSpectrogram(log="db", floor=1e-10, top_db=30.0)
    feats = front_end(SYNTHETIC["half_silence"])
    assert feats.min() == pytest.approx(feats.max() - 30)


@pytest.mark.parametrize(
    ("front_end", "wrong", "message"),
    [
        (MelSpectrogram, {"n_fft": 401}, "n_fft: expected an even number"),
        (MelSpectrogram, {"win_length_ms": 30.0}, r"win_length_ms: expected 1 to 400 samples"),
        (MelSpectrogram, {"hop_length_ms": 0.01}, "hop_length_ms"),
        (MelSpectrogram, {"f_max": 9000.0}, "f_max: expected more than f_min"),
        (MelSpectrogram, {"log": "natural"}, "log: natural of 0 is infinite: expected `floor` or `offset`"),
        (MelSpectrogram, {"top_db": 80.0}, "top_db: expected log db, got log none"),
        (MelSpectrogram, {"padding": "edge"}, "padding"),
        (MelSpectrogram, {"power": 3.0}, "power"),
        (MelSpectrogram, {"normalisation": "variance"}, "normalisation"),
        (Mfcc, {"n_mfcc": 129}, "n_mfcc: expected at most n_mels, 128, got 129"),
        (Mfcc, {"floor": 0.0}, "log: db of 0"),
        (Spectrogram, {"n_fft": 399}, "n_fft: expected an even number"),
    ],
)
def test_impossible_front_ends_are_refused(front_end, wrong, message):
    with pytest.raises(ValueError, match=message):
        front_end(**wrong)
