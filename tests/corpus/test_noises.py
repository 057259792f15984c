"""Folders of noises and rooms: MUSAN, RIRS_NOISES, any other; what cannot be used; samples as they should be."""

import pickle

import numpy as np
import pytest
import soundfile

from mindvox.corpus import noises
from mindvox.corpus.audio import read_audio
from mindvox.corpus.noises import NoiseFolder, RoomFolder, warn_about_skipped
from mindvox.errors import InputError

RATE = 16000


def write(path, num_samples=4000, rate=RATE, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((num_samples, channels))
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.fixture
def musan(tmp_path):
    for seed, part in enumerate(("music", "noise", "speech")):
        for number in range(2):
            write(tmp_path / "musan" / part / "source" / f"{part}-{number}.wav", 4000 + number, seed=seed)
    return tmp_path / "musan"


def test_any_folder_of_audio_is_a_folder_of_noises(tmp_path):
    write(tmp_path / "b.wav")
    write(tmp_path / "deep" / "er" / "a.flac")
    (tmp_path / "notes.txt").write_text("no audio")
    folder = NoiseFolder.open(tmp_path)
    assert folder.paths == ("b.wav", "deep/er/a.flac")
    assert len(folder.of_kind("music")) == 0


def test_parts_of_musan_are_known(musan):
    folder = NoiseFolder.open(musan)
    assert len(folder) == 6
    assert folder.of_kind("speech").paths == ("speech/source/speech-0.wav", "speech/source/speech-1.wav")
    assert folder.of_kind("speech").num_samples(1) == 4001


def test_segments_are_the_files_samples(tmp_path):
    samples = write(tmp_path / "a.wav", 4000)[:, 0]
    folder = NoiseFolder.open(tmp_path)
    np.testing.assert_array_equal(folder.segment(0, 1000, 500), samples[1000:1500])
    np.testing.assert_array_equal(folder.segment(0, 0, 4000), samples)


def test_short_recordings_start_again(tmp_path):
    samples = write(tmp_path / "a.wav", 300)[:, 0]
    segment = NoiseFolder.open(tmp_path).segment(0, 100, 1000)
    np.testing.assert_array_equal(segment, samples[(100 + np.arange(1000)) % 300])


def test_channels_of_noise_are_averaged(tmp_path):
    samples = write(tmp_path / "a.wav", channels=2)
    np.testing.assert_allclose(NoiseFolder.open(tmp_path).segment(0, 0, 4000), samples.mean(axis=1), atol=1e-7)


def test_other_rates_are_converted_once_and_kept_within_bounds(tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path / f"{number}.wav", 44100, rate=44100, seed=number)
    folder = NoiseFolder.open(tmp_path)
    monkeypatch.setattr(folder._cache, "max_bytes", 2 * 2 * RATE)
    read = []
    monkeypatch.setattr(
        noises, "read_audio", lambda path, read_audio=noises.read_audio: read.append(path) or read_audio(path)
    )
    assert folder.num_samples(0) == RATE
    whole = folder.segment(0, 0, RATE)
    np.testing.assert_array_equal(folder.segment(0, 100, 50), whole[100:150])
    assert len(read) == 1  # opening the folder read through quality.read_usable
    folder.segment(1, 0, 10)
    folder.segment(2, 0, 10)
    np.testing.assert_array_equal(folder.segment(0, 0, RATE), whole)
    assert len(read) == 4


def test_unusable_files_are_listed_and_the_others_used(tmp_path, capsys):
    write(tmp_path / "good.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.flac").write_text("no audio at all")
    folder = NoiseFolder.open(tmp_path)
    assert folder.paths == ("good.wav",)
    warn_about_skipped(tmp_path, folder.skipped)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "2 files cannot be used: empty.wav (empty file), text.flac (not a readable audio file" in said
    warn_about_skipped(tmp_path, [])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("kind", "what"), [(NoiseFolder, "recordings of noise"), (RoomFolder, "room responses")])
def test_folders_without_anything_usable_are_an_error(tmp_path, kind, what):
    with pytest.raises(InputError, match="no such folder"):
        kind.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"expected {what}.*found none"):
        kind.open(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 cannot be used, such as a.wav \(empty file\)"):
        kind.open(tmp_path)


def test_file_that_changed_since_is_one_clear_error(tmp_path):
    write(tmp_path / "a.wav", 4000)
    folder = NoiseFolder.open(tmp_path)
    write(tmp_path / "a.wav", 2000)
    with pytest.raises(InputError, match=r"a.wav: damaged or changed .* \(truncated: header says 4000"):
        folder.segment(0, 1000, 3000)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"a.wav: damaged or changed .* \(no such file or directory\)"):
        folder.segment(0, 0, 10)


