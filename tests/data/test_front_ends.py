"""The section `front_end` of preparation and training: what stores hold, what models take, what does not fit."""

import json

import numpy as np
import pytest
import soundfile

from mindvox.config import Config, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.corpus.audio import read_audio
from mindvox.corpus.tables import make_train_tables
from mindvox.data.eval_store import ComputedFeatures, EvalStore
from mindvox.data.front_ends import (
    check_training_front_end,
    prepared_front_end,
    take_front_end,
    training_front_end,
)
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.data.train_store import read_manifest
from mindvox.data.verify import verify_eval_store, verify_train_store
from mindvox.errors import InputError, UsageError
from mindvox.frontend import preparation
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.frontend.mel_spectrogram import MelSpectrogram
from tests.detector import LoudIsSpeech
from tests.stores import read_records

KALDI = KaldiFbank(n_mels=40, window="hamming", waveform_scale=32768.0)
KALDI_KEYS = (
    *("--front_end=kaldi_fbank", "--n_mels=40"),
    *("--front_end.window=hamming", "--front_end.waveform_scale=32768"),
)


def test_section_has_the_keys_of_the_chosen_front_end(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("front_end: {name: kaldi_fbank, window: hamming, waveform_scale: 32768}\nn_mels: 40\n")
    for cls in (TrainPrepConfig, EvalPrepConfig):
        assert prepared_front_end(load_config(cls, [str(path)])) == KALDI
        assert prepared_front_end(load_config(cls, list(KALDI_KEYS))) == KALDI
        assert prepared_front_end(load_config(cls, [])) == Fbank()


def test_key_of_another_front_end_is_refused_with_whose_it_is():
    with pytest.raises(UsageError, match="front_end.dither: front_end fbank has no such key; kaldi_fbank have it"):
        load_config(TrainPrepConfig, ["--front_end.dither=1"], check=("front_end",))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--front_end.sample_rate=22050", "front_end.sample_rate: recordings are read at 16000 Hz, got 22050"),
        ("--sentence_len=0.02", "sentence_len: expected at least a frame of the front end, 0.025 s, got 0.02 s"),
    ],
)
def test_front_end_that_recordings_cannot_have_is_refused(argument, message):
    with pytest.raises(UsageError, match=message):
        prepared_front_end(load_config(TrainPrepConfig, ["--front_end=kaldi_fbank", argument]))


def test_stores_hold_the_features_of_the_front_end(corpus, eval_corpus, train_config, eval_config):
    config = train_config(*KALDI_KEYS, "--whole_utterance=true")
    prepare_train(config)
    verify_train_store(config.feat_folder)
    assert read_manifest(config.feat_folder).front_end == KALDI.to_dict()
    for record in read_records(config.feat_folder):
        waveform = read_audio(corpus / "wav" / record.utt_id).waveform
        np.testing.assert_array_equal(record.feats, KALDI(waveform))
    config = eval_config(*KALDI_KEYS)
    prepare_eval(config)
    verify_eval_store(config.feat_eval_folder)
    store = EvalStore.open(config.feat_eval_folder, KALDI.to_dict())
    waveform = read_audio(eval_corpus / "wav" / store.utt_ids[1]).waveform
    np.testing.assert_array_equal(store.feats(1), KALDI(waveform))


def test_dither_of_a_store_follows_from_the_seed(corpus, train_config, tmp_path):
    def features(*changes):
        config = train_config("--front_end=kaldi_fbank", "--front_end.dither=0.01", "--whole_utterance=true", *changes)
        prepare_train(config)
        return {record.utt_id: record.feats for record in read_records(config.feat_folder)}

    first, same = features(), features(f"--feat_folder={tmp_path / 'same'}", "--shard_utterances=3")
    other = features(f"--feat_folder={tmp_path / 'other'}", "--seed=9", "--skip_prep=true")
    for name, feats in first.items():
        np.testing.assert_array_equal(feats, same[name])
        assert np.abs(feats - other[name]).max() > 1e-3
    with pytest.raises(InputError, match="seed 1234, now 9"):
        features("--seed=9", "--skip_prep=true")


