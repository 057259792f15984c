"""The parity command: its table, its exit code, and what it says of engines that are not here."""

import stat

import numpy as np
import pytest
import soundfile

import mindvox.deploy.check_parity as parity
from mindvox.data.eval_store import EvalStoreWriter
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError, UsageError
from mindvox.frontend.frames import Windows
from mindvox.models.checkpoint import read_checkpoint
from tests.deploy.toy import FRONT_END, META, config_of, encoder, make_checkpoint, save_description, write_toy
from tests.small_model import in_place_of_ecapa

pytest.importorskip("openvino", reason="needs the extra onnx")

FREE = ("--batch_size=0", "--length=0")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of the small model, in ECAPA-TDNN's place: what is compared and said does not depend on the model."""
    with in_place_of_ecapa():
        yield make_checkpoint(tmp_path_factory.mktemp("ckpt"))


@pytest.fixture(scope="module")
def trained(checkpoint):
    return encoder(checkpoint)


@pytest.fixture(scope="module", autouse=True)
def reference_is_not_compiled(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindvox.scoring.embeddings.cell_encoder", lambda *_: trained)
        yield


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    return write_toy(checkpoint, tmp_path_factory.mktemp("onnx") / "m.onnx", *FREE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    with EvalStoreWriter(folder, FRONT_END.to_dict()) as writer:
        for index, num_frames in enumerate((50, 9, 77)):
            writer.add(f"a/{index}.wav", "a", rng.normal(-40, 10, (num_frames, 16)).astype(np.float32))
    return folder


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(2):
        path = tmp_path / "recordings" / "a" / f"{index}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(4000 + 999 * index), 16000)
    return tmp_path / "recordings"


def check(checkpoint, *arguments):
    return parity.main(["--checkpoint", str(checkpoint), "--cpp=nowhere", *map(str, arguments)])


def test_engines_that_are_here_agree_over_a_store(checkpoint, exported, store, capsys):
    assert check(checkpoint, "--exported", exported, "--features", store) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "3 utterances: store" in lines[0]
    assert lines[2].split() == ["the", "checkpoint", "-"], "all are of one speaker: there is no error rate"
    for line, name in zip(lines[3:5], ("ONNX in ONNX Runtime", "ONNX in OpenVINO"), strict=True):
        assert line.startswith(name) and "1.0000" in line
    assert lines[5:] == [
        "not checked: MINDIR in MindSpore: no MINDIR file was given",
        "not checked: IR in OpenVINO: no IR file was given",
        "not checked: C++ program: nowhere is not built",
    ]


def test_fixed_waveform_model_is_compared_over_recordings(checkpoint, recordings, tmp_path, capsys):
    path = write_toy(checkpoint, tmp_path / "w.onnx", "--batch_size=2", "--length=30", "--input=waveform")
    assert check(checkpoint, "--exported", path, "--features", recordings, "--max_utterances=1") == 0
    out = capsys.readouterr().out
    assert "1 utterance: recordings in" in out and "ONNX in OpenVINO" in out


def test_long_recordings_are_compared_in_windows_of_features_or_samples(
    checkpoint, exported, recordings, store, tmp_path
):
    waveform = write_toy(checkpoint, tmp_path / "w.onnx", *FREE, "--input=waveform")
    utterances, _ = parity.read_utterances(recordings, FRONT_END)
    windows = [window for utterance in utterances for window in parity.windows_of(utterance, None, 20, FRONT_END)]
    assert [len(window.feats) for window in windows] == [13, 13, 16, 16]  # of 26 and 32 frames
    assert [len(window.waveform) for window in windows] == [12 * 160, 1920, 15 * 160, 2439]
    own = [window for each in utterances for window in parity.windows_of(each, Windows(20, 15), 0, FRONT_END)]
    assert [(len(window.feats), len(window.waveform)) for window in own] == [(20, 19 * 160)] * 4
    np.testing.assert_array_equal(own[1].feats, utterances[0].feats[6:26])
    for path, folder in ((exported, store), (waveform, recordings)):  # second variant: a model of waveforms
        assert check(checkpoint, "--exported", path, "--features", folder, "--max_frames=20") == 0


def test_an_engine_that_runs_out_of_memory_is_told_with_the_recording(exported):
    def run_out(_):
        raise MemoryError

    utterance = parity.ParityCase("a/long.wav", np.zeros((50, 16), np.float32))
    with pytest.raises(InputError, match=r"a/long.wav: 50 frames at once .* smaller max_frames"):
        parity._one_by_one(ExportedModel.read(exported), FRONT_END, run_out)([utterance])


def test_a_folder_of_checkpoints_stands_for_its_last_one(checkpoint, exported, capsys):
    assert check(checkpoint.parent, "--exported", exported, "--max_utterances=1") == 0
    assert f"Cell of {checkpoint};" in capsys.readouterr().out
    with pytest.raises(InputError, match="no checkpoint train_<model>-"):  # second variant: a folder without any
        check(exported.parent, "--exported", exported)


def test_without_features_the_utterances_are_random_and_it_says_so(checkpoint, exported, capsys):
    assert check(checkpoint, "--exported", exported, "--max_utterances=2") == 0
    assert "2 utterances: random noise in bursts (--features DIR takes real recordings)" in capsys.readouterr().out


def test_wrong_weights_are_an_error(checkpoint, store, tmp_path, capsys):
    arrays, _ = read_checkpoint(checkpoint)
    arrays = {name: value + 0.01 if name == "model.fc.weight" else value for name, value in arrays.items()}
    path = tmp_path / "m.onnx"
    _write(path, checkpoint, arrays)
    with pytest.raises(InputError, match=r"an engine's embeddings have a cosine below the tolerance"):
        check(checkpoint, "--exported", path, "--features", store)
    assert capsys.readouterr().out.count("below 0.99999") == 2


def test_agreement_of_nan_is_none():
    expected = np.ones((2, 3), np.float32)
    got = expected.copy()
    got[1, 1] = np.nan
    assert not parity.agreement(expected, got).least_cosine >= -1


def test_least_cosine_is_of_the_worst_utterance():
    found = parity.agreement(np.array([[1, 0], [1, 0]], np.float32), np.array([[2, 0], [3, 4]], np.float32))
    assert found == parity.Agreement(pytest.approx(0.6), 4.0, 1.0)


def test_cpp_program_is_run_over_a_store_of_the_utterances(checkpoint, exported, store, tmp_path):
    """A stand-in that says what it was asked to do, and fails."""
    program = tmp_path / "ecapa_infer"
    program.write_text('#!/bin/sh\necho "$@" >&2\nexit 3\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    words = ["--checkpoint", checkpoint, "--exported", exported, "--features", store, "--cpp", program]
    with pytest.raises(InputError, match=r"ecapa_infer over .*m\.onnx: exit code 3: --model .*m\.onnx --data .*/store"):
        parity.main([str(word) for word in words])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exported", "x.onnx"], "checkpoint"),
        (["--checkpoint", "c"], "exported"),
        (["--checkpoint", "c", "--exported", "x", "--tolerance", "2"], "expected a cosine above 0 and at most 1"),
        (["--checkpoint", "c", "--exported", "x", "--max_utterances", "-1"], "expected 0 or more, got -1"),
        (["--checkpoint", "c", "--exported", "x", "--what"], "--what"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, said):
    with pytest.raises(UsageError, match=said):
        parity.main(arguments)


def test_model_of_another_checkpoint_is_refused(exported, tmp_path):
    other = make_checkpoint(tmp_path, emb_size=8)
    with pytest.raises(InputError, match="exported from another checkpoint"):
        check(other, "--exported", exported)


def test_store_of_another_front_end_is_refused(checkpoint, exported, tmp_path):
    with EvalStoreWriter(tmp_path, {**FRONT_END.to_dict(), "top_db": 60.0}) as writer:
        writer.add("a", "a", np.zeros((20, 16), np.float32))
    with pytest.raises(InputError, match="made with another front end: top_db"):
        check(checkpoint, "--exported", exported, "--features", tmp_path)


def test_folder_without_anything_is_refused(checkpoint, exported, tmp_path):
    with pytest.raises(InputError, match=r"neither an evaluation store nor a folder of recordings"):
        check(checkpoint, "--exported", exported, "--features", tmp_path)


def test_waveform_model_over_a_store_is_refused(checkpoint, store, tmp_path):
    path = write_toy(checkpoint, tmp_path / "w.onnx", *FREE, "--input=waveform")
    with pytest.raises(InputError, match="a model takes waveforms: give a folder of recordings"):
        check(checkpoint, "--exported", path, "--features", store)


def test_nothing_to_compare_is_an_error(checkpoint, exported, store, monkeypatch):
    monkeypatch.setattr(parity, "is_installed", lambda _: False)
    with pytest.raises(InputError, match="nothing was compared"):
        check(checkpoint, "--exported", exported, "--features", store)


def _write(path, checkpoint, arrays):
    """Write these arrays as a model that claims to be of `checkpoint`."""
    from mindvox.deploy.export import describe, write_model

    config = config_of(checkpoint, path, "--file_format=ONNX", *FREE)
    exported: ExportedModel = describe(config, META, checkpoint, "CPU")
    write_model(path, exported, arrays)
    save_description(path, exported)