def test_room_has_the_first_channel_at_16_khz(tmp_path):
    samples = write(tmp_path / "a.wav", channels=8)
    np.testing.assert_array_equal(RoomFolder.open(tmp_path).response(0), samples[:, 0])
    write(tmp_path / "b.wav", 8000, rate=8000)
    assert RoomFolder.open(tmp_path).response(1).shape == (16000,)


def test_missing_rooms_are_named(tmp_path):
    write(tmp_path / "a.wav")
    folder = RoomFolder.open(tmp_path)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"a.wav: damaged or changed .* \(no such file or directory\)"):
        folder.response(0)


def bad_sample(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    samples[RATE // 2] = value
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def test_noises_are_decoded_before_they_are_used(tmp_path):
    """Second variants: infinite, silent, constant, cut, not scaled; capitals; a link in a circle."""
    write(tmp_path / "GOOD.WAV")
    bad_sample(tmp_path / "nan.wav", np.nan)
    bad_sample(tmp_path / "infinite.flac.wav", np.inf)
    bad_sample(tmp_path / "unscaled.wav", 3000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    write(tmp_path / "cut.Flac", RATE)
    data = (tmp_path / "cut.Flac").read_bytes()
    (tmp_path / "cut.Flac").write_bytes(data[: len(data) // 2])
    (tmp_path / "one").symlink_to(".")
    (tmp_path / "two").symlink_to(".")
    (tmp_path / "lost.wav").symlink_to("nowhere")
    folder = NoiseFolder.open(tmp_path)
    assert folder.paths == ("GOOD.WAV",)
    reasons = {name: reason.split(" (")[0] for name, reason in folder.skipped}
    assert reasons == {
        "nan.wav": "NaN or infinite samples",
        "infinite.flac.wav": "NaN or infinite samples",
        "unscaled.wav": "samples reach 3000 where full scale is 1",
        "silent.wav": "constant signal",
        "cut.Flac": "truncated or damaged",
        "lost.wav": "a link to nothing",
    }


def test_room_responses_are_decoded_before_they_are_used(tmp_path):
    write(tmp_path / "good.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    bad_sample(tmp_path / "nan.wav", np.nan)
    folder = RoomFolder.open(tmp_path)
    assert folder.paths == ("good.wav",)
    assert dict(folder.skipped) == {
        "silent.wav": "silent: no response of a room",
        "nan.wav": "NaN or infinite samples",
    }


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_noises_that_cannot_seek_are_decoded_once(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    folder = NoiseFolder.open(tmp_path)
    whole = folder.segment(0, 0, folder.num_samples(0))
    np.testing.assert_array_equal(folder.segment(0, 700, 100), whole[700:800])
    np.testing.assert_allclose(whole, read_audio(tmp_path / f"a.{suffix}").waveform, atol=1e-4)


def test_another_process_takes_the_checked_folder_without_what_was_converted(tmp_path):
    write(tmp_path / "a.wav", 44100, rate=44100)
    folder = NoiseFolder.open(tmp_path)
    before = folder.segment(0, 0, 100)
    copy = pickle.loads(pickle.dumps(folder))
    assert len(pickle.dumps(folder)) < 5000
    np.testing.assert_array_equal(copy.segment(0, 0, 100), before)


def test_of_rirs_noises_only_rooms_are_taken(tmp_path):
    root = tmp_path / "RIRS_NOISES"
    real = root / "real_rirs_isotropic_noises"
    write(root / "simulated_rirs" / "smallroom" / "Room001" / "Room001-00001.wav")
    write(root / "pointsource_noises" / "noise-free-sound-0000.wav")
    write(real / "RVB2014_type1_rir_largeroom1_far_angla.wav", channels=8)
    write(real / "RVB2014_type1_noise_largeroom1_1.wav")
    name = "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav"
    (real / "rir_list").write_text(f"--rir-id 00001 --room-id 001 {name}\n\n")
    assert RoomFolder.open(root).paths == (
        "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav",
        "simulated_rirs/smallroom/Room001/Room001-00001.wav",
    )
    assert RoomFolder.open(root / "simulated_rirs").paths == ("smallroom/Room001/Room001-00001.wav",)
    assert len(RoomFolder.open(tmp_path)) == 2
