"""The steps of the Ascend 310P model zoo's benchmark, and their files."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mindspore import Tensor

from mindvox.deploy import bench
from mindvox.engines.engine import Engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError, UsageError
from mindvox.files import write_json
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import cut_frames, subtract_mean
from mindvox.models import load_model
from tests.deploy.toy import FRONT_END as FRONT_END_OF_TOY
from tests.deploy.toy import make_checkpoint
from tests.small_model import in_place_of_ecapa

ROOT = Path(__file__).resolve().parents[2]
FRONT_END = Fbank().to_dict()
NUM_FRAMES = 30


@pytest.fixture
def corpus(tmp_path):
    """Two speakers with two recordings each, one of them short."""
    rng = np.random.default_rng(0)
    for speaker in ("id2", "id1"):
        for index, seconds in enumerate((0.2, 0.5)):
            path = tmp_path / "VoxCeleb1" / speaker / "session" / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(int(16000 * seconds)), 16000)
    return tmp_path / "VoxCeleb1"


@pytest.fixture
def prepared(corpus, tmp_path):
    bench.main(
        ["preprocess", str(corpus), str(tmp_path / "input"), str(tmp_path / "speaker"), f"--frames={NUM_FRAMES}"]
    )
    return tmp_path


def engine(batch_size=None, num_frames=None, **changes):
    """An engine whose embedding is the mean of each bin's absolute values."""
    values = {
        "file_format": "ONNX", "input_kind": "features", "batch_size": batch_size, "num_frames": num_frames,
        "min_frames": 9, "feature_size": 80, "emb_size": 80, "further_outputs": {}, "precision": "float32",
        "device_target": None, "front_end": FRONT_END, "model": {}, "checkpoint_sha256": "", "file_sha256": "",
        "weights_sha256": None,
    }  # fmt: skip

    def run(batch):
        assert batch_size in (None, len(batch))
        return [np.abs(batch).mean(axis=1)]

    return Engine("toy", ExportedModel(**{**values, **changes}), run)


def test_features_are_mels_by_frames_as_the_model_zoo_has_them(prepared, corpus):
    waveform, _ = soundfile.read(corpus / "id1" / "session" / "1.wav", dtype="float32")
    feats = subtract_mean(Fbank()(waveform)[:NUM_FRAMES])
    stored = np.fromfile(prepared / "input" / "mels2.bin", "<f4").reshape(80, NUM_FRAMES)
    np.testing.assert_array_equal(stored, feats.T)
    labels = [(prepared / "speaker" / f"speakers{number}.txt").read_text() for number in (1, 2, 3, 4)]
    assert labels == ["0\n", "0\n", "1\n", "1\n"]


def test_every_batch_size_has_the_same_embeddings_and_a_line(prepared, monkeypatch, capsys):
    engines = iter([engine(), engine(batch_size=3)])
    monkeypatch.setattr(bench, "load_engine", lambda *_, **__: next(engines))
    rates = bench.infer([Path("a.onnx"), Path("b.onnx")], prepared / "input", prepared / "result", (1, 3), loops=2)
    lines = capsys.readouterr().out.splitlines()
    assert list(rates) == [1, 3] and all(rate > 0 for rate in rates.values())
    assert lines[0].split() == ["batchsize", "utterances/s", "ms", "a", "call", "engine"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "3"]
    for number in range(1, 5):
        name = f"mels{number}_output_0.bin"
        single, batched = (np.fromfile(prepared / "result" / f"output_bs{size}" / name, "<f4") for size in (1, 3))
        assert single.shape == (80,)
        np.testing.assert_allclose(single, batched, rtol=1e-6)


def write_embeddings(folder, embeddings, labels):
    for kind in ("result", "speaker"):
        (folder / kind).mkdir()
    for number, (embedding, label) in enumerate(zip(embeddings, labels, strict=True), 1):
        (folder / "result" / f"mels{number}_output_0.bin").write_bytes(np.array(embedding, "<f4").tobytes())
        (folder / "speaker" / f"speakers{number}.txt").write_text(f"{label}\n")


