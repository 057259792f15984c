"""mvector's and wespeaker's classes."""

import io

import numpy as np
import pytest
import soundfile

from mindvox.compat import infer_recognition, mvector, wespeaker
from mindvox.compat.infer_contrast import main as infer_contrast
from mindvox.compat.mvector import MVectorPredictor
from mindvox.embedder import UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.speech.microphone import Microphone
from tests.speakers.toys import RATE, LoudIsSpeech, toy_embedder, voice


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    """Use a toy model and a toy detector, with recordings `<speaker>-<number>.wav`."""
    embedder = toy_embedder(tmp_path)
    for module in (mvector, wespeaker):
        monkeypatch.setattr(module.Embedder, "open", lambda model: embedder)
    monkeypatch.setattr(wespeaker.SpeechDetector, "open", LoudIsSpeech)
    for speaker in (1, 2, 3):
        for number in (0, 1):
            soundfile.write(tmp_path / f"{speaker}-{number}.wav", voice(speaker, number), RATE)
    soundfile.write(tmp_path / "soft.wav", voice(1, level=0.001), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_mvector_registers_recognises_and_removes(toys):
    predictor = MVectorPredictor(audio_db_path="audio_db")
    assert predictor.recognition("1-0.wav") == [None, None]
    assert predictor.register("1-0.wav", "Anna") == (True, "registered")
    predictor.register("2-0.wav", "Bert")
    predictor.register(soundfile.read("1-1.wav")[0], "Anna", RATE)
    assert sorted(path.name for path in (toys / "audio_db" / "Anna").iterdir()) == ["0.wav", "1.wav"]
    name, score = predictor.recognition("1-1.wav")
    assert name == "Anna" and score > 0.9 and score == round(score, 5)
    assert predictor.recognition("3-0.wav") == [None, None]
    assert predictor.recognition("3-0.wav", threshold=-1)[0] is not None and predictor.threshold == -1
    assert predictor.get_users() == ["Anna", "Anna", "Bert"]
    assert predictor.remove_user("Anna") is True and predictor.remove_user("Anna") is False
    assert not (toys / "audio_db" / "Anna").exists() and predictor.get_users() == ["Bert"]


def test_mvectors_folder_is_read_once(toys, monkeypatch):
    for name, file in (("Anna", "1-0.wav"), ("Bert", "2-0.wav")):
        (toys / "audio_db" / name).mkdir(parents=True)
        (toys / "audio_db" / name / "a.wav").write_bytes((toys / file).read_bytes())
    (toys / "audio_db" / "audio_indexes.bin").write_bytes(b"a pickle")
    assert MVectorPredictor(audio_db_path="audio_db").recognition("2-1.wav")[0] == "Bert"
    predictor = MVectorPredictor(audio_db_path="audio_db")
    assert predictor.get_users() == ["Anna", "Bert"]
    (toys / "audio_db" / "Bert" / "b.wav").write_bytes((toys / "2-1.wav").read_bytes())
    assert MVectorPredictor(audio_db_path="audio_db").get_users() == ["Anna", "Bert", "Bert"]
    (toys / "audio_db" / "Bert" / "c.wav").write_text("no recording")
    with pytest.raises(UnusableRecording, match=r"c\.wav"):
        MVectorPredictor(audio_db_path="audio_db")


def test_mvector_takes_every_form_of_a_recording(toys):
    predictor = MVectorPredictor(threshold=0.7)
    expected = predictor.predict("1-0.wav")
    data = (toys / "1-0.wav").read_bytes()
    assert np.array_equal(predictor.predict(data), expected)
    assert np.array_equal(predictor.predict(io.BytesIO(data)), expected)
    assert np.array_equal(predictor.predict(soundfile.read("1-0.wav", dtype="float32")[0], RATE), expected)
    both = predictor.predict_batch(["1-0.wav", "2-0.wav"])
    assert both.shape[0] == 2 and np.array_equal(both[0], expected)
    assert predictor.contrast("1-0.wav", "1-0.wav") == pytest.approx(1)
    assert predictor.contrast("1-0.wav", "2-0.wav") < 0.5
    with pytest.raises(UnusableRecording, match="not a readable"):
        predictor.predict(b"no recording")


def test_mvector_without_a_folder_registers_nobody(toys):
    with pytest.raises(InputError, match="audio_db_path"):
        MVectorPredictor().register("1-0.wav", "Anna")
    with pytest.raises(InputError, match="use_gpu"):
        MVectorPredictor(use_gpu=True)
    for name in ("../Anna", "a/b", ".."):
        with pytest.raises(InputError, match="a valid name of a folder"):
            MVectorPredictor(audio_db_path="audio_db").register("1-0.wav", name)


def test_wespeaker_registers_and_recognises(toys, capsys):
    model = wespeaker.load_model("chinese")
    assert model.recognize("1-0.wav") == {"name": "", "confidence": 0.0}
    model.register("Anna", "1-0.wav")
    model.register("Bert", "2-0.wav")
    found = model.recognize("2-1.wav")
    assert found["name"] == "Bert" and found["confidence"] > 0.95
    model.register("Anna", "2-0.wav")
    assert capsys.readouterr().out == "Speaker Anna already registered, ignore\n"
    assert model.recognize("1-1.wav")["name"] == "Anna"


def test_wespeakers_likeness_goes_from_0_to_1():
    model = wespeaker.load_model("chinese")
    assert model.cosine_similarity(np.array([1.0, 0.0]), np.array([-2.0, 0.0])) == pytest.approx(0)
    assert model.cosine_similarity(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == pytest.approx(0.5)
    assert model.compute_similarity("1-0.wav", "1-0.wav") == pytest.approx(1)


def test_wespeaker_embeds_speech_alone_when_asked(toys):
    model = wespeaker.load_model_local(toys)
    everything = model.extract_embedding("1-0.wav")
    assert model.extract_embedding("soft.wav") is not None
    model.set_vad(True)
    samples = np.concatenate([np.zeros(RATE, np.float32), soundfile.read("1-0.wav", dtype="float32")[0]])
    assert model.extract_embedding_from_pcm(samples[None], RATE) == pytest.approx(everything, abs=0.1)
    assert model.extract_embedding("soft.wav") is None and model.compute_similarity("soft.wav", "1-0.wav") == 0
    with pytest.raises(UnusableRecording, match="no speech"):
        model.register("Anna", "soft.wav")
    (toys / "wav.scp").write_text("a 1-0.wav\nb soft.wav\n")
    names, embeddings = model.extract_embedding_list("wav.scp")
    assert names == ["a", "b"] and embeddings[0] is not None and embeddings[1] is None
    (toys / "wav.scp").write_text("a\n")
    with pytest.raises(InputError, match=r"wav\.scp:1"):
        model.extract_embedding_list("wav.scp")


def test_wespeaker_refuses_what_it_cannot_do(toys):
    model = wespeaker.Speaker(toys)
    model.set_resample_rate(RATE)
    model.set_gpu(-1)
    model.set_device("cpu")
    model.set_wavform_norm(True)
    for call in (lambda: model.set_resample_rate(8000), lambda: model.set_gpu(0), lambda: model.set_device("cuda:0")):
        with pytest.raises(InputError, match="expected"):
            call()
    with pytest.raises(InputError, match="no such folder"):
        wespeaker.load_model_local("missing")


def test_mvectors_comparison_prints_its_line(toys, capsys):
    assert infer_contrast(["--audio_path1=1-0.wav", "--audio_path2=2-0.wav"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("1-0.wav 和 2-0.wav 不是同一个人，相似度为：") and abs(float(line.split("：")[1])) < 0.5
    infer_contrast(["--audio_path1=1-0.wav", "--audio_path2=1-1.wav", "--threshold=0.7"])
    assert "1-0.wav 和 1-1.wav 为同一个人，相似度为：0.9" in capsys.readouterr().out


@pytest.fixture
def menu(monkeypatch, capsys):
    """Run mvector's menu with these answers until the input ends; return what it printed."""

    def run(*answers, arguments=()):
        left = list(answers)

        def answer(prompt):
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr("builtins.input", answer)
        assert infer_recognition.main(["--audio_db_path=audio_db", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_mvectors_menu_enrols_recognises_and_deletes(menu, toys, monkeypatch):
    def record(self, begin):
        begin()
        return voice(2, 1, duration_s=self.duration_s)

    said = menu("0", "1-0.wav", "Anna", "0", "2-0.wav", "Bert", "1", "1-1.wav", "1", "3-0.wav")
    assert said[0].startswith("识别说话的为：Anna，相似度为：0.9") and said[1] == "没有识别到说话人，可能是没注册。"
    assert (toys / "audio_db" / "Anna" / "0.wav").is_file()
    monkeypatch.setattr(Microphone, "record", record)
    said = menu("1", "", "2", "Bert", "2", "Bert", "7", arguments=["--record_seconds=2"])
    assert said[:4] == ["Loaded Anna audio.", "Loaded Bert audio.", "开始录音......", "录音已结束!"]
    assert said[4].startswith("识别说话的为：Bert") and said[5:7] == ["没有这个用户！", "请正确选择功能"]
    assert menu()[0] == "Loaded Anna audio." and not (toys / "audio_db" / "Bert").exists()


def test_mvectors_menu_goes_on_after_a_mistake(menu, toys):
    (toys / "text.wav").write_text("no recording")
    said = menu(
        "0", "missing.wav", "0", "text.wav", "Anna", "0", "1-0.wav", "a/b", "0", "1-0.wav", "Anna", "1", "1-1.wav"
    )
    assert "missing.wav: no such file." in said[0] and "text.wav" in said[1] and "name of a user" in said[2]
    assert said[3].startswith("识别说话的为：Anna")
    with pytest.raises(UsageError, match="--record_seconds"):
        infer_recognition.main(["--record_seconds=0"])
