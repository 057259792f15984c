"""`do_vad`: stores of nothing but speech. Noise with peaks above half of full scale is the stand-in's speech."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import BadAudio
from mindvox.corpus.intake import main as intake
from mindvox.corpus.quality import QualityLimits, Reading
from mindvox.corpus.table_io import read_skipped
from mindvox.data.eval_store import META_FILE
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.data.store import SKIPPED_FILE
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError, UsageError
from mindvox.files import read_json, read_text
from mindvox.speech.detector import KeepSpeech
from tests.detector import write_loud_detector
from tests.stores import read_records

RATE = 16000
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
STORE = ("--do_vad=true", "--store_kind=waveform", "--max_bad_fraction=1")


@dataclass(frozen=True)
class Loud:
    """Keep what is louder than half of full scale; `calls` counts, and the call of number `fails_at` fails."""

    identity: str = "loud"
    fails_at: int = 0
    calls: list = field(default_factory=list)

    def __call__(self, waveform):
        self.calls.append(len(waveform))
        if len(self.calls) == self.fails_at:
            raise KeyboardInterrupt
        return waveform[np.abs(waveform) > 0.5]


def with_gaps(corpus):
    """Make two thirds of each recording of a corpus soft, and all of two recordings; return the latter's names."""
    silent = []
    for place, path in enumerate(sorted(corpus.rglob("*.wav"))):
        rng = np.random.default_rng(place)
        samples = rng.choice([-1, 1], soundfile.info(path).frames) * rng.uniform(0.6, 0.9)
        is_soft = np.arange(len(samples)) % 3 > 0
        if place in (1, 6):
            is_soft[:] = True
            silent.append(path.relative_to(corpus / "wav").as_posix())
        soundfile.write(path, np.where(is_soft, 0.1 * rng.standard_normal(len(samples)).clip(-3, 3), samples), RATE)
    return silent


def test_reading_keeps_speech_alone_and_sets_the_level_of_it(tmp_path):
    soft = 0.01 * np.random.default_rng(0).standard_normal(4000)
    samples = np.concatenate([soft[:1000], np.tile([0.6, -0.6], 2000), soft[1000:]])
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    reading = Reading(target_db=-20.0, keep_speech=Loud())
    waveform = reading.read(tmp_path / "a.wav").waveform
    assert len(waveform) == 4000 and np.abs(waveform) == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(BadAudio, match=r"its speech: too short: 0\.250 s, shorter than min_duration 0\.3 s"):
        replace(reading, limits=QualityLimits(min_duration_s=0.3)).read(tmp_path / "a.wav")
    with pytest.raises(BadAudio, match=r"^no speech in its 0\.2 s$"):
        reading.read(tmp_path / "a.wav", 5000, 8000)


@pytest.mark.parametrize("chunks", ["--whole_utterance=true", "--random_chunk=false"])
def test_a_training_store_holds_speech_alone(train_config, corpus, chunks):
    silent = with_gaps(corpus)
    config = train_config(*STORE, chunks, "--sentence_len=0.25")
    prepare_train(config, Loud())
    records = list(read_records(config.feat_folder))
    assert min(np.abs(record.wave).min() for record in records) > 0.5 * 32768
    # A third of each recording of 8,000, 20,001, 48,000 and 64,000 samples, in chunks of 4,000, at least one.
    lengths = {"00000": 2667, "00001": 6667, "00002": 16000, "00003": 21334}
    numbers = {"00000": 1, "00001": 1, "00002": 4, "00003": 5}
    used = [path for path in corpus.rglob("*.wav") if path.relative_to(corpus / "wav").as_posix() not in silent]
    if chunks == "--random_chunk=false":
        assert len(records) == sum(numbers[path.stem] for path in used)
    else:
        assert sorted(len(record.wave) for record in records) == sorted(lengths[path.stem] for path in used)
    skipped = read_skipped(Path(config.feat_folder, SKIPPED_FILE))
    assert sorted(entry.utt_id for entry in skipped) == silent
    assert all(entry.reason.startswith("no speech in its ") for entry in skipped)
    assert read_manifest(config.feat_folder).settings["do_vad"] == "loud"
    for changes, function in ((("--do_vad=false",), None), ((), Loud("another"))):
        with pytest.raises(InputError, match="do_vad loud, now "):
            prepare_train(train_config(*STORE, chunks, "--sentence_len=0.25", *changes), function)