def test_roc_auc_is_the_share_of_pairs_in_the_right_order(tmp_path, capsys):
    # Cosines: same speaker 0.8 and 0, different 0.6, 0, 1, 0.8: of 8 comparisons 2.5 are right (0.8 over 0.6 and 0, one
    # tie at 0.8 and one at 0 count half): (1 + 1 + 0.5 + 0.5) / 8.
    write_embeddings(tmp_path, [(1, 0), (0.8, 0.6), (1, 0), (0, 1)], [0, 0, 1, 1])
    area = bench.postprocess(tmp_path / "result", tmp_path / "speaker")
    cosine = np.array([0.8, 0.0]), np.array([1.0, 0.0, 0.8, 0.6])
    expected = np.mean([(t > n) + 0.5 * (t == n) for t in cosine[0] for n in cosine[1]])
    assert area == pytest.approx(expected, abs=1e-6)
    assert capsys.readouterr().out == f"roc_auc: \n{area:.4f}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "result" / "mels2_output_0.bin").unlink(), r"no mels2_output_0\.bin in it"),
        (lambda folder: (folder / "speaker" / "speakers3.txt").unlink(), r"no speakers3\.txt|3 embeddings"),
        (lambda folder: (folder / "speaker" / "speakers4.txt").unlink(), "has 4 embeddings, .* has 3 labels"),
        (lambda folder: (folder / "speaker" / "speakers1.txt").write_text("id1"), "expected the number of a speaker"),
        (lambda folder: (folder / "result" / "mels1_output_0.bin").write_bytes(b"12345"), "got 5 bytes"),
        (
            lambda folder: np.full(2, np.nan, "<f4").tofile(folder / "result" / "mels1_output_0.bin"),
            "NaN or infinite",
        ),
    ],
)
def test_damaged_results_are_refused(tmp_path, change, said):
    write_embeddings(tmp_path, [(1, 0), (0.8, 0.6), (1, 0), (0, 1)], [0, 0, 1, 1])
    change(tmp_path)
    with pytest.raises(InputError, match=said):
        bench.postprocess(tmp_path / "result", tmp_path / "speaker")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (engine(batch_size=8), "batch size 1: no model takes it"),
        (engine(num_frames=301), "takes 301 frames, .* has 30"),
        (engine(input_kind="waveform"), "takes waveforms"),
        (engine(front_end={**FRONT_END, "top_db": 60.0}), "another front end: top_db"),
    ],
)
def test_model_that_does_not_fit_the_features_is_refused(prepared, monkeypatch, model, said):
    monkeypatch.setattr(bench, "load_engine", lambda *_, **__: model)
    with pytest.raises(InputError, match=said):
        bench.infer([Path("a.onnx")], prepared / "input", prepared / "result", (1,), loops=1)
    assert not (prepared / "result").exists()


def test_features_of_another_size_are_refused(prepared, monkeypatch):
    monkeypatch.setattr(bench, "load_engine", lambda *_, **__: engine())
    with open(prepared / "input" / "mels3.bin", "ab") as stream:
        stream.write(bytes(4))
    with pytest.raises(InputError, match=r"mels3\.bin: expected 80 x 30 values, got 2401"):
        bench.infer([Path("a.onnx")], prepared / "input", prepared / "result", (1,), loops=1)
    write_json(prepared / "input" / "meta.json", {"format_version": 0})
    with pytest.raises(InputError, match="expected format_version 1"):
        bench.infer([Path("a.onnx")], prepared / "input", prepared / "result", (1,), loops=1)


def test_area_of_a_checkpoint_is_that_of_its_embeddings(corpus, tmp_path, capsys):
    with in_place_of_ecapa():
        checkpoint = make_checkpoint(tmp_path, channels=8)
        words = ["originroc", str(tmp_path), str(corpus), f"--frames={NUM_FRAMES}", "--batch_size=3"]
        assert bench.main([*words, "--device_target=CPU"]) == 0
        printed = capsys.readouterr().out
        model, _ = load_model(checkpoint)
    feats = []
    for path in sorted(corpus.rglob("*.wav")):
        waveform, _ = soundfile.read(path, dtype="float32")
        feats.append(FRONT_END_OF_TOY.finish(cut_frames(FRONT_END_OF_TOY(waveform), NUM_FRAMES)))
    embeddings = model(Tensor(np.stack(feats))).asnumpy()
    write_embeddings(tmp_path, embeddings, [0, 0, 1, 1])
    area = bench.postprocess(tmp_path / "result", tmp_path / "speaker")
    assert printed.splitlines()[-2:] == ["origin roc_auc:", f"{area:.4f}"] and 0 < area < 1


def test_checkpoint_that_takes_another_length_is_refused(corpus, tmp_path):
    with in_place_of_ecapa(), pytest.raises(InputError, match=r"takes 9 frames, got 8. Pass --frames=9"):
        bench.originroc(make_checkpoint(tmp_path, channels=8), corpus, 8, device_target="CPU")


def test_second_preprocessing_leaves_nothing_of_the_first(prepared, corpus):
    (corpus / "id1" / "session" / "0.wav").unlink()
    bench.preprocess(corpus, prepared / "input", prepared / "speaker", NUM_FRAMES)
    assert len(list((prepared / "input").glob("mels*.bin"))) == 3
    assert len(list((prepared / "speaker").iterdir())) == 3


def test_corpus_without_recordings_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        bench.preprocess(tmp_path, tmp_path / "input", tmp_path / "speaker")


@pytest.mark.parametrize(
    "arguments",
    [[], ["train"], ["postprocess", "result"], ["infer", "--model", "a"], ["preprocess", "a", "b", "c", "--frames=0"]],
)
def test_wrong_arguments_are_usage_errors(arguments):
    with pytest.raises(UsageError, match="--help"):
        bench.main(arguments)


def test_script_says_how_it_is_used(tmp_path):
    script = ROOT / "scripts" / "run_bench_310p.sh"
    for arguments, said in (
        ([], "usage:"),
        (["nowhere", "out", "m"], "nowhere: no such folder"),
        ([tmp_path, "out", "m.onnx"], "m.onnx: no such model"),
    ):
        done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, said in done.stderr, done.stdout) == (2, True, "")
    assert not (tmp_path / "out").exists()
