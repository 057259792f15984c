import re
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile

from mindvox.corpus import espeak
from mindvox.corpus.demo import (
    MAX_VOICES,
    DemoSettings,
    choose_voices,
    main,
    make_demo_corpus,
    sentences,
    speak,
)
from mindvox.corpus.layouts import scan_tree
from mindvox.corpus.trials import read_trials
from mindvox.errors import InputError, UsageError


def files_of(folder) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_voices_differ_and_their_ids_are_those_of_voxceleb():
    voices = choose_voices(DemoSettings(num_voices=MAX_VOICES))
    assert len({voice.name for voice in voices}) == MAX_VOICES
    assert [voice.spk_id for voice in voices[:2]] == ["id10001", "id10002"]


def test_the_default_voices_are_of_different_variants():
    voices = choose_voices(DemoSettings())
    assert len(voices) >= 40
    assert len({voice.name.split("+")[1] for voice in voices}) == len(voices)


def test_no_sentence_comes_twice():
    generator = sentences(np.random.default_rng(0))
    assert len({next(generator) for _ in range(5000)}) == 5000


@pytest.mark.parametrize(
    "settings", [{"num_voices": 3}, {"num_voices": MAX_VOICES + 1}, {"utterances": 1}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match=f"{next(iter(settings))}: expected"):
        DemoSettings(**settings)


def test_without_espeak_the_requirements_file_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(InputError, match=re.escape("espeak-ng is not installed: pip install -e '.[demo]'")):
        espeak.Espeak("en-us+f3")


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not a demo corpus"):
        make_demo_corpus(tmp_path, DemoSettings())
    assert files_of(tmp_path) == {"thesis.txt": b"mine"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A small corpus that is really spoken."""
    try:
        espeak._load()
    except InputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    assert main([str(folder), "--num_voices=5", "--utterances=6"]) == 0
    return folder


def test_the_corpus_has_the_layout_of_voxceleb(corpus):
    train, skipped = scan_tree(corpus / "voxceleb12")
    test, skipped_test = scan_tree(corpus / "voxceleb1")
    assert skipped == skipped_test == []
    assert Counter(utterance.spk_id for utterance in train) == {"id10003": 6, "id10004": 6, "id10005": 6}
    assert Counter(utterance.spk_id for utterance in test) == {"id10001": 6, "id10002": 6}
    assert test[5].utt_id == "id10001/session2/00001.wav"
    trials = read_trials(corpus / "voxceleb1" / "veri_test2.txt")
    assert Counter(trial.is_target for trial in trials) == {True: 2 * 15, False: 36}
    assert {utt_id for trial in trials for utt_id in trial[1:]} == {utterance.utt_id for utterance in test}


def test_utterances_are_audible_and_of_the_right_form(corpus):
    for path in corpus.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert 3 <= info.duration <= 6
        assert 0.005 < np.std(soundfile.read(path)[0]) < 0.5


def test_a_sentence_of_another_length_is_replaced(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("mindvox.corpus.demo.DURATION_S", (4.4, 4.9))
    utt_ids = speak(tmp_path, 5, choose_voices(DemoSettings())[0])
    assert all(4.4 <= soundfile.info(tmp_path / utt_id).duration <= 4.9 for utt_id in utt_ids)
    assert len(utt_ids) == 5


def test_the_same_settings_give_the_same_bytes(corpus, tmp_path):
    assert make_demo_corpus(tmp_path / "again", DemoSettings(num_voices=5, utterances=6))
    assert files_of(tmp_path / "again") == files_of(corpus)


def test_a_corpus_that_is_there_is_kept(corpus, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert main([str(corpus), "--num_voices=5", "--utterances=6"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert "there already" in capsys.readouterr().out


def test_a_corpus_of_other_settings_is_left_alone(corpus):
    before = files_of(corpus)
    with pytest.raises(InputError, match="was made with utterances 6, not 7. Delete it"):
        make_demo_corpus(corpus, DemoSettings(num_voices=5, utterances=7))
    assert files_of(corpus) == before


def test_a_failure_leaves_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("mindvox.corpus.demo.LANGUAGES", ("no-such-language",))
    with pytest.raises(InputError, match="has no voice 'no-such-language"):
        make_demo_corpus(tmp_path / "new" / "corpus", DemoSettings(num_voices=4, utterances=2))
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unknown_variant_is_not_spoken_by_the_default_voice(corpus):
    with pytest.raises(InputError, match="has no voice 'en-us[+]nobody'"):
        espeak.Espeak("en-us+nobody")


def test_the_report_says_what_synthetic_voices_show(corpus, capsys):
    main([str(corpus), "--num_voices=5", "--utterances=6"])
    assert "synthetic" in capsys.readouterr().out
