"""Decisions with quality and with a calibration of pairs; the toy detector takes loud noise for speech."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindvox.cli.verify import main
from mindvox.decisions import cosine, decide, examine, rule_of, verify
from mindvox.embedder import UnreadRecording
from mindvox.errors import InputError, UsageError
from mindvox.pair_calibration import INPUTS, PairCalibration, fingerprint_of, pair_inputs
from mindvox.rules import ACCEPT, INCONCLUSIVE, LLR, REJECT, Thresholds
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speech import microphone
from mindvox.speech.detector import SpeechDetector
from mindvox.speech.microphone import Microphone
from mindvox.speech.quality import Limits, Quality
from tests.detector import write_loud_detector
from tests.embedder.conftest import CARD, PUBLIC, noise

GOOD = Quality(5.0, 4.0, -25.0, 0.0, 20.0, 8000.0)
RATE = 16000


def loud(duration_s, seed):
    """Return speech for the toy detector: loud noise, with soft gaps of 60 ms as between words."""
    samples = noise(round(duration_s * RATE), seed)
    is_gap = np.arange(len(samples)) % (RATE // 2) > 0.44 * RATE
    return np.where(is_gap, 0.1 * samples, 0.8 * np.sign(samples) + 0.1 * samples)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return SpeechDetector.open(write_loud_detector(tmp_path_factory.mktemp("loud") / "model.onnx"))


@pytest.fixture
def embedder(embedders):
    return embedders["features"]


@pytest.fixture
def calibration(embedder):
    llr = LinearLlr(INPUTS, (20.0, 1.0, 0.1), -12.0)
    return PairCalibration("toys", fingerprint_of(embedder), llr, 0.4, "a reason", {"cannot_show": ["much"]})


# The rule


def test_thresholds_follow_from_the_rates(calibration):
    thresholds = calibration.thresholds
    assert (thresholds.accept, thresholds.reject) == pytest.approx((math.log(100), -math.log(100)))
    assert (thresholds.of, thresholds.least_cosine, thresholds.why) == (LLR, 0.4, "a reason")
    assert "toys" in thresholds.source
    stricter = calibration.with_rates(false_accepts=0.001)
    assert stricter.thresholds.accept == pytest.approx(math.log(1000))
    assert stricter.thresholds.reject == thresholds.reject
    for rate in (0, 0.6, math.nan):
        with pytest.raises(ValueError, match="expected a rate from 1e-06 to 0.5"):
            calibration.with_rates(false_rejects=rate)


def test_a_speakers_ratio_is_the_mean_of_those_with_each_enrolled_recording(calibration):
    short = replace(GOOD, net_speech_s=2.0)
    pairs = [calibration.judge(0.5, (GOOD, GOOD)), calibration.judge(0.7, (GOOD, short))]
    found = calibration.judge_speaker([0.5, 0.7], GOOD, [GOOD, short])
    assert found.llr == pytest.approx((pairs[0].llr + pairs[1].llr) / 2) and found.llr != pytest.approx(pairs[0].llr)
    assert calibration.judge_speaker([0.5], GOOD, [GOOD]) == pairs[0]
    # Both ratios are far above the threshold; the least cosine, 0.4, is held against the mean.
    sure = replace(calibration, llr=LinearLlr(INPUTS[:1], (20.0,), 0.0))
    assert sure.judge_speaker([0.2, 0.59], GOOD, [GOOD, GOOD]).answer == INCONCLUSIVE
    assert sure.judge_speaker([0.2, 0.61], GOOD, [GOOD, GOOD]).answer == ACCEPT


def test_one_enrolled_recording_of_another_band_is_enough_for_no_answer(calibration):
    narrow = replace(GOOD, bandwidth_hz=4000.0)
    found = calibration.judge_speaker([0.9, 0.9], GOOD, [GOOD, narrow])
    assert (found.answer, found.llr) == (INCONCLUSIVE, None) and found.reason.startswith("narrow-band speech, and")
    assert calibration.why_silent([GOOD, None]) == "" and calibration.why_silent([None, narrow]) == found.reason
    assert Thresholds(0.5, 0.5, "given").why_silent([narrow]) == ""


def test_inputs_are_of_the_shorter_and_of_the_noisier_side():
    short, noisy = replace(GOOD, net_speech_s=2.0), replace(GOOD, snr_db=7.0)
    np.testing.assert_allclose(pair_inputs(0.5, short, noisy), [0.5, 1.0, 7.0])
    long, unknown = replace(GOOD, net_speech_s=100.0), replace(GOOD, net_speech_s=64.0, snr_db=None)
    np.testing.assert_allclose(pair_inputs(0.5, long, unknown), [0.5, 3.0, 20.0])  # eight seconds are enough
    np.testing.assert_allclose(pair_inputs(0.5, long, unknown, ("cosine", "snr")), [0.5, 20.0])


@pytest.mark.parametrize(
    ("score", "llr", "answer"),
    [(0.7, 6.0, ACCEPT), (0.62, 4.4, INCONCLUSIVE), (0.4, 0.0, INCONCLUSIVE), (0.1, -6.0, REJECT)],
)
def test_a_calibration_judges_by_its_ratio(calibration, score, llr, answer):
    verdict = calibration.judge(score, (GOOD, GOOD))  # 20 * score + 2 + 2 - 12
    assert verdict.answer == answer and verdict.llr == pytest.approx(llr)
    assert (verdict.reason == "") == (answer != INCONCLUSIVE)


def test_a_score_below_the_least_cosine_is_never_the_same_person(calibration):
    bold = replace(calibration, llr=LinearLlr(INPUTS, (20.0, 1.0, 0.1), 0.0))
    assert bold.judge(0.41, (GOOD, GOOD)).answer == ACCEPT
    verdict = bold.judge(0.39, (GOOD, GOOD))
    assert verdict.answer == INCONCLUSIVE and verdict.llr > bold.thresholds.accept
    assert verdict.reason == "the score is below 0.4, where strangers are found, too"


def test_a_calibration_says_nothing_about_bands_that_it_was_not_fitted_on(calibration):
    telephone = replace(GOOD, bandwidth_hz=4250.0)
    for qualities in ((telephone, GOOD), (GOOD, telephone), (telephone, telephone)):
        for score in (0.9, -0.5):
            verdict = calibration.judge(score, qualities)
            assert (verdict.answer, verdict.llr) == (INCONCLUSIVE, None)
    assert verdict.reason.startswith("narrow-band speech, and the calibration toys was fitted on none")
    of_telephones = replace(calibration, bands=("narrow-band",))
    assert of_telephones.judge(0.9, (telephone, telephone)).answer == ACCEPT
    assert of_telephones.judge(0.9, (telephone, GOOD)).answer == INCONCLUSIVE
    with pytest.raises(ValueError, match="expected bands of narrow-band, wide-band, got dull"):
        replace(calibration, bands=("dull",))


def test_a_calibration_needs_quality(calibration):
    with pytest.raises(ValueError, match="pass a speech detector"):
        calibration.judge(0.7, (GOOD, None))


# The file


def test_a_calibration_survives_its_file_and_is_bound_to_its_model(calibration, embedder, embedders, tmp_path):
    path = tmp_path / "calibration.json"
    calibration.save(path)
    assert PairCalibration.open(path, embedder) == calibration
    with pytest.raises(InputError, match=r"was fitted on scores of another model \(toys\)"):
        PairCalibration.open(path, embedders["kaldi"])


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"weights": [{"input": "snr", "weight": 1.0}]},
        {"weights": [{"input": "cosine", "weight": -1.0}]},
        {"weights": [{"input": "cosine", "weight": 1.0}, {"input": "age", "weight": 1.0}]},
        {"offset": math.nan},
        {"false_accepts": 0.9},
        {"card": 3},
        {"bands": []},
    ],
)
def test_a_damaged_calibration_is_refused(calibration, embedder, tmp_path, change):
    path = tmp_path / "calibration.json"
    calibration.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"calibration\.json: expected a calibration of recordings, version 1, got"):
        PairCalibration.open(path, embedder)


def test_the_shipped_calibration_is_taken_for_the_weights_that_it_was_fitted_on(models, embedders, tmp_path):
    shipped = json.loads((PairCalibration.shipped_path(PUBLIC)).read_text())
    folder = tmp_path / "model"
    folder.mkdir()
    for path in models["features"].parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    moved = replace_file(embedders["features"], folder / "model.onnx")
    assert isinstance(rule_of(moved), Thresholds)  # of weights that it does not know
    (folder / "card.json").write_text(json.dumps({**CARD, "sha256": shipped["fingerprint"]}))
    found = rule_of(moved)
    assert isinstance(found, PairCalibration) and found.name == PUBLIC and found.card["cannot_show"]
    assert isinstance(rule_of(moved, has_quality=False), Thresholds)


def replace_file(embedder, path):
    return type(embedder)(path, embedder.engine)


# Recordings


def test_examined_recordings_have_the_embedding_of_the_recording(embedder, detector):
    samples = loud(2.0, 1)
    one = examine(embedder, samples, detector)
    np.testing.assert_array_equal(one.embedding, embedder.embed(samples))
    assert one.problem is None and one.quality.net_speech_s == pytest.approx(2, abs=0.05) and one.name == "the array"
    assert examine(embedder, samples, detector, name="Anna").name == "Anna"


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros(RATE * 2), "no_speech"),
        (noise(RATE * 2, 1), "no_speech"),
        (np.concatenate([np.zeros(RATE * 2), loud(0.5, 1)]), "too_short"),
        (np.clip(noise(RATE * 2, 1), -0.05, 0.05) * 20, "too_noisy"),
        (np.full(RATE, np.nan), "unusable"),
        (np.stack([loud(2, 1), -loud(2, 1)], axis=1), "unusable"),
    ],
)
def test_what_is_not_good_enough_is_not_embedded(embedder, detector, samples, code):
    one = examine(embedder, samples, detector)
    assert one.problem.code == code and one.embedding is None


def test_several_voices_are_suspected(embedder, detector):
    one = examine(embedder, loud(7, 1), detector, Limits(min_voice_agreement=1.0))
    assert one.problem.code == "several_speakers"
    assert examine(embedder, loud(7, 1), detector).quality.voice_agreement > 0.9


def test_a_problem_gives_no_score(embedder, detector, calibration):
    fine, silent = loud(2, 1), np.zeros(RATE)
    for pair in ((fine, silent), (silent, fine)):
        decision = verify(embedder, *pair, calibration, detector)
        assert (decision.answer, decision.score, decision.llr) == (INCONCLUSIVE, None, None)
        assert decision.reason == "the array: no speech was found in its 1.0 s"


def test_the_ratio_is_of_the_score_and_both_qualities(embedder, detector, calibration):
    first, second = loud(2, 1), loud(3, 2)
    decision = verify(embedder, first, second, calibration, detector)
    one, other = decision.recordings
    assert decision.score == cosine(embedder.embed(first), embedder.embed(second))
    assert decision.llr == pytest.approx(calibration.judge(decision.score, (one.quality, other.quality)).llr)
    assert decide(calibration, one, other) == decision


def test_another_rate_is_measured_at_16_khz(embedder, detector):
    one = examine(embedder, np.repeat(loud(2, 1), 3), detector, sample_rate=48000)
    assert one.quality.duration_s == pytest.approx(2.0)


def test_a_missing_decoder_says_nothing_about_the_recording(embedder, detector, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x18ftypM4A ")
    with pytest.raises(UnreadRecording):
        examine(embedder, path, detector)


# The command


@pytest.fixture
def home(models, tmp_path, monkeypatch):
    """The cache with a toy as the public model, and the toy detector as Silero's."""
    folder = tmp_path / "home" / "models"
    (folder / "silero_vad").mkdir(parents=True)
    write_loud_detector(folder / "silero_vad" / "model.onnx")
    (folder / PUBLIC).symlink_to(models["features"].parent)
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    soundfile.write(tmp_path / "a.wav", loud(2, 1), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    return tmp_path


def test_verify_prints_ratio_thresholds_and_quality(home, calibration, capsys):
    calibration.save(home / "calibration.json")
    files = [str(home / "a.wav"), str(home / "a.wav")]
    assert main([*files, f"--calibration={home / 'calibration.json'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    llr = 20 + 1 + 0.1 * 30 - 12  # two seconds, without noise between words
    assert lines[0].startswith("same person, score 1.0000, log-likelihood ratio ")
    assert float(lines[0].split()[-1]) == pytest.approx(llr, abs=4)
    assert lines[1:4] == [
        "thresholds of the calibration toys:",
        "  same person from log-likelihood ratio 4.61 and score 0.4",
        "  different people below log-likelihood ratio -4.61",
    ]
    assert lines[4].startswith(f"{files[0]}: 2.0 s, 2.0 s of speech, level -2 dB,")


def test_verify_answers_in_json_with_quality_and_problem(home, capsys):
    assert main([str(home / "a.wav"), str(home / "silent.wav"), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["answer"], found["score"], found["llr"]) == ("inconclusive", None, None)
    fine, silent = found["recordings"]
    assert silent["problem"]["code"] == "no_speech" and silent["quality"]["net_speech_s"] == 0
    assert fine["problem"] is None and fine["quality"]["net_speech_s"] == pytest.approx(2, abs=0.05)


def test_limits_can_be_set(home, capsys):
    files = [str(home / "a.wav"), str(home / "a.wav")]
    assert main([*files, "--min_net_speech_s=5"]) == 4
    assert "2.0 s of speech, at least 5 s are needed" in capsys.readouterr().out


def test_without_the_detector_the_command_says_what_to_fetch(home):
    (home / "home" / "models" / "silero_vad" / "model.onnx").unlink()
    with pytest.raises(InputError, match="mindvox fetch silero_vad"):
        main([str(home / "a.wav"), str(home / "a.wav")])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold=0.5", "--false_accepts=0.1"], "--threshold: a cosine cannot be combined with --calibration"),
        (["--no_quality", "--calibration=x"], "--no_quality: a calibration needs"),
        (["--false_accepts=0.1"], "has no calibration, which --false_accepts"),
        (["--max_clipped_share=2"], "share from 0 to 1"),
        (["--record=3"], "expected two recordings, or one and --record SECONDS"),
    ],
)
def test_options_that_do_not_go_together(home, options, said):
    with pytest.raises(UsageError, match=said):
        main([str(home / "a.wav"), str(home / "a.wav"), *options])


def test_rates_can_be_asked_for(home, calibration, capsys):
    calibration.save(home / "calibration.json")
    files = [str(home / "a.wav"), str(home / "a.wav"), f"--calibration={home / 'calibration.json'}"]
    assert main([*files, "--false_accepts=1e-6"]) in (0, 4)
    assert "same person from log-likelihood ratio 13.8 and" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--false_accepts, --false_rejects: expected a rate"):
        main([*files, "--false_accepts=0.9"])


# The microphone


def test_a_recording_can_come_from_the_microphone(home, monkeypatch, capsys):
    monkeypatch.setattr(Microphone, "record", lambda self: loud(self.duration_s, 1).astype(np.float32))
    assert main([str(home / "a.wav"), "--record=2", "--threshold=0.9"]) == 0
    assert "the microphone: 2.0 s" in capsys.readouterr().out


def test_nobody_is_asked_to_speak_if_the_file_cannot_be_used(home, monkeypatch, capsys):
    monkeypatch.setattr(Microphone, "record", lambda self: pytest.fail("recorded"))
    soundfile.write(home / "silent.wav", np.zeros(32000), 16000)
    assert main([str(home / "silent.wav"), "--record=2", "--threshold=0.9", "--json"]) == 4
    file, spoken = json.loads(capsys.readouterr().out)["recordings"]
    assert file["problem"]["code"] != "not_recorded"
    assert spoken == {
        "name": "the microphone",
        "problem": {"code": "not_recorded", "text": "was not recorded"},
        "quality": None,
    }


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "nan"])
def test_lengths_that_cannot_be_recorded(home, seconds):
    with pytest.raises(UsageError, match="--record: expected more than 0 and at most 600 s"):
        main([str(home / "a.wav"), f"--record={seconds}"])


def test_a_length_that_is_no_number(home):
    with pytest.raises(UsageError, match="--record: expected seconds, got 'three'"):
        main([str(home / "a.wav"), "--record=three"])


def test_without_sounddevice_the_command_says_what_to_install(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match=r"needs the package sounddevice: pip install -e '\.\[microphone\]'"):
        main([str(home / "a.wav"), "--record=2"])
    assert microphone.INSTALL.endswith("apt-get install libportaudio2")
