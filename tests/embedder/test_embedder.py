"""Embeddings are the same for a file and for its samples, and an unusable recording gets a reason."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.embedder import Embedder, UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.frontend import front_end_of, preparation
from mindvox.frontend.frames import Windows, repeat_to, window_edges
from mindvox.frontend.mel_spectrogram import MelSpectrogram
from tests.deploy.toy import FRONT_END, NUM_MELS, make_checkpoint, relative
from tests.detector import LoudIsSpeech
from tests.embedder.conftest import KALDI, PUBLIC, UNUSABLE, USABLE, Recorder, noise

BOUND = 1e-5  # rounding of other batches
OF_SPEECH = MelSpectrogram(n_mels=NUM_MELS, trim="webrtc", zeros_after_ms=20.0)
WAVEFORM_BOUND = 1e-4  # and a front end in single precision


@pytest.mark.parametrize("kind", ["features", "waveform", "fixed", "fixed waveform", "kaldi"])
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (8000, 1), (44100, 2)])
def test_a_file_and_its_array_have_the_same_embedding(embedders, tmp_path, kind, rate, channels):
    samples = np.stack([noise(rate // 2, seed) for seed in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16")
    array, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    expected = embedders[kind].embed(tmp_path / "a.wav")
    assert expected.shape == (6,) and expected.dtype == np.float32
    for same in (array, array / 32768, array.astype(np.float32) / 32768):
        np.testing.assert_array_equal(embedders[kind].embed(same, rate), expected)


@pytest.mark.parametrize(("kind", "front_end"), [("features", FRONT_END), ("kaldi", front_end_of(KALDI))])
def test_the_front_end_is_the_models(embedders, recordings, kind, front_end):
    path = recordings / "bert" / "phone.wav"
    feats = front_end.finish(front_end(read_audio(path).waveform))
    expected = embedders[kind].engine.encode(feats[None])[0]
    np.testing.assert_array_equal(embedders[kind].embed(path), expected)


def test_a_model_of_waveforms_gives_the_embedding_of_the_features(embedders, recordings):
    for name in USABLE:
        expected = embedders["features"].embed(recordings / name)
        assert relative(embedders["waveform"].embed(recordings / name), expected) <= WAVEFORM_BOUND


@pytest.mark.parametrize("num_samples", [2000, 9000])
def test_a_model_of_a_fixed_length_sees_the_start_repeated_when_it_is_short(embedders, num_samples):
    waveform = noise(num_samples, 0).astype(np.float32)
    feats = FRONT_END.finish(repeat_to(FRONT_END(waveform), 40))
    expected = embedders["features"].engine.encode(feats[None])[0]
    assert relative(embedders["fixed"].embed(waveform), expected) <= BOUND
    of_start = embedders["features"].embed(repeat_to(waveform, 39 * 160))
    assert relative(embedders["fixed waveform"].embed(waveform), of_start) <= WAVEFORM_BOUND


@pytest.mark.parametrize("kind", ["features", "waveform", "kaldi"])
def test_a_long_recording_has_the_mean_of_its_windows_weighted_by_frames(models, kind):
    embedder = Embedder.open(models[kind], max_frames=30)
    front_end = embedder.front_end
    waveform = noise(front_end.num_samples(100) + 50, 0).astype(np.float32)
    edges = window_edges(front_end.num_frames(len(waveform)), 30).tolist()
    assert len(edges) == 5
    total = 0.0
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        if kind == "waveform":
            start, stop = first * 160, first * 160 + front_end.num_samples(last - first)
            part = waveform[start:stop] if last < edges[-1] else waveform[start:]
        else:
            part = front_end.finish(front_end(waveform)[first:last])
        total = total + embedder.engine.encode(part[None])[0].astype(np.float64) * (last - first)
    assert relative(embedder.embed(waveform), total / edges[-1]) <= BOUND
    assert relative(Embedder.open(models[kind], max_frames=0).embed(waveform), total / edges[-1]) > 10 * BOUND


def test_one_channel_can_be_chosen(embedders):
    both = np.stack([noise(8000, 1), noise(8000, 2)], axis=1)
    for channel in (0, 1):
        expected = embedders["features"].embed(both[:, channel])
        np.testing.assert_array_equal(embedders["features"].embed(both, channel=channel), expected)


def with_bad_sample(value):
    samples = noise(8000, 0)
    samples[100] = value
    return samples


@pytest.mark.parametrize(
    ("recording", "reason"),
    [
        (noise(1000, 0), "too short: 0.062 s, shorter than min_duration 0.1 s"),
        (np.zeros(8000), "constant signal"),
        (1e-5 * noise(8000, 0), "silent"),
        (np.sign(noise(8000, 0)), "clipped"),
        (with_bad_sample(np.nan), "NaN or infinite samples"),
        (with_bad_sample(12345), "full scale is 1"),
        (np.stack([noise(8000, 0), -noise(8000, 0)], axis=1), r"cancel each other: choose one of them \(channel 0, 1"),
        (np.zeros(0), "no samples"),
    ],
)
def test_what_cannot_be_used_has_a_reason(embedders, recording, reason):
    with pytest.raises(UnusableRecording, match=f"the array: .*{reason}") as caught:
        embedders["features"].embed(recording)
    assert isinstance(caught.value, InputError)


def test_files_that_cannot_be_used_are_named(embedders, recordings):
    for name, reason in {**UNUSABLE, "nothing.wav": "no such file"}.items():
        with pytest.raises(UnusableRecording, match=f"{name}: .*{reason}"):
            embedders["features"].embed(recordings / name)


def test_what_is_too_short_for_the_model_is_told_in_seconds(models):
    embedder = Recorder(models, min_frames=60).embedder
    with pytest.raises(UnusableRecording, match=r"the array: too short: 0\.500 s, the model needs at least 0\.590 s"):
        embedder.embed(noise(8000, 0))
    assert embedder.embed(noise(59 * 160, 0)).shape == (16,)


@pytest.mark.parametrize(
    ("recording", "sample_rate", "said"),
    [
        (np.zeros((2, 8000)), None, "expected samples"),
        (noise(8000, 0), -1, "expected a rate of 2000 to"),
        ("a.wav", 16000, "because a file has its own"),
    ],
)
def test_what_is_no_recording_is_a_mistake(embedders, recording, sample_rate, said):
    with pytest.raises(ValueError, match=said) as caught:
        embedders["features"].embed(recording, sample_rate)
    assert not isinstance(caught.value, UnusableRecording)


def test_many_files_have_the_embeddings_of_each_and_the_rest_is_listed(embedders, recordings):
    paths = [recordings / name for name in (*UNUSABLE, *USABLE)]
    made = embedders["features"].embed_many(paths)
    assert made.names == [str(recordings / name) for name in USABLE]
    assert made.vectors.shape == (5, 6) and made.vectors.dtype == np.float32 and not made.has_windows
    for name, vector in zip(made.names, made.vectors, strict=True):
        assert relative(vector, embedders["features"].embed(name)) <= BOUND
    for skipped, (name, reason) in zip(made.skipped, UNUSABLE.items(), strict=True):
        assert skipped.utt_id == str(recordings / name) and skipped.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["features", "fixed", "waveform"])
def test_a_folder_names_its_recordings_by_their_paths_in_it(embedders, recordings, kind):
    made = embedders[kind].folder(recordings, batch_size=2)
    assert made.names == USABLE and [skipped.utt_id for skipped in made.skipped] == [*UNUSABLE]
    for name, vector in zip(made.names, made.vectors, strict=True):
        assert relative(vector, embedders[kind].embed(recordings / name)) <= BOUND


def test_batches_hold_one_length_and_are_bounded(models, recordings):
    recorder = Recorder(models)  # windows of at most 90 frames
    recorder.embedder.folder(recordings, batch_size=2)
    # 51 frames: three files, of which two would pass 90 frames together; 38 and 46 frames.
    assert sorted(recorder.shapes) == [(1, 38), (1, 46), (1, 51), (1, 51), (1, 51)]
    recorder = Recorder(models, min_frames=20)  # 200 frames
    made = recorder.embedder.embed_many([recordings / "anna" / "1.wav"] * 5, batch_size=2)
    assert recorder.shapes == [(2, 51), (2, 51), (1, 51)]
    np.testing.assert_array_equal(made.vectors[0], made.vectors[4])


def test_windows_of_many_files_belong_to_their_rows(models, recordings, tmp_path):
    soundfile.write(tmp_path / "long.wav", noise(40000, 9), 16000)  # 251 frames: 3 windows
    paths = [recordings / "anna" / "1.wav", tmp_path / "long.wav", recordings / "bert" / "1.wav"]
    embedder = Recorder(models).embedder
    made = embedder.embed_many(paths)
    assert made.has_windows
    for path, vector in zip(paths, made.vectors, strict=True):
        np.testing.assert_allclose(vector, embedder.embed(path), rtol=1e-6)


def test_no_files_have_no_embeddings(embedders):
    made = embedders["features"].embed_many([])
    assert made.names == made.skipped == [] and made.vectors.shape == (0, 6)


def test_a_folder_without_recordings_is_an_error(embedders, tmp_path):
    with pytest.raises(InputError, match=r"expected recordings \(\.wav, .*\) in this folder, found none"):
        embedders["features"].folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        embedders["features"].folder(tmp_path / "nothing")


def test_an_embedding_that_is_no_number_is_an_error_with_the_name(models, recordings):
    embedder = Recorder(models, lambda batch: np.full((len(batch), 16), np.nan, np.float32)).embedder
    with pytest.raises(InputError, match=r"anna/1\.wav: the model's embedding has NaN"):
        embedder.embed(recordings / "anna" / "1.wav")


def test_too_little_memory_is_an_error_with_the_name(models, recordings):
    def run_out(_):
        raise MemoryError

    with pytest.raises(InputError, match=r"anna/1\.wav: 51 frames at once need more memory"):
        Recorder(models, run_out).embedder.folder(recordings)


def test_a_model_is_found_by_name_file_and_folder(models, embedders, monkeypatch, tmp_path):
    expected = embedders["features"].embed(noise(8000, 0))
    home = tmp_path / "home" / "models" / PUBLIC
    home.parent.mkdir(parents=True)
    home.symlink_to(models["features"].parent)
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    for model in (PUBLIC, models["features"], str(models["features"]), models["features"].parent):
        np.testing.assert_array_equal(Embedder.open(model).embed(noise(8000, 0)), expected)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (PUBLIC, "campplus_zh_en: this public model is not in .*home.* Fetch it first: mindvox fetch campplus_zh_en"),
        ("nobody", "nobody: neither a file, nor a folder, nor a public model; `mindvox models` lists those"),
        ("silero_vad", "expected a speaker model"),
        ("nobody.onnx", r"nobody\.onnx: no such model"),
        ("two", r"two: expected one exported model in this folder, found 2 models: a\.onnx, b\.onnx"),
        ("none", "none: expected one exported model in this folder, found 0 models"),
    ],
)
def test_a_model_that_is_not_there(models, tmp_path, monkeypatch, model, said):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for folder in ("two", "none"):
        (tmp_path / folder).mkdir()
    for name in ("a.onnx", "a.onnx.json", "b.onnx", "b.onnx.json"):
        (tmp_path / "two" / name).write_text("")
    (tmp_path / "none" / "c.onnx").write_text("without a description")
    with pytest.raises(InputError, match=said):
        Embedder.open(model)


def test_a_checkpoint_must_be_exported_first(tmp_path):
    checkpoint = make_checkpoint(tmp_path)
    with pytest.raises(InputError, match=f"A checkpoint is exported by mindvox export --exp_ckpt_file={checkpoint} "):
        Embedder.open(checkpoint)


@pytest.mark.parametrize("max_frames", [17, -1])
def test_windows_that_are_too_small_are_refused(models, max_frames):
    with pytest.raises(UsageError, match=f"max_frames: expected 0 or at least 18 frames, got {max_frames}"):
        Embedder.open(models["features"], max_frames=max_frames)


def test_a_recording_is_prepared_whole_after_it_was_judged(models, monkeypatch):
    monkeypatch.setattr(preparation, "_detector", LoudIsSpeech)
    embedder = Embedder(models["features"], Recorder(models, front_end=OF_SPEECH.to_dict()).embedder.engine)
    waveform = noise(16000, 1).astype(np.float32)
    waveform[4000:] *= 0.01
    prepared = OF_SPEECH.prepare(waveform)
    assert 4000 < len(prepared) < 8000
    expected = np.abs(OF_SPEECH.finish(OF_SPEECH(prepared))).mean(axis=0)
    np.testing.assert_array_equal(embedder.embed(waveform), expected)
    with pytest.raises(UnusableRecording, match="the array: no speech was found in it"):
        embedder.embed(0.1 * waveform)
    with pytest.raises(UnusableRecording, match="constant signal"):
        embedder.embed(np.zeros(16000))


@pytest.mark.parametrize("kind", ["fixed", "fixed waveform"])
@pytest.mark.parametrize("windows", [Windows(40, 30), Windows(40, 30, "padded", 0.5)], ids=["aligned", "padded"])
@pytest.mark.parametrize("num_samples", [2000, 17000])
def test_a_model_that_takes_windows_gets_them(embedders, kind, windows, num_samples):
    engine = embedders[kind].engine
    windowed = replace(engine, exported=replace(engine.exported, windows=windows))
    embedder = Embedder(embedders[kind].model_file, windowed, max_frames=20)
    waveform = noise(num_samples, 0).astype(np.float32)
    feats, expected = FRONT_END(waveform), []
    for start in windows.starts(len(feats)):
        if kind == "fixed":
            values = FRONT_END.finish(windows.cut(feats, start))
        else:
            values = windows.fill(waveform[160 * start :][: 39 * 160], 39 * 160)
        expected.append(engine.encode(values[None])[0])
    assert len(expected) == (1 if num_samples == 2000 else 4 if windows.last == "aligned" else 3)
    assert relative(embedder.embed(waveform), np.mean(expected, axis=0)) <= BOUND