@pytest.mark.parametrize("front_end", [Fbank(n_mels=24), KALDI], ids=lambda front_end: front_end.name)
def test_store_of_waveforms_gives_every_model_its_features(train_config, eval_config, eval_corpus, front_end):
    make_train_tables(train_config())  # of which the cohort is drawn
    config = eval_config("--store_kind=waveform")
    prepare_eval(config)
    for folder in (config.feat_eval_folder, config.feat_norm_folder):
        verify_eval_store(folder)
    store = EvalStore.open(config.feat_eval_folder, front_end.to_dict())
    assert isinstance(store, ComputedFeatures) and store.front_end == front_end.to_dict()
    for row, name in enumerate(store.utt_ids):
        waveform = read_audio(eval_corpus / "wav" / name).waveform
        np.testing.assert_array_equal(store.feats(row), front_end(waveform))
        np.testing.assert_array_equal(store.feats(row), front_end(waveform))  # kept, and the same
        assert store.num_frames[row] == len(store.feats(row))
        store.release()
    cohort = EvalStore.open(config.feat_norm_folder, front_end.to_dict())
    assert set(cohort.num_frames) == {front_end.num_frames(16000)}


OF_SPEECH = MelSpectrogram(n_mels=20, trim="webrtc", zeros_after_ms=20.0)
OF_SPEECH_KEYS = ("--front_end=mel_spectrogram", "--n_mels=20", "--front_end.trim=webrtc")
OF_SPEECH_KEYS += ("--front_end.zeros_after_ms=20",)
SOFT = "id00010/session/00001.wav"


def soften(path, first):
    """Make a recording soft from a sample on."""
    samples, rate = soundfile.read(path)
    samples[first:] *= 0.01
    soundfile.write(path, samples, rate)