def test_an_interrupted_preparation_goes_on(train_config, corpus, tmp_path):
    with_gaps(corpus)
    options = (*STORE, "--whole_utterance=true", "--shard_utterances=5")
    with pytest.raises(KeyboardInterrupt):
        prepare_train(train_config(*options), Loud(fails_at=12))
    again = Loud()
    prepare_train(train_config(*options), again)
    assert 0 < len(again.calls) < 20  # the finished shards are kept
    prepare_train(train_config(*options, f"--feat_folder={tmp_path / 'whole'}"), Loud())
    one, other = (read_records(folder) for folder in (train_config().feat_folder, tmp_path / "whole"))
    for first, second in zip(one, other, strict=True):
        assert first.utt_id == second.utt_id and np.array_equal(first.wave, second.wave)


def test_evaluation_stores_hold_speech_alone(train_config, eval_config, corpus, eval_corpus):
    silent = with_gaps(corpus)
    prepare_train(train_config(*STORE), Loud())
    options = (*STORE, "--whole_utterance=true")
    with_gaps(eval_corpus)
    with pytest.raises(InputError, match=r"of its utterances cannot be used: .*no speech in its .*do_vad"):
        prepare_eval(eval_config(*options), Loud())
    for path in eval_corpus.rglob("*.wav"):
        soundfile.write(path, np.tile([0.6, 0.6, 0.1, -0.6, -0.6, 0.1], 4000), RATE)
    config = eval_config(*options)
    prepare_eval(config, Loud())
    for folder in (config.feat_eval_folder, config.feat_norm_folder):
        assert np.abs(np.load(Path(folder, "wave.npy"))).min() > 0.5 * 32768
        assert read_json(Path(folder, META_FILE))["settings"]["do_vad"] == "loud"
    assert sorted(entry.utt_id for entry in read_skipped(Path(config.feat_norm_folder, SKIPPED_FILE))) == silent
    assert not Path(config.feat_eval_folder, SKIPPED_FILE).exists()


def test_without_a_detector_there_is_no_vad(train_config, eval_config, tmp_path):
    for prepare, config in ((prepare_train, train_config), (prepare_eval, eval_config)):
        with pytest.raises(UsageError, match="do_vad: this caller has no speech detector"):
            prepare(config("--do_vad=true"))
    with pytest.raises(UsageError, match="--do_vad: use `mindvox intake`"):
        intake([str(tmp_path), str(tmp_path / "out"), "--do_vad"])


def test_intake_leaves_test_recordings_without_speech_out(tmp_path, capsys):
    folder, target = tmp_path / "mine", tmp_path / "out"
    for speaker in "abcdef":
        for number in range(3):
            path = folder / speaker / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            peak = 0.1 if number == 2 else 0.6
            soundfile.write(path, peak * np.random.default_rng(number).choice([-1, 1], 4000), RATE)
    assert intake([str(folder), str(target), "--test_speakers=2", "--do_vad"], Loud) == 0
    skipped = read_skipped(target / "skipped.csv")
    assert [entry.reason for entry in skipped] == ["no speech in its 0.2 s"] * 2
    assert "2.wav" not in read_text(target / "trials.txt")
    for name in ("prepare_train.yaml", "prepare_eval.yaml"):
        assert "do_vad: true" in read_text(target / name)


def test_the_detector_is_a_function_that_can_be_sent(tmp_path):
    path = write_loud_detector(tmp_path / "model.onnx")
    keep = KeepSpeech(str(path), "0" * 64)
    waveform = np.zeros(4 * RATE, np.float32)
    waveform[RATE : 2 * RATE] = 0.9
    assert RATE <= len(keep(waveform)) < 1.2 * RATE and keep(np.zeros(RATE, np.float32)).shape == (0,)


@pytest.mark.skipif(not RECORDINGS.exists(), reason="needs mini_librispeech, which is not part of the project")
def test_real_speech_between_silences_is_kept(tmp_path):
    try:
        keep = KeepSpeech.fetched()
    except InputError as error:
        pytest.skip(str(error))
    speech, _ = soundfile.read(next(iter(sorted(RECORDINGS.rglob("*.flac")))), dtype="float32")
    noise = 0.001 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.concatenate([noise, speech, noise]), RATE)
    kept = Reading(keep_speech=keep).read(tmp_path / "a.wav").waveform
    assert 0.6 * len(speech) < len(kept) < 1.02 * len(speech)
    assert np.square(kept).sum() > 0.97 * np.square(speech).sum()  # what is loud is speech
    soundfile.write(tmp_path / "noise.wav", np.tile(noise, 2), RATE)
    with pytest.raises(BadAudio, match="no speech"):
        Reading(keep_speech=keep).read(tmp_path / "noise.wav")
