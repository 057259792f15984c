import io
import json
import os
from contextlib import chdir, redirect_stderr, redirect_stdout

import numpy as np
import pytest
from mindspore import Parameter, Tensor

import eval as evaluate_command
from mindvox.corpus.tables import write_speakers
from mindvox.data.eval_store import EvalStoreWriter
from mindvox.deploy import mindir_to_onnx
from mindvox.errors import run
from mindvox.files import sha256_file
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.models import create_model
from mindvox.models.checkpoint import read_checkpoint, write_checkpoint
from mindvox.scoring.embeddings import EmbeddingStore
from tests.stores import write_eval_store

pytestmark = pytest.mark.usefixtures("small_model")  # with ECAPA-TDNN, of --all: tests/e2e/test_seed_commands.py
FRONT_END = Fbank(n_mels=8).to_dict()
MODEL = {"name": "ecapa_tdnn", "in_channels": 8, "channels": 8, "emb_size": 6, "global_context": True}


def write_model(folder, front_end):
    write_speakers(folder / "speakers.csv", ["tr0", "tr1"])
    model = create_model(MODEL)
    meta = {"model": MODEL, "front_end": front_end, "epoch": 1, "step": 1}
    meta["speakers_sha256"] = sha256_file(folder / "speakers.csv")
    parameters = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
    write_checkpoint(folder / "model.ckpt", parameters, meta)


@pytest.fixture
def arguments(tmp_path):
    """A toy checkpoint, evaluation store with trial list, and cohort; all utterances have 40 frames."""
    write_model(tmp_path, FRONT_END)
    write_eval_store(tmp_path / "eval_store", "id", num_speakers=4, utts_each=2, num_frames=40)
    write_eval_store(tmp_path / "norm_store", "co", num_speakers=5, utts_each=1, num_frames=40)
    names = [f"id{speaker}/s/{utt}.wav" for speaker in range(4) for utt in range(2)]
    trials = [f"{int(a[:3] == b[:3])} {a} {b}\n" for row, a in enumerate(names) for b in names[row + 1 :]]
    (tmp_path / "eval_store" / "veri_test2.txt").write_text("".join(trials))
    (tmp_path / "config.yaml").write_text("inChannels: 8\nchannels: 8\nemb_size: 6\n")
    values = {
        "config_path": tmp_path / "config.yaml",
        "model_path": tmp_path / "model.ckpt",
        "eval_data_path": tmp_path / "eval_store",
        "train_norm_path": tmp_path / "norm_store",
        "npy_file_path": tmp_path / "npys",
        "device_target": "CPU",
    }
    return [f"--{key}={value}" for key, value in values.items()]


