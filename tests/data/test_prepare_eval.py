"""From a trial list to its store and the cohort's, with what users get wrong."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.corpus.tables import make_train_tables
from mindvox.data.eval_store import EvalStore
from mindvox.data.prepare_eval import prepare_eval
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank


def test_every_utterance_of_the_trial_list_is_stored_whole_and_once(eval_corpus, eval_config):
    config = eval_config()
    prepare_eval(config)
    store = EvalStore.open(config.feat_eval_folder)
    names = [f"id{speaker:05d}/session/{number:05d}.wav" for speaker in (10, 11) for number in range(3)]
    assert store.utt_ids == names
    assert store.spk_ids == [name[:7] for name in names]
    for row, name in enumerate(names):
        waveform = read_audio(eval_corpus / "wav" / name).waveform
        np.testing.assert_array_equal(store.feats(row), Fbank()(waveform))


def test_trial_list_lies_beside_the_features(eval_corpus, eval_config):
    config = eval_config()
    prepare_eval(config)
    copied = (Path(config.feat_eval_folder) / "veri_test2.txt").read_text()
    assert copied == (eval_corpus / "veri_test2.txt").read_text()


def test_cohort_comes_from_the_training_table_in_chunks(train_config, eval_config, corpus):
    make_train_tables(train_config())
    config = eval_config("--random_chunk=false")
    prepare_eval(config)
    cohort = EvalStore.open(config.feat_norm_folder)
    assert len(cohort) == 20
    assert set(cohort.num_frames) == {101}
    short = cohort.utt_ids.index("id00002/session/00000.wav")
    waveform = read_audio(corpus / "wav" / cohort.utt_ids[short]).waveform
    np.testing.assert_array_equal(cohort.feats(short), Fbank()(np.concatenate([waveform, waveform])))


def test_cohort_is_limited_and_can_be_whole(train_config, eval_config):
    make_train_tables(train_config())
    config = eval_config("--n_train_snts=7", "--whole_utterance=true")
    prepare_eval(config)
    cohort = EvalStore.open(config.feat_norm_folder)
    assert len(cohort) == 7
    assert set(cohort.num_frames) <= {51, 126, 301, 401}


def test_without_a_training_table_the_cohort_is_of_speakers_in_no_trial(eval_corpus, eval_config):
    session = eval_corpus / "wav" / "id00099" / "session"
    session.mkdir(parents=True)
    soundfile.write(session / "00000.wav", 0.1 * np.random.default_rng(0).standard_normal(20000), 16000)
    config = eval_config()
    prepare_eval(config)
    assert EvalStore.open(config.feat_norm_folder).spk_ids == ["id00099"]


def test_without_any_cohort_there_is_no_store_of_it(eval_config, capsys):
    config = eval_config()
    prepare_eval(config)
    assert not Path(config.feat_norm_folder).exists()
    assert "no cohort" in capsys.readouterr().out


def test_second_run_keeps_both_stores_and_says_so(train_config, eval_config, capsys):
    make_train_tables(train_config())
    prepare_eval(eval_config())
    capsys.readouterr()
    prepare_eval(eval_config())
    output = capsys.readouterr().out
    assert "feat_eval: already prepared, 6 utterances" in output
    assert "feat_norm: already prepared, 20 utterances" in output


def test_another_trial_list_needs_another_folder(eval_corpus, eval_config):
    prepare_eval(eval_config())
    lines = (eval_corpus / "veri_test2.txt").read_text().splitlines()
    (eval_corpus / "other.txt").write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(InputError, match=r"trial_list veri_test2\.txt, now other\.txt.*feat_eval_folder"):
        prepare_eval(eval_config("--verification_file=other.txt"))


def test_cohort_of_other_settings_is_an_error(train_config, eval_config):
    make_train_tables(train_config())
    prepare_eval(eval_config())
    with pytest.raises(InputError, match="seed 1234, now 1.*feat_norm_folder"):
        prepare_eval(eval_config("--seed=1"))


def test_damaged_store_is_not_taken_for_prepared(eval_config):
    config = eval_config()
    prepare_eval(config)
    os.truncate(Path(config.feat_eval_folder) / "feats.npy", 1000)
    with pytest.raises(InputError, match=r"feats\.npy: damaged"):
        prepare_eval(config)


def test_unreadable_utterances_of_the_trial_list_are_all_named(eval_corpus, eval_config):
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    for number in range(2):  # a cut flac is noticed only when its samples are read
        path = eval_corpus / "wav" / "id00010" / "session" / f"{number:05d}.wav"
        soundfile.write(path, noise, 16000, format="FLAC")
        os.truncate(path, path.stat().st_size // 2)
    config = eval_config()
    with pytest.raises(InputError, match="2 of its utterances cannot be used") as caught:
        prepare_eval(config)
    for number in range(2):
        assert f"id00010/session/{number:05d}.wav (truncated" in str(caught.value)
    assert not (Path(config.feat_eval_folder) / "meta.json").exists()


def test_utterances_of_the_trial_list_must_be_there(eval_corpus, eval_config):
    (eval_corpus / "wav" / "id00010" / "session" / "00001.wav").unlink()
    with pytest.raises(InputError, match=r"id00010/session/00001\.wav"):
        prepare_eval(eval_config())


def test_bad_recordings_of_the_cohort_are_counted_up_to_the_limit(train_config, eval_config, corpus):
    make_train_tables(train_config())
    path = corpus / "wav" / "id00001" / "session" / "00003.wav"
    os.truncate(path, path.stat().st_size // 2)
    config = eval_config("--max_bad_fraction=0.06")
    prepare_eval(config)
    assert len(EvalStore.open(config.feat_norm_folder)) == 19
    path = corpus / "wav" / "id00001" / "session" / "00002.wav"
    os.truncate(path, path.stat().st_size // 2)
    (Path(config.feat_norm_folder) / "meta.json").unlink()
    with pytest.raises(InputError, match="max_bad_fraction"):
        prepare_eval(config)


def test_the_two_stores_need_two_folders(eval_config, tmp_path):
    with pytest.raises(UsageError, match="give two folders"):
        prepare_eval(eval_config(f"--feat_norm_folder={tmp_path}/feat_eval/"))


@pytest.mark.parametrize("least", [1, 40000])  # samples of a job: every recording is too long for one; only some are
def test_long_recordings_are_computed_apart_and_stay_in_order(eval_corpus, eval_config, monkeypatch, least):
    monkeypatch.setattr("mindvox.data.prepare_eval.SAMPLES_OF_A_JOB", least)
    config = eval_config("--num_processes=2")
    prepare_eval(config)
    store = EvalStore.open(config.feat_eval_folder)
    assert store.utt_ids == sorted(store.utt_ids)
    for row, name in enumerate(store.utt_ids):
        np.testing.assert_array_equal(store.feats(row), Fbank()(read_audio(eval_corpus / "wav" / name).waveform))


def test_a_recording_that_does_not_fit_the_memory_is_named(eval_corpus, eval_config, monkeypatch):
    def run_out(*_):
        raise MemoryError

    monkeypatch.setattr("mindvox.corpus.quality.read_audio", run_out)
    with pytest.raises(InputError, match=r"id00010/session/00000.wav: its \d+ s need more memory .* num_processes"):
        prepare_eval(eval_config("--num_processes=1"))
