"""The measured quality of each speaker's speech in a recording."""

import numpy as np
import pytest
import soundfile

from mindvox.diarization import quality
from mindvox.diarization.quality import qualities_of
from mindvox.diarization.recording import Recording
from mindvox.diarization.turns import Turn
from mindvox.speech.quality import NARROW_BAND, WIDE_BAND, band_of

RATE = 16000


def noise(duration_s, highest_hz):
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(round(duration_s * RATE)))
    spectrum[np.fft.rfftfreq(round(duration_s * RATE), 1 / RATE) > highest_hz] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


@pytest.fixture
def talk(tmp_path):
    """2 s of one voice, 2 s of another through a telephone, and 1 s of the first."""
    waveform = 0.1 * np.concatenate([noise(2, 8000), noise(2, 3400), noise(1, 8000)])
    soundfile.write(tmp_path / "talk.wav", waveform, RATE, "FLOAT")
    return Recording(tmp_path / "talk.wav")


TURNS = [Turn(4.0, 5.0, "Anna"), Turn(0.0, 2.0, "Anna"), Turn(2.0, 4.0, "Bo"), Turn(5.0, 5.0, "nobody")]


def test_each_speaker_has_a_quality_of_their_own(talk):
    found = qualities_of(talk, TURNS)
    assert list(found) == ["Anna", "Bo"]
    assert (band_of(found["Anna"]), band_of(found["Bo"])) == (WIDE_BAND, NARROW_BAND)
    assert (found["Anna"].net_speech_s, found["Anna"].duration_s, found["Bo"].net_speech_s) == (3.0, 3.0, 2.0)
    assert found["Bo"].voice_agreement is None and found["Bo"].level_dbfs < found["Anna"].level_dbfs


def test_only_the_beginning_of_long_speech_is_measured(talk, monkeypatch):
    monkeypatch.setattr(quality, "MOST_SPEECH_S", 1.0)
    turns = [Turn(0.0, 1.0, "Anna"), Turn(2.0, 4.0, "Anna")]
    found = qualities_of(talk, turns)["Anna"]
    assert band_of(found) == WIDE_BAND and found.bandwidth_hz == 8000 and found.net_speech_s == 3.0
    assert band_of(qualities_of(talk, turns[1:])["Anna"]) == NARROW_BAND
