"""Importing other toolkits' weights: the numbers, the checkpoint, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

import eval as evaluate_command
from mindvox.config import Config, load_config
from mindvox.corpus.table_io import read_speakers
from mindvox.data.eval_store import EvalStoreWriter
from mindvox.deploy.import_weights import build, import_weights, main, read_label_encoder
from mindvox.deploy.toolkits.wespeaker import ecapa_name as wespeaker_name
from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError, UsageError
from mindvox.files import sha256_file
from mindvox.frontend import check_front_end
from mindvox.frontend.fbank import Fbank
from mindvox.losses import saved_parameters
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models import load_model, take_settings
from mindvox.models.checkpoint import META_KEYS, read_checkpoint
from mindvox.registry import TOOLKITS
from tests.models.reference.seeded import features

FOLDER = Path(__file__).with_name("reference")
MODEL = FOLDER / "speechbrain.ckpt"
CLASSIFIER = FOLDER / "speechbrain_classifier.ckpt"
LABELS = FOLDER / "label_encoder.txt"
SETTINGS = {"name": "ecapa_tdnn", "in_channels": 12, "channels": 8, "emb_size": 6, "global_context": True}


def expected(name: str) -> np.ndarray:
    with np.load(FOLDER / "embeddings.npz") as stored:
        return stored[name]


def assert_embeds(model, feats: np.ndarray, wanted: np.ndarray) -> None:
    embedding = model(Tensor(feats)).asnumpy()
    assert wanted.std() > 1
    assert np.abs(embedding - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_imported_speechbrain_model_gives_its_embeddings(tmp_path, capsys):
    assert main([str(MODEL), "--from", "speechbrain", "--to", str(tmp_path / "x.ckpt")]) == 0
    model, meta = load_model(tmp_path / "x.ckpt")
    assert_embeds(model, features(2, 3, 50, 12), expected("speechbrain"))
    assert set(META_KEYS) <= meta.keys()
    assert meta["model"] == SETTINGS
    assert meta["front_end"] == Fbank(n_mels=12).to_dict()
    assert meta["speakers_sha256"] is None
    assert meta["imported"] == {"from": "speechbrain", "file": MODEL.name, "sha256": sha256_file(MODEL)}
    said = capsys.readouterr().out
    assert "ecapa_tdnn (in_channels 12, channels 8, emb_size 6, global_context True), from speechbrain" in said
    assert "training speakers: unknown" in said


def test_imported_wespeaker_model_has_its_weights_but_not_the_projection(tmp_path, capsys):
    assert main([str(FOLDER / "wespeaker.pt"), "--from", "wespeaker", "--to", str(tmp_path / "x.ckpt")]) == 0
    model, meta = load_model(tmp_path / "x.ckpt")
    state = read_state(FOLDER / "wespeaker.pt")
    for parameter in model.get_parameters():  # what they compute is tested in tests/models/test_wespeaker_parity.py
        np.testing.assert_array_equal(parameter.asnumpy().ravel(), state[wespeaker_name(parameter.name)].ravel())
    assert meta["model"] == {**SETTINGS, "name": "wespeaker_ecapa", "in_channels": 20, "channels": 16} | {
        "emb_size": 12,
        "mfa_channels": 24,
        "emb_bn": False,
    }
    assert meta["front_end"]["window"] == "hamming" and meta["front_end"]["waveform_scale"] == 32768
    said = capsys.readouterr().out
    assert "features: kaldi_fbank (" in said and "left out: projection.weight" in said


def test_3dspeakers_names_are_speechbrains_and_its_features_are_kaldis(tmp_path):
    meta = import_weights("3dspeaker", MODEL, tmp_path / "x.ckpt")
    assert meta["model"] == SETTINGS
    assert meta["front_end"]["type"] == "kaldi_fbank" and meta["front_end"]["window"] == "povey"


def test_features_of_another_kind_are_refused_with_what_they_are():
    kaldi = TOOLKITS.get("wespeaker").front_end({"in_channels": 80})
    with pytest.raises(InputError, match="store: holds features of the front end fbank, the model takes kaldi_fbank"):
        check_front_end(kaldi, Fbank().to_dict(), "store")


def test_architecture_is_the_checkpoints_unless_the_command_line_says_another(tmp_path):
    settings = import_weights("wespeaker", FOLDER / "wespeaker.pt", tmp_path / "x.ckpt")["model"]
    assert take_settings(load_config(Config, []), settings, "x.ckpt").model.to_dict().items() >= settings.items()
    with pytest.raises(InputError, match="has wespeaker_ecapa .*; the command line says --model=ecapa_tdnn"):
        take_settings(load_config(Config, ["--model=ecapa_tdnn"]), settings, "x.ckpt")


def test_classifier_takes_the_order_of_the_speaker_table(tmp_path):
    import_weights("speechbrain", MODEL, tmp_path / "x.ckpt", CLASSIFIER, LABELS)
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    assert read_speakers(tmp_path / "speakers.csv") == {"id00012": 0, "id00031": 1, "id10270": 2}
    assert meta["speakers_sha256"] == sha256_file(tmp_path / "speakers.csv")
    np.testing.assert_array_equal(arrays["loss.weight"], expected("classifier")[[1, 2, 0]])
    wanted = {f"loss.{name}" for name in saved_parameters(AamSoftmax(6, 3))}
    assert {name for name in arrays if name.startswith("loss.")} == wanted  # exactly the objective's parameters


def test_classifier_without_names_keeps_its_order(tmp_path):
    import_weights("speechbrain", MODEL, tmp_path / "x.ckpt", CLASSIFIER)
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    np.testing.assert_array_equal(arrays["loss.weight"], expected("classifier"))
    assert meta["speakers_sha256"] is None and not (tmp_path / "speakers.csv").exists()


def test_table_of_other_speakers_is_not_overwritten(tmp_path):
    (tmp_path / "speakers.csv").write_text("label,spk_id\n0,someone\n")
    with pytest.raises(InputError, match="speakers.csv: exists, with other speakers"):
        import_weights("speechbrain", MODEL, tmp_path / "x.ckpt", CLASSIFIER, LABELS)
    assert "someone" in (tmp_path / "speakers.csv").read_text()
    assert not (tmp_path / "x.ckpt").exists()


def evaluate_imported(folder: Path, front_end: dict, *sizes: str) -> int:
    """Run eval.py on `folder`/x.ckpt and a store of four utterances of two speakers."""
    with EvalStoreWriter(folder / "store", front_end) as writer:
        for row, feats in enumerate(features(6, 4, 40, front_end["n_mels"])):
            writer.add(f"id0000{row // 2}/s/{row}.wav", f"id0000{row // 2}", feats)
    names = [f"id0000{row // 2}/s/{row}.wav" for row in range(4)]
    trials = [f"{int(a[:7] == b[:7])} {a} {b}\n" for row, a in enumerate(names) for b in names[row + 1 :]]
    (folder / "store" / "veri_test2.txt").write_text("".join(trials))
    paths = [f"--eval_data_path={folder / 'store'}", f"--npy_file_path={folder / 'npys'}", "--train_norm_path="]
    return evaluate_command.main([f"--model_path={folder / 'x.ckpt'}", "--device_target=CPU", *paths, *sizes])


def test_imported_speechbrain_model_is_evaluated_and_its_unknown_speakers_are_told(tmp_path, capsys):
    meta = import_weights("speechbrain", MODEL, tmp_path / "x.ckpt")
    assert evaluate_imported(tmp_path, meta["front_end"], "--cut_wav=true", "--cut_frames=20") == 0
    said = capsys.readouterr().out
    assert "imported weights of unknown training speakers" in said and "eer baseline:" in said


def test_imported_model_for_other_features_is_not_evaluated_on_ours(tmp_path):
    import_weights("wespeaker", FOLDER / "wespeaker.pt", tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="holds features of the front end fbank, the model takes kaldi_fbank"):
        evaluate_imported(tmp_path, Fbank(n_mels=20).to_dict())


def test_all_that_does_not_fit_is_listed_at_once():
    state, _ = TOOLKITS.get("speechbrain").split(read_state(MODEL))
    state["surplus.weight"] = np.zeros(3, np.float32)
    del state["fc.conv.bias"], state["blocks.2.tdnn1.norm.norm.running_var"]
    state["asp.conv.conv.bias"] = np.zeros(5, np.float32)
    state["blocks.0.conv.conv.bias"] = np.full(8, np.nan, np.float32)
    with pytest.raises(InputError) as caught:
        build("speechbrain", state, "x")
    assert str(caught.value).splitlines() == [
        "x: its entries do not fit the model:",
        "  blocks.2.tdnn1.norm.norm.running_var is missing",
        "  fc.conv.bias is missing",
        "  surplus.weight (3,) is not in the model",
        "  asp.conv.conv.bias is (5,), expected (24,)",
        "  blocks.0.conv.conv.bias has NaN or infinite values",
    ]


@pytest.mark.parametrize("toolkit", ["speechbrain", "wespeaker", "3dspeaker", "mvector", "resemblyzer"])
def test_state_of_another_model_is_refused(toolkit):
    with pytest.raises(InputError, match=r"x: none of the models .*(ECAPA-TDNN|GE2E encoder) \(it has "):
        build(toolkit, {"weight": np.zeros((2, 3), np.float32)}, "x")


def test_state_without_a_layer_that_tells_a_size_is_refused():
    state = read_state(MODEL)
    del state["fc.conv.weight"]
    with pytest.raises(InputError, match="x: not speechbrain's ECAPA-TDNN: fc.conv.weight is missing"):
        build("speechbrain", state, "x")


def test_sizes_that_would_need_more_memory_than_the_file_has_are_refused_before_building(monkeypatch):
    state = read_state(MODEL)
    state["mfa.conv.conv.weight"] = np.zeros((3 * 10**6, 1, 1), np.float32)
    state["blocks.0.conv.conv.weight"] = np.zeros((10**6, 1, 1), np.float32)
    monkeypatch.setattr("mindvox.models.create_model", None)
    with pytest.raises(InputError, match="the sizes of its layers do not fit together"):
        build("speechbrain", state, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the indices 0 to"),
        ("'a' => 0\n'b' => 2\n", "expected the indices 0 to 1, each once"),
        ("'a' => 0\n'a' => 1\n", ":2: expected a new '<speaker>' => <index>"),
        ("__import__('os').system('true') => 0\n", ":1: expected a new"),
    ],
)
def test_label_encoder_of_another_form_is_refused(tmp_path, text, said):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        read_label_encoder(tmp_path / "labels.txt")


def test_classifier_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected SpeechBrain's classifier.*weight \(speakers, 6\)"):
        import_weights("speechbrain", MODEL, tmp_path / "x.ckpt", MODEL)
    (tmp_path / "labels.txt").write_text("'a' => 0\n")
    with pytest.raises(InputError, match="it has 3 speakers, the label encoder 1"):
        import_weights("speechbrain", MODEL, tmp_path / "x.ckpt", CLASSIFIER, tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "speechbrain", "--to", "x"], "name that ends in .ckpt"),
        (["--from", "speechbrain", "--to", str(MODEL)], "another file than the source"),
        (["--from", "wespeaker", "--to", "x.ckpt", "--classifier", "c"], "are SpeechBrain's files"),
    ],
)
def test_wrong_usage_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        main([str(MODEL), *options])
