"""One judge for training data, cohort and trial list; and the level that recordings are brought to.

Second variants: silence with dither and an offset, clipped and constant recordings beside short ones; a limit that is
changed by its key; a recording with high peaks, whose gain is limited; a store of samples beside one of features.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.corpus.audio import BadAudio, Skipped
from mindvox.corpus.quality import FULL_SCALE, QualityLimits, Reading, set_level
from mindvox.data.eval_store import META_FILE
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError, UsageError
from mindvox.files import read_json
from mindvox.frontend.fbank import Fbank
from mindvox.models.ecapa_tdnn import EcapaTdnn
from tests.stores import read_records
from tests.verdicts import CASES

BAD = ("too_short.wav", "dither.wav", "dither_and_offset.wav", "clipped.wav", "direct_current.wav", "nan.wav")


def add(folder: Path, speaker: str, *names: str) -> None:
    for name in names:
        CASES[name].make(folder / "wav" / speaker / "session" / name)


def reasons_of(skipped) -> dict[str, str]:
    return {entry.utt_id.rpartition("/")[2]: entry.reason for entry in skipped}


def test_cohort_skips_what_training_skips(train_config, eval_config, corpus):
    add(corpus, "id00001", *BAD)
    train = train_config("--max_bad_fraction=1")
    prepare_train(train)
    evaluation = eval_config("--max_bad_fraction=1")
    prepare_eval(evaluation)
    of_training = reasons_of(read_manifest(train.feat_folder).skipped)
    skipped = read_json(Path(evaluation.feat_norm_folder, META_FILE))["skipped"]
    of_cohort = reasons_of(Skipped(**entry) for entry in skipped)
    assert of_cohort == of_training
    assert all(of_cohort[name].startswith(CASES[name].verdict) for name in BAD)


def test_too_many_unusable_recordings_of_the_cohort_are_an_error(train_config, eval_config, corpus):
    add(corpus, "id00001", *BAD)
    prepare_train(train_config("--max_bad_fraction=1"))
    with pytest.raises(InputError, match="max_bad_fraction"):
        prepare_eval(eval_config("--max_bad_fraction=0.05"))


@pytest.mark.parametrize("name", BAD)
def test_a_trial_list_stops_with_the_reason_and_a_way_out(train_config, eval_config, eval_corpus, name):
    prepare_train(train_config())
    add(eval_corpus, "id00010", name)
    trials = eval_corpus / "veri_test2.txt"
    whole = trials.read_text()
    trials.write_text(whole + f"1 id00010/session/{name} id00010/session/00001.wav\n")
    advice = "Repair them, delete the lines that name them, or change the limits min_duration and max_clipped_fraction"
    with pytest.raises(InputError) as caught:
        prepare_eval(eval_config())
    assert f"1 of its utterances cannot be used: id00010/session/{name} ({CASES[name].verdict}" in str(caught.value)
    assert advice in str(caught.value)
    if name in ("too_short.wav", "clipped.wav"):
        prepare_eval(eval_config("--min_duration=0.09", "--max_clipped_fraction=1"))
    else:
        trials.write_text(whole)
        prepare_eval(eval_config())


@pytest.mark.parametrize("cls", [TrainPrepConfig, EvalPrepConfig])
def test_shortest_allowed_recording_has_the_frames_that_a_model_needs(cls):
    shortest = load_config(cls, ["/dev/null", "--min_duration=0.08"]).min_duration
    assert Fbank().num_frames(round(16000 * shortest)) == EcapaTdnn.min_frames
    with pytest.raises(UsageError, match="min_duration"):
        load_config(cls, ["/dev/null", "--min_duration=0.079"])


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(1599), "too short"),
        (np.zeros(1600), "constant signal"),
        (np.full(1600, 0.5), "constant signal"),
        (np.tile([0.5, 0.50009], 800), "silent"),
        (np.tile([0.5, -0.5], 800), ""),
        (np.tile([1.0, -1.0, 0.1, 0.2, 0.3], 320), "clipped: 40.0%"),
        (np.tile([1.0, 0.4, 0.1, 0.2, 0.3], 320), ""),
    ],
)
def test_limits(samples, reason):
    if not reason:
        QualityLimits().check(samples.astype(np.float32))
        return
    with pytest.raises(BadAudio) as caught:
        QualityLimits().check(samples.astype(np.float32))
    assert caught.value.reason.startswith(reason)


def test_level_is_the_root_mean_square_below_full_scale():
    sine = 0.01 * np.sin(np.arange(16000)).astype(np.float32)
    for target_db in (-20.0, -35.0):
        level = set_level(sine, target_db)
        assert level.dtype == np.float32
        assert 10 * np.log10(np.mean(np.square(level))) == pytest.approx(target_db, abs=1e-4)
        np.testing.assert_allclose(level / level.max(), sine / sine.max(), rtol=1e-5)


def test_gain_ends_where_a_peak_reaches_full_scale():
    click = 1e-3 * np.sin(np.arange(16000)).astype(np.float32)
    click[100] = 0.5
    level = set_level(click, -20.0)
    assert np.abs(level).max() == pytest.approx(FULL_SCALE)
    np.testing.assert_allclose(level, 2 * FULL_SCALE * click, rtol=1e-6)


def test_more_gain_than_mvectors_limit_is_refused():
    with pytest.raises(BadAudio, match="too soft"):
        set_level(np.full(100, 1e-20, np.float32), -20.0)


@pytest.mark.parametrize("kind", ["fbank", "waveform"])
def test_level_is_part_of_the_training_store(train_config, kind):
    options = [f"--store_kind={kind}", "--whole_utterance=true"]
    config = train_config(*options, "--use_dB_normalization=true", "--target_dB=-30")
    prepare_train(config)
    assert read_manifest(config.feat_folder).settings["target_dB"] == -30
    if kind == "waveform":
        for record in read_records(config.feat_folder):
            rms = np.sqrt(np.mean(np.square(record.wave / 32768)))
            assert 20 * np.log10(rms) == pytest.approx(-30, abs=0.01)
    with pytest.raises(InputError, match="target_dB"):
        prepare_train(train_config(*options))


def test_level_is_part_of_the_evaluation_stores(train_config, eval_config):
    prepare_train(train_config())
    config = eval_config("--use_dB_normalization=true")
    prepare_eval(config)
    for folder in (config.feat_eval_folder, config.feat_norm_folder):
        assert read_json(Path(folder, META_FILE))["settings"]["target_dB"] == -20
    with pytest.raises(InputError, match="target_dB"):
        prepare_eval(eval_config())


def test_reading_without_a_level_leaves_samples_alone(tmp_path):
    CASES["good_float.wav"].make(tmp_path / "a.wav")
    expected = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    np.testing.assert_array_equal(Reading().read(tmp_path / "a.wav").waveform, expected)
