import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import AudioInfo, BadAudio, audio_info, audio_of_array, read_audio


def reason_of(path, reader=read_audio, **arguments):
    with pytest.raises(BadAudio) as caught:
        reader(path, **arguments)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_16_khz_mono_is_read_as_it_is(tmp_path, write_noise, name):
    path = write_noise(tmp_path / name, 3200)
    clip = read_audio(path)
    assert clip.waveform.dtype == np.float32
    assert not clip.was_converted
    np.testing.assert_array_equal(clip.waveform, soundfile.read(path, dtype="float32")[0])
    assert audio_info(path) == AudioInfo(3200, 16000, 1)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_range_is_a_slice_of_the_whole(tmp_path, write_noise, name):
    path = write_noise(tmp_path / name, 32000)
    whole = read_audio(path).waveform
    np.testing.assert_array_equal(read_audio(path, 12345, 23456).waveform, whole[12345:23456])
    np.testing.assert_array_equal(read_audio(path, 31000).waveform, whole[31000:])


def test_only_the_range_is_read(tmp_path, write_noise):
    path = write_noise(tmp_path / "a.flac", 32000)
    whole = read_audio(path).waveform
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_array_equal(read_audio(path, 100, 4100).waveform, whole[100:4100])


def test_8_khz_stereo_becomes_16_khz_mono_and_is_said(tmp_path):
    time = np.arange(8000) / 8000
    left, right = 0.4 * np.sin(2 * np.pi * 440 * time), 0.2 * np.sin(2 * np.pi * 440 * time)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 8000)
    clip = read_audio(path)
    assert clip.was_converted
    assert clip.waveform.dtype == np.float32
    assert clip.waveform.shape == (16000,)
    assert audio_info(path) == AudioInfo(16000, 8000, 2)
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(clip.waveform[500:-500], expected[500:-500], atol=2e-3)  # the filter's ripple
    np.testing.assert_array_equal(read_audio(path, 4000, 5000).waveform, clip.waveform[4000:5000])


@pytest.mark.parametrize(
    ("sample_rate", "ratio"),
    [(rate, 16000 / rate) for rate in (2000, 11025, 22050, 44100, 48000)] + [(383987, 666 / 15983)],
)
def test_header_and_waveform_agree_on_the_converted_length(tmp_path, write_noise, sample_rate, ratio):
    path = write_noise(tmp_path / "a.wav", 100007, sample_rate)
    assert audio_info(path).num_samples == len(read_audio(path).waveform) == math.ceil(100007 * ratio)


def test_channels_of_a_16_khz_file_are_averaged(tmp_path):
    stereo = np.array([[0.5, 0.25], [-0.5, 0.25], [0.125, 0.125]])
    soundfile.write(tmp_path / "a.wav", stereo, 16000)
    clip = read_audio(tmp_path / "a.wav")
    assert clip.was_converted
    np.testing.assert_array_equal(clip.waveform, np.float32([0.375, -0.125, 0.125]))


def test_samples_stay_within_full_scale(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([1.5, -1.25, 0.5]), 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").waveform, np.float32([1.0, -1.0, 0.5]))


def test_another_rate_can_be_asked_for(tmp_path, write_noise):
    clip = read_audio(write_noise(tmp_path / "a.wav", 1600), sample_rate=8000)
    assert clip.was_converted
    assert clip.waveform.shape == (800,)


def test_missing_file(tmp_path):
    assert reason_of(tmp_path / "a.wav") == "no such file or directory"


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    assert reason_of(tmp_path / "a.wav") == "empty file"


def test_header_without_samples(tmp_path, write_noise):
    assert reason_of(write_noise(tmp_path / "a.wav", 0), audio_info) == "no samples"


def test_text_named_wav(tmp_path):
    (tmp_path / "a.wav").write_text("this is not audio\n" * 100)
    assert reason_of(tmp_path / "a.wav").startswith("not a readable audio file (")


@pytest.mark.parametrize("name", ["a.raw", "a.RAW"])
def test_samples_without_a_header(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(32000))
    assert reason_of(tmp_path / name) == "not a readable audio file (samples without a header: convert to WAV)"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    soundfile.write(tmp_path / "a.wav", np.array([0.1, bad, 0.2]), 16000, subtype="FLOAT")
    assert reason_of(tmp_path / "a.wav") == "NaN or infinite samples"


def test_float_samples_on_the_scale_of_integers(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 20000.0]), 16000, subtype="FLOAT")
    assert reason_of(tmp_path / "a.wav") == "samples reach 20000 where full scale is 1"


def test_truncated_wav_is_seen_in_its_header(tmp_path, write_noise):
    path = write_noise(tmp_path / "a.wav", 16000)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 9000])
    expected = "truncated: header says 16000 samples, 9000 could be read"
    assert reason_of(path, audio_info) == expected
    assert reason_of(path, stop=100) == expected


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_truncated_flac_is_seen_when_read(tmp_path, write_noise, share):
    path = write_noise(tmp_path / "a.flac", 32000)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert reason_of(path).startswith("truncated")