def test_recordings_are_prepared_whole_for_stores_of_both_kinds(
    train_config, eval_config, corpus, eval_corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(preparation, "_detector", LoudIsSpeech)
    soften(eval_corpus / "wav" / SOFT, 8000)
    soften(corpus / "wav" / "id00001" / "session" / "00003.wav", 24000)  # of 64000; chunks are 16000
    make_train_tables(train_config())
    config = eval_config(*OF_SPEECH_KEYS, "--random_chunk=false")
    prepare_eval(config)
    folders = (f"--feat_eval_folder={tmp_path / 'samples'}", f"--feat_norm_folder={tmp_path / 'norm_samples'}")
    samples = eval_config("--store_kind=waveform", *folders)
    prepare_eval(samples)
    for folder in (config.feat_eval_folder, samples.feat_eval_folder):
        store = EvalStore.open(folder, OF_SPEECH.to_dict())
        for row, name in enumerate(store.utt_ids):
            waveform = read_audio(eval_corpus / "wav" / name).waveform
            prepared = OF_SPEECH.prepare(waveform)
            assert (len(prepared) < len(waveform) - 5000) == (name == SOFT)
            np.testing.assert_array_equal(store.feats(row), OF_SPEECH(prepared))
            assert store.num_frames[row] == len(store.feats(row))
    cohort = EvalStore.open(config.feat_norm_folder, OF_SPEECH.to_dict())
    waveform = read_audio(corpus / "wav" / "id00001" / "session" / "00003.wav").waveform
    row = cohort.utt_ids.index("id00001/session/00003.wav")
    np.testing.assert_array_equal(cohort.feats(row), OF_SPEECH(OF_SPEECH.prepare(waveform)[:16000]))


def test_recording_without_speech_is_listed_with_the_reason(eval_config, eval_corpus, monkeypatch):
    monkeypatch.setattr(preparation, "_detector", LoudIsSpeech)
    soften(eval_corpus / "wav" / SOFT, 0)
    with pytest.raises(InputError, match=rf"1 of its utterances cannot be used: {SOFT} \(no speech was found in it\)"):
        prepare_eval(eval_config(*OF_SPEECH_KEYS))
    config = eval_config("--store_kind=waveform")
    prepare_eval(config)
    with pytest.raises(InputError, match=rf"{SOFT}: no speech was found in it\. Leave the utterance out"):
        EvalStore.open(config.feat_eval_folder, OF_SPEECH.to_dict())


def test_store_of_waveforms_is_kept_and_checked(train_config, eval_config, capsys):
    make_train_tables(train_config())
    config = eval_config("--store_kind=waveform")
    prepare_eval(config)
    prepare_eval(eval_config("--store_kind=waveform", "--front_end=kaldi_fbank"))  # samples are the same for each
    assert capsys.readouterr().out.count("already prepared") == 2
    with pytest.raises(InputError, match="holds data prepared from other things: front_end None, now"):
        prepare_eval(eval_config())
    with pytest.raises(InputError, match="holds waveforms, a store of features is needed"):
        EvalStore.open(config.feat_eval_folder)
    with pytest.raises(InputError, match="holds waveforms at 16000 Hz, the model takes 8000"):
        EvalStore.open(config.feat_eval_folder, KaldiFbank(sample_rate=8000, f_max=4000.0).to_dict())
    with open(f"{config.feat_eval_folder}/wave.npy", "r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"x")
    with pytest.raises(InputError, match=r"wave\.npy and index\.csv are not the content that meta\.json names"):
        EvalStore.open(config.feat_eval_folder, KALDI.to_dict())


def test_store_of_features_of_another_front_end_says_what_to_prepare(eval_config):
    config = eval_config()
    prepare_eval(config)
    with pytest.raises(
        InputError, match="holds features of the front end fbank, the model takes kaldi_fbank"
    ) as caught:
        EvalStore.open(config.feat_eval_folder, KALDI.to_dict())
    keys = "--front_end=kaldi_fbank --front_end.n_mels=40 --front_end.window=hamming"
    assert keys in str(caught.value) and "\n" not in str(caught.value)


def test_training_takes_the_models_size_where_none_is_given():
    config = load_config(Config, ["--inChannels=24"])
    assert training_front_end(config).to_dict() == Fbank(n_mels=24).to_dict()
    config = load_config(Config, ["--inChannels=24", "--front_end.name=kaldi_fbank", "--front_end.dither=1"])
    assert training_front_end(config).to_dict() == KaldiFbank(n_mels=24, dither=1.0).to_dict()
    config = load_config(Config, ["--inChannels=24", "--front_end.n_mels=40"])
    assert training_front_end(config).size == 40
    config = load_config(Config, ["--inChannels=24", "--front_end.name=mfcc"])
    assert training_front_end(config).options.n_mfcc == 24
    config = load_config(Config, ["--inChannels=24", "--front_end.name=spectrogram"])  # of no key alone
    assert training_front_end(config).size == 201


def test_training_on_a_store_of_features_takes_its_front_end_unless_another_is_asked_for():
    stored = KALDI.to_dict()
    for arguments in (["--inChannels=40"], ["--front_end=kaldi_fbank", "--front_end.window=hamming"]):
        check_training_front_end(load_config(Config, arguments), stored, "store")
    with pytest.raises(InputError, match="store: holds features of the front end kaldi_fbank, the model takes fbank"):
        check_training_front_end(load_config(Config, ["--front_end=fbank"]), stored, "store")
    config = load_config(Config, ["--front_end=kaldi_fbank", "--front_end.window=povey", "--inChannels=40"])
    with pytest.raises(InputError, match=r"store: made with another front end: window hamming \(expected povey\)"):
        check_training_front_end(config, stored, "store")
    keys = ("--front_end=kaldi_fbank", "--front_end.window=hamming", "--front_end.waveform_scale=32768")
    config = load_config(Config, [*keys, "--front_end.dither=1", "--inChannels=40"])
    with pytest.raises(InputError, match=r"says front_end\.dither 1, which acts on waveforms"):
        check_training_front_end(config, stored, "store")


def test_a_checkpoint_knows_its_front_end(capsys, tmp_path):
    stored = {key: value for key, value in KALDI.to_dict().items() if key != "dither"}  # an older one
    taken = take_front_end(load_config(Config, []), stored, "x.ckpt")
    assert taken.front_end.to_dict() == {"name": "kaldi_fbank", **vars(KALDI.options)}
    assert taken.on_command_line == frozenset() and not capsys.readouterr().out
    taken = take_front_end(load_config(Config, ["--front_end=kaldi_fbank", "--front_end.dither=1"]), stored, "x.ckpt")
    assert taken.front_end.to_dict() == {"name": "kaldi_fbank", **vars(KALDI.options), "dither": 1.0}
    with pytest.raises(InputError, match=r"x\.ckpt: has the front end kaldi_fbank .* says --front_end=fbank"):
        take_front_end(load_config(Config, ["--front_end=fbank"]), stored, "x.ckpt")
    path = tmp_path / "a.yaml"
    path.write_text("front_end: fbank\n")
    take_front_end(load_config(Config, [f"--config_path={path}"]), stored, "x.ckpt")
    assert (
        "not used: front_end fbank of the configuration; x.ckpt has the front end kaldi_fbank"
        in capsys.readouterr().out
    )


def test_description_of_a_store_that_makes_no_sense_is_refused(eval_config, tmp_path):
    config = eval_config()
    prepare_eval(config)
    path = f"{config.feat_eval_folder}/meta.json"
    with open(path, encoding="utf-8") as stream:
        meta = json.load(stream)
    for front_end, message in (({"type": "plp"}, "expected a front end of type fbank or"), ([], "front_end")):
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({**meta, "front_end": front_end}, stream)
        with pytest.raises(InputError, match=f"meta.json: .*{message}"):
            EvalStore.open(config.feat_eval_folder)