def run_eval(folder, arguments, expected_code=0):
    """Return what eval.py prints."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors), chdir(folder):
        code = run(lambda _: evaluate_command.main([str(argument) for argument in arguments]))
    assert code == expected_code, errors.getvalue()
    return (errors if expected_code else out).getvalue()


def eer_lines(text):
    return [line for line in text.splitlines() if line.startswith("eer ")]


def test_checkpoint_replaced_in_place_makes_new_embeddings(arguments, tmp_path):
    run_eval(tmp_path, arguments)
    path = tmp_path / "model.ckpt"
    stat = path.stat()
    parameters, meta = read_checkpoint(path)
    changed = {name: Parameter(Tensor(array * np.float32(1.5)), name=name) for name, array in parameters.items()}
    write_checkpoint(path, changed, meta)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the size and the time are the same
    again = run_eval(tmp_path, arguments)
    assert again.count("making embeddings: those there have another model_sha256") == 2


def test_features_replaced_in_place_are_not_taken_for_those_of_before(arguments, tmp_path):
    run_eval(tmp_path, arguments)
    path = tmp_path / "eval_store" / "feats.npy"
    np.save(path, np.load(path)[::-1])
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert "are not the content that meta.json names" in run_eval(tmp_path, arguments, expected_code=1)


def test_eval_prints_three_lines_and_keeps_embeddings(arguments, tmp_path):
    first = run_eval(tmp_path, arguments)
    assert [line.split(":")[0] for line in eer_lines(first)] == ["eer baseline", "eer sub mean", "eer s-norm"]
    assert first.count("making embeddings") == 2
    assert json.loads((tmp_path / "npys" / "results.json").read_text())["trials"]["num_trials"] == 28
    assert len((tmp_path / "npys" / "scores.tsv").read_text().splitlines()) == 29

    second = run_eval(tmp_path, [*arguments, "--score_norm=none"])
    assert second.count("reused") == 2
    assert eer_lines(second) == eer_lines(first)[:2]

    before = EmbeddingStore.open(tmp_path / "npys" / "eval").embeddings.copy()
    cut = run_eval(tmp_path, [*arguments, "--cut_wav", "--cut_frames=40"])
    assert cut.count("those there have another cut_frames") == 2
    # Every utterance has 40 frames, so the graph of fixed shape must give what the dynamic one gave.
    after = EmbeddingStore.open(tmp_path / "npys" / "eval")
    np.testing.assert_allclose(after.embeddings, before, atol=1e-4)
    assert eer_lines(cut) == eer_lines(first)


def test_eval_embeds_in_the_library_that_is_chosen(arguments, tmp_path):
    first = run_eval(tmp_path, arguments)
    fast = EmbeddingStore.open(tmp_path / "npys" / "eval")
    assert fast.identity.engine.startswith("onnxruntime ")
    before = fast.embeddings.copy()
    slow = run_eval(tmp_path, [*arguments, "--eval_engine=mindspore"])
    assert slow.count("those there have another engine") == 2
    made = EmbeddingStore.open(tmp_path / "npys" / "eval")
    assert made.identity.engine.startswith("mindspore ")
    np.testing.assert_allclose(made.embeddings, before, atol=1e-4)
    assert eer_lines(slow) == eer_lines(first)


def test_eval_says_what_embeds_a_model_that_onnx_does_not_know(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(mindir_to_onnx, "OPERATORS", {})
    said = run_eval(tmp_path, arguments, 1)
    assert "the conversion to ONNX does not know" in said and "--eval_engine=mindspore" in said
    assert not (tmp_path / "npys" / "eval" / "meta.json").exists()


def test_eval_says_which_key_is_not_set(arguments, tmp_path):
    arguments = [argument for argument in arguments if "model_path" not in argument]
    assert "error: not set: model_path" in run_eval(tmp_path, arguments, 2)


@pytest.mark.parametrize(("store", "prefix"), [("eval_store", "id"), ("norm_store", "co")])
def test_eval_refuses_features_of_another_front_end(arguments, tmp_path, store, prefix):
    front_end = Fbank(n_mels=8, top_db=60.0).to_dict()
    write_eval_store(tmp_path / store, prefix, 4, 2, 40, front_end)
    assert f"{tmp_path / store}: made with another front end: top_db 60.0" in run_eval(tmp_path, arguments, 1)


def write_recordings(folder, prefix, num_speakers, front_end=None):
    """Write the samples of two utterances of each speaker, or their features."""
    rng = np.random.default_rng(len(prefix))
    with EvalStoreWriter(folder, None if front_end is None else front_end.to_dict()) as writer:
        for speaker in range(num_speakers):
            for utt in range(2):
                samples = (3000 * rng.standard_normal(6800)).astype(np.int16)
                samples[1:] += (speaker * samples[:-1].astype(int) // 8).astype(np.int16)
                content = samples if front_end is None else front_end(samples.astype(np.float32) / 32768)
                writer.add(f"{prefix}{speaker}/s/{utt}.wav", f"{prefix}{speaker}", content)


def test_eval_computes_the_models_features_of_stores_of_waveforms(arguments, tmp_path):
    front_end = KaldiFbank(n_mels=8, window="hamming", waveform_scale=32768.0)
    write_model(tmp_path, front_end.to_dict())
    arguments = [*arguments, "--cut_wav", "--cut_frames=40"]
    found = {}
    for kind in (None, front_end):
        write_recordings(tmp_path / "eval_store", "id", 4, kind)
        write_recordings(tmp_path / "norm_store", "co", 5, kind)
        text = run_eval(tmp_path, arguments)
        assert text.count("making embeddings") == 2
        found[kind] = eer_lines(text), EmbeddingStore.open(tmp_path / "npys" / "eval")
    assert found[None][0] == found[front_end][0] and len(found[None][0]) == 3
    np.testing.assert_array_equal(found[None][1].embeddings, found[front_end][1].embeddings)
    assert found[None][1].identity.front_end == front_end.to_dict()
    message = run_eval(tmp_path, [*arguments, "--front_end=fbank"], 1)
    assert "has the front end kaldi_fbank" in message and "the command line says --front_end=fbank" in message


def test_eval_refuses_trials_of_training_speakers_unless_allowed(arguments, tmp_path):
    trials = tmp_path / "eval_store" / "veri_test2.txt"
    write_eval_store(tmp_path / "eval_store", "tr", num_speakers=4, utts_each=2, num_frames=40)
    trials.write_text(trials.read_text().replace("id", "tr"))
    message = run_eval(tmp_path, arguments, 1)
    assert "2 of its speakers are in" in message
    assert "such as tr0, tr1. Use other trials, or pass --allow_seen_speakers=true" in message
    assert not (tmp_path / "npys").exists()
    assert len(eer_lines(run_eval(tmp_path, [*arguments, "--allow_seen_speakers"]))) == 3


def test_eval_refuses_a_cohort_of_the_trials_speakers_before_it_embeds(arguments, tmp_path):
    write_eval_store(tmp_path / "norm_store", "id", num_speakers=3, utts_each=3, num_frames=40)
    assert "3 of the cohort's speakers are also in the evaluation store" in run_eval(tmp_path, arguments, 1)
    assert not (tmp_path / "npys").exists()


def test_eval_scores_crops(arguments, tmp_path):
    crops = ["--eval_crops=3", "--eval_frames=20"]
    message = run_eval(tmp_path, [*arguments, *crops], 2)
    assert "score_norm: s-norm is defined for cosines" in message
    assert not (tmp_path / "npys").exists()
    distance = run_eval(tmp_path, [*arguments, *crops, "--score_norm=none"])
    assert "24 embeddings in" in distance
    assert [line.split(":")[0] for line in eer_lines(distance)] == ["eer baseline", "eer sub mean"]
    cosine = run_eval(tmp_path, [*arguments, *crops, "--crop_score=cosine"])
    assert cosine.count("reused") == 2
    assert len(eer_lines(cosine)) == 3
    assert "eval_crops: expected 0 with cut_wav" in run_eval(tmp_path, [*arguments, *crops, "--cut_wav"], 2)


def test_eval_cuts_crops_of_waveforms_and_prints_as_voxceleb_trainer_does(arguments, tmp_path):
    front_end = KaldiFbank(n_mels=8)
    write_model(tmp_path, front_end.to_dict())
    write_recordings(tmp_path / "eval_store", "id", 4)
    options = ["--eval_crops=3", "--eval_frames=20", "--score_norm=none", "--sub_mean=test"]
    text = run_eval(tmp_path, [*arguments, *options, "--print_like=voxceleb_trainer"])
    assert "3 crops of 3440 samples are cut from the waveform of each utterance" in text
    (line,) = [line for line in text.splitlines() if " VEER " in line]
    results = json.loads((tmp_path / "npys" / "results.json").read_text())["results"]["baseline"]
    eer, cost = line.split(" VEER ")[1].split(" MinDCF ")
    assert float(eer) == pytest.approx(100 * results["eer_voxceleb_trainer"], abs=1e-4)
    assert float(cost) == pytest.approx(results["min_dcf"]["0.05"], abs=1e-5)
    of_features = run_eval(tmp_path, [*arguments, *options, "--crop_of=features"])
    assert "another crop_samples" in of_features
    assert "3 crops of 20 frames are cut from the features" in of_features
    write_recordings(tmp_path / "eval_store", "id", 4, front_end)
    message = run_eval(tmp_path, [*arguments, *options, "--crop_of=waveform"], 1)
    assert "holds features, and crop_of: waveform cuts the waveform" in message and "--crop_of=features" in message