def test_wav_from_a_pipe_ends_where_the_file_ends(tmp_path, write_noise):
    path = write_noise(tmp_path / "a.wav", 1600)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"data" + (3200).to_bytes(4, "little"), b"data\xff\xff\xff\xff"))
    assert audio_info(path).num_samples == 1600
    assert len(read_audio(path).waveform) == 1600


@pytest.mark.parametrize("arguments", [{"stop": 1601}, {"start": 1600}, {"start": 20, "stop": 20}])
def test_a_range_outside_the_recording(tmp_path, write_noise, arguments):
    path = write_noise(tmp_path / "a.wav", 1600)
    assert reason_of(path, **arguments).endswith("were asked for, it has 1600")


def stereo(num_samples=5000):
    return (np.random.default_rng(1).uniform(-0.5, 0.5, (num_samples, 2)) * 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 8000, 44100])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_an_array_is_read_as_the_file_that_holds_it(tmp_path, rate, dtype):
    samples = stereo(150_000)  # more than two blocks
    soundfile.write(tmp_path / "a.wav", samples, rate)
    array = samples if dtype == "int16" else (samples / 32768).astype(dtype)
    clip = audio_of_array(array, rate)
    np.testing.assert_array_equal(clip.waveform, read_audio(tmp_path / "a.wav").waveform)
    assert clip.waveform.dtype == np.float32 and clip.was_converted


@pytest.mark.parametrize(("dtype", "zero", "scale"), [("uint8", 128, 128), ("int32", 0, 2**31), ("float16", 0, 1)])
def test_whole_numbers_have_their_own_full_scale(dtype, zero, scale):
    values = np.array([-1, -0.5, 0, 0.5], np.float64)
    samples = (values * scale + zero).astype(dtype)
    np.testing.assert_array_equal(audio_of_array(samples, 16000).waveform, values.astype(np.float32))


def test_one_channel_can_be_chosen(tmp_path):
    samples = stereo()
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    for channel in (0, 1):
        expected = samples[:, channel] / np.float32(32768)
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", channel=channel).waveform, expected)
        np.testing.assert_array_equal(audio_of_array(samples, 16000, channel=channel).waveform, expected)
    with pytest.raises(BadAudio, match="no channel 2: it has 2, counted from 0"):
        read_audio(tmp_path / "a.wav", channel=2)
    with pytest.raises(BadAudio, match="no channel -1"):
        audio_of_array(samples, 16000, channel=-1)


def test_of_channels_that_cancel_one_can_be_chosen():
    samples = stereo().astype(np.float32) / 32768
    samples[:, 1] = -samples[:, 0]
    with pytest.raises(BadAudio, match="channels cancel each other"):
        audio_of_array(samples, 16000)
    np.testing.assert_array_equal(audio_of_array(samples, 16000, channel=1).waveform, samples[:, 1])


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.zeros((2, 5, 3)), 16000, r"expected samples \(N,\) or \(N, channels\)"),
        (np.zeros((2, 5000)), 16000, "with at most 64 channels, got"),
        (np.zeros(50, np.int64), 16000, "expected floats with full scale 1, or int16, int32, uint8 samples, got int64"),
        (np.zeros(50, bool), 16000, "got bool"),
        (np.zeros(50), 0, "expected a rate of 2000 to 768000 Hz, got 0"),
    ],
)
def test_arrays_that_are_no_recordings(samples, rate, said):
    with pytest.raises(ValueError, match=said):
        audio_of_array(samples, rate)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(0), "no samples"),
        (np.array([0, np.nan]), "NaN or infinite"),
        (np.array([0, 1e300]), "NaN or infinite"),  # more than float32 holds
        (np.array([0.0, 20000.0]), "full scale is 1"),
    ],
)
def test_arrays_of_bad_samples(samples, said):
    with pytest.raises(BadAudio, match=said):
        audio_of_array(samples, 16000)


def test_importing_the_readers_does_not_import_scipys_filters():
    """It takes half a second, which commands for people have to wait for."""
    program = "import sys, mindvox.corpus.quality; sys.exit('scipy.signal' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_damaged_title_is_no_damage_to_the_sound(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", format="webm") as out:
        out.metadata["title"] = "spoken words"
        track = out.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in (*track.encode(frame), *track.encode(None)):
            out.mux(packet)
    content = path.read_bytes()
    assert content.count(b"spoken words") == 1
    path.write_bytes(content.replace(b"spoken words", b"spoken" + b"\xff" * 6))
    assert len(read_audio(path).waveform) == pytest.approx(16000, abs=200)
