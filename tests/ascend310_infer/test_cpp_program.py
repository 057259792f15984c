"""The C++ program and scripts/run_infer_310.sh on small models, against Python's numbers.

Second variants of issue 12's part B: names through `..` and Windows paths (B1); capitals, videos, links in a circle
(B2, B4); every kind of tests/verdicts.py, in --verify too (B9, B10); a killed holder of a lock (B11); UTF-16, line ends
of old Macs, a locale of one byte a letter (B12); a file that refuses fsync (B13); a recording of another rate, a bound
on the address space (B16).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.data.eval_store import EvalStore, content_sha256
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import cut_frames, subtract_mean, window_edges
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.scoring.embeddings import EmbeddingStore, extract
from tests import verdicts
from tests.ascend310_infer.runs import LENGTHS, in_python, score_lines, write_store
from tests.deploy.toy import FRONT_END, NUM_MELS, make_checkpoint, write_toy
from tests.processes import call, must

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
VECTORS = ROOT.parent / "shared" / "reference" / "vectors"
SAMPLE_RATE = 16000
BOUND = 2e-5  # of the greatest value: float32 sums in another order, through fifteen layers
FEATURE_BOUND = 1e-3  # dB
KALDI_BOUND = 3e-4  # natural logarithms: Python takes the filters' sums in float32


@pytest.fixture(scope="module")
def worked(tmp_path_factory) -> Path:
    """A folder with a checkpoint, the models that were exported from it, stores and recordings."""
    folder = tmp_path_factory.mktemp("cpp")
    checkpoint = make_checkpoint(folder / "ckpt")
    for name in ("free.onnx", "free.xml"):
        write_toy(checkpoint, folder / name, "--length=0", "--batch_size=0")
    write_toy(checkpoint, folder / "fixed.onnx", "--length=40", "--batch_size=3")
    write_toy(checkpoint, folder / "wave.onnx", "--length=0", "--batch_size=0", "--input=waveform")
    write_store(folder / "eval", "test", LENGTHS, with_trials=True)
    write_store(folder / "norm", "cohort", (40,) * 12)
    for speaker in range(3):
        path = folder / "wav" / f"id{speaker}" / "a.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, noise(speaker, 8000 + 3000 * speaker), SAMPLE_RATE)
    (folder / "feats").mkdir()
    np.save(folder / "feats" / "0.npy", EvalStore.open(folder / "eval").feats(0))
    (folder / "config.yaml").write_text(
        f"inChannels: {NUM_MELS}\nchannels: 16\nemb_size: 6\ndevice_target: CPU\ncut_frames: 40\n"
        "eval_data_path: eval\ntrain_norm_path: norm\n"
    )
    return folder


def noise(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32)


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return np.abs(got - expected).max() <= BOUND * np.abs(expected).max()


@pytest.mark.parametrize(
    ("model", "options", "frames"),
    [
        ("free.xml", (), None),
        ("free.onnx", ("--batch_size=2", "--workers=2"), None),
        ("free.xml", ("--cut_frames=45",), 45),
        ("fixed.onnx", (), 40),
    ],
)
def test_embeddings_of_a_store_are_those_of_python(program, worked, tmp_path, model, options, frames):
    out = tmp_path / "out"
    said = must(worked, program, "--model", model, "--data", "eval", "--output", out, *options)
    assert said.startswith(f"{len(LENGTHS)} embeddings in ")
    made = EmbeddingStore.open(out)
    store = EvalStore.open(worked / "eval")
    assert (made.utt_ids, made.spk_ids) == (store.utt_ids, store.spk_ids)
    assert close(made.embeddings, in_python(worked, model, frames))
    assert (made.identity.store_sha256, made.identity.cut_frames) == (store.sha256, frames)
    assert made.identity.front_end == store.front_end and made.identity.engine.endswith("CPU f32")
    assert made.identity.model_sha256 == json.loads((worked / f"{model}.json").read_text())["file_sha256"]
    assert sorted(path.name for path in out.iterdir()) == [
        "embeddings.npy", "index.csv", "meta.json", "report.json",
    ]  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert (report["num_utterances"], report["num_failed"], report["failures"]) == (len(LENGTHS), 0, [])
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
    assert report["audio_s"] == pytest.approx(sum(frames or length for length in LENGTHS) / 100)


def test_output_is_bit_identical_for_any_number_of_workers_and_threads(program, worked, tmp_path):
    stores = []
    for workers, threads in ((1, 1), (1, 2), (2, 2), (3, 2), (8, 5)):
        out = tmp_path / f"{workers}-{threads}"
        options = (f"--workers={workers}", f"--threads={threads}", "--batch_size=2")
        must(worked, program, "--model", "free.xml", "--data", "eval", "--output", out, *options)
        stores.append((out / "embeddings.npy").read_bytes() + (out / "meta.json").read_bytes())
    assert len(set(stores)) == 1


@pytest.mark.parametrize("name", ["my cache+", "模型 50%"])
def test_compiled_models_are_kept_in_a_folder_of_any_name(program, worked, tmp_path, name):
    for out in ("cold", "warm"):
        must(
            worked,
            program,
            "--model=free.xml",
            "--data=eval",
            "--output",
            tmp_path / out,
            "--cache_dir",
            tmp_path / name,
        )
    assert list((tmp_path / name).glob("*.blob"))
    stores = [(tmp_path / out / "embeddings.npy").read_bytes() for out in ("cold", "warm")]
    assert stores[0] == stores[1]


def test_recordings_become_the_embeddings_of_their_features(program, worked, tmp_path):
    from mindvox.engines.engine import load_engine

    must(worked, program, "--model", "free.xml", "--wav_list", "wav", "--output", tmp_path)
    made = EmbeddingStore.open(tmp_path)
    assert made.utt_ids == ["id0/a.wav", "id1/a.wav", "id2/a.wav"] and made.spk_ids == ["id0", "id1", "id2"]
    encode = load_engine(worked / "free.xml").encode
    for utt_id, embedding in zip(made.utt_ids, made.embeddings, strict=True):
        feats = FRONT_END.finish(FRONT_END(read_audio(worked / "wav" / utt_id).waveform))
        assert close(embedding, encode(feats[None])[0])


def test_a_model_with_kaldis_front_end_gives_the_embeddings_of_python(program, worked, tmp_path):
    """Windows too: each is finished on its own. A recording of fewer samples than a frame has is named."""
    from mindvox.engines.engine import load_engine

    for name, settings in (("povey", {}), ("plain", {"window": "hamming", "subtract_mean": False, "dither": 1.0})):
        front_end = KaldiFbank(n_mels=NUM_MELS, **settings)
        checkpoint = make_checkpoint(tmp_path / name, front_end)
        model = write_toy(checkpoint, tmp_path / f"{name}.xml", "--length=0", "--batch_size=0")
        encode = load_engine(model).encode
        feats = {f"id{speaker}/a.wav": front_end(noise(speaker, 8000 + 3000 * speaker)) for speaker in range(3)}
        for max_frames in (0, 40):
            infer = (program, "--model", model, "--wav_list", "wav", "--output", tmp_path / "out")
            must(worked, *infer, f"--max_frames={max_frames}")
            made = EmbeddingStore.open(tmp_path / "out")
            assert made.utt_ids == list(feats) and made.identity.front_end == front_end.to_dict()
            for embedding, values in zip(made.embeddings, feats.values(), strict=True):
                edges = window_edges(len(values), max_frames)
                windows = [values[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
                expected = sum(len(window) * encode(front_end.finish(window)[None])[0] for window in windows)
                assert close(embedding, expected / len(values))
    soundfile.write(tmp_path / "short.wav", noise(0, 399), SAMPLE_RATE)
    compare = (program, "--model", model, "--min_duration=0", "--verify")
    done = call(worked, *compare, tmp_path / "short.wav", "wav/id0/a.wav")
    assert done.returncode == 1
    assert "short.wav: too short: 399 samples at 16000 Hz, a frame has 400" in done.stderr


def rewrite(model: Path, folder: Path, changes: dict) -> Path:
    """Copy an IR with other values in its description, and without what only the formats' other versions have."""
    for path in (model, model.with_suffix(".bin")):
        shutil.copy(path, folder)
    content = json.loads(Path(f"{model}.json").read_text())
    if "format_version" in changes:
        content = {key: value for key, value in content.items() if all(key not in keys for keys in VERSIONS.values())}
    (folder / f"{model.name}.json").write_text(json.dumps({**content, **changes}))
    return folder / model.name


VERSIONS = {  # each format of FILE.json as it names what changed
    2: {"num_mels": NUM_MELS, "attention_size": None, "input_kind": "fbank"},
    3: {"feature_size": NUM_MELS, "further_outputs": {}, "input_kind": "features"},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_both_formats_of_the_description_are_read(program, worked, tmp_path, version):
    model = rewrite(worked / "free.xml", tmp_path, {"format_version": version, **VERSIONS[version]})
    must(worked, program, "--model", model, "--data=eval", "--output", tmp_path / "out")
    assert close(EmbeddingStore.open(tmp_path / "out").embeddings, in_python(worked, "free.xml", None))


def test_a_front_end_that_is_not_known_takes_features_and_no_recordings(program, worked, tmp_path):
    model = rewrite(worked / "free.xml", tmp_path, {"front_end": {"type": "mfcc", "hop_length_ms": 20.0}})
    must(tmp_path, program, "--model", model, "--features", worked / "feats", "--output", tmp_path / "out")
    made = EmbeddingStore.open(tmp_path / "out")
    assert close(made.embeddings, in_python(worked, "free.xml", None)[:1])
    assert json.loads((tmp_path / "out" / "report.json").read_text())["audio_s"] == pytest.approx(LENGTHS[0] / 50)
    for recordings in (
        ("--wav_list", "wav", "--output", tmp_path / "o"),
        ("--verify", "wav/id0/a.wav", "wav/id1/a.wav"),
    ):
        done = call(worked, program, "--model", model, *recordings)
        assert done.returncode == 1
        assert done.stderr == (
            f'error: {model}.json: front end "mfcc": this program computes fbank, kaldi_fbank and samples. Export the '
            "model with --input=waveform, which has its front end inside, or give it features "
            "(--data or --features) instead of recordings.\n"
        )


def test_two_recordings_are_compared(program, worked):
    compare = (program, "--model", "free.xml", "--verify", "wav/id0/a.wav")
    assert must(worked, *compare, "wav/id0/a.wav") == "cosine 1.000000\n"
    said = must(worked, *compare, "wav/id1/a.wav").split()
    cosine = float(said[1])
    assert -1 <= cosine < 1
    assert must(worked, *compare, "wav/id1/a.wav", f"--threshold={cosine - 0.01}").split()[2] == "accept"
    assert must(worked, *compare, "wav/id1/a.wav", f"--threshold={cosine + 0.01}").split()[2] == "reject"


def test_single_feature_files_are_run_and_bad_ones_named(program, worked, tmp_path):
    store = EvalStore.open(worked / "eval")
    files = tmp_path / "files"
    files.mkdir()
    np.save(files / "a.npy", store.feats(0))
    store.feats(1).tofile(files / "b.bin")
    for name, content in {
        "cut.npy": (files / "a.npy").read_bytes()[:-7],
        "long.npy": (files / "a.npy").read_bytes() + bytes(4),
        "odd.bin": bytes(NUM_MELS * 4 - 1),
        "empty.npy": b"",
    }.items():
        (files / name).write_bytes(content)
    np.save(files / "double.npy", store.feats(0).astype(np.float64))
    np.save(files / "mels.npy", store.feats(0)[:, 1:].copy())
    np.save(files / "nan.npy", np.where(np.arange(NUM_MELS) == 3, np.nan, store.feats(0)).astype(np.float32))
    np.save(files / "short.npy", store.feats(0)[:5])
    done = call(worked, program, "--model", "free.xml", "--features", files, "--output", tmp_path / "out")
    assert done.returncode == 1
    made = EmbeddingStore.open(tmp_path / "out")
    assert made.utt_ids == ["a.npy", "b.bin"]
    assert close(made.embeddings, in_python(worked, "free.xml", None)[:2])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {failure["utt_id"] for failure in report["failures"]} == {
        "cut.npy", "long.npy", "odd.bin", "empty.npy", "double.npy", "mels.npy", "nan.npy", "short.npy",
    }  # fmt: skip
    assert "error: 8 of 10 utterances failed" in done.stderr
    assert "error: nan.npy: NaN or infinite features" in done.stderr
    assert "5 frames, an embedding needs at least 9" in done.stderr


def damage(folder: Path, kind: str) -> None:
    feats = np.load(folder / "feats.npy")
    if kind == "cut off":
        content = (folder / "feats.npy").read_bytes()
        (folder / "feats.npy").write_bytes(content[:-100])
    elif kind == "oversized":
        np.save(folder / "feats.npy", np.concatenate([feats, feats]))
    elif kind == "NaN":
        feats[70, 2] = np.nan
        np.save(folder / "feats.npy", feats)
    elif kind == "infinite":
        feats[0, 0] = -np.inf
        np.save(folder / "feats.npy", feats)
    elif kind == "wrong dimension":
        np.save(folder / "feats.npy", feats[:, 1:].copy())
    elif kind == "replaced":
        np.save(folder / "feats.npy", feats + 1)
    elif kind == "missing":
        (folder / "feats.npy").unlink()
    elif kind == "no index":
        (folder / "index.csv").unlink()
    else:
        assert kind == "other front end"
        meta = json.loads((folder / "meta.json").read_text())
        meta["front_end"]["top_db"] = 70
        (folder / "meta.json").write_text(json.dumps(meta))


def name_content(folder: Path, mark: bytes = b"") -> None:
    """Let a store's meta.json name the content that is there; `mark` is put before it."""
    meta = json.loads((folder / "meta.json").read_text())
    meta["sha256"] = content_sha256(folder)
    (folder / "meta.json").write_bytes(mark + json.dumps(meta).encode())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut off", "feats.npy: its header says (385, 16), but it has"),
        ("oversized", "expect float32 (385, 16), got (770, 16)"),
        ("NaN", "test1/1.wav: NaN or infinite features"),
        ("infinite", "test0/0.wav: NaN or infinite features"),
        ("wrong dimension", "expect float32 (385, 16), got (385, 15)"),
        ("replaced", "feats.npy and index.csv are not the content that meta.json names"),
        ("missing", "feats.npy: No such file"),
        ("no index", "index.csv: No such file"),
        ("other front end", "made with another front end: top_db 70.0 (expected 80.0)"),
    ],
)
def test_a_damaged_store_is_exit_code_1_and_leaves_no_embeddings(program, worked, tmp_path, kind, said):
    shutil.copytree(worked / "eval", tmp_path / "eval")
    out = tmp_path / "out"
    must(worked, program, "--model", "free.xml", "--data", tmp_path / "eval", "--output", out)
    damage(tmp_path / "eval", kind)
    if kind in ("NaN", "infinite"):
        name_content(tmp_path / "eval")
    done = call(worked, program, "--model", "free.xml", "--data", tmp_path / "eval", "--output", out)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    # What cannot be opened is found before anything is touched; later, the old result must not pass for the new one.
    assert (out / "meta.json").exists() == (kind not in ("NaN", "infinite", "replaced"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model=nowhere.onnx", "--data=eval", "--output=o"], 1, "nowhere.onnx: no such model"),
        (["--model=wave.onnx", "--data=eval", "--output=o"], 1, "eval: holds features, and wave.onnx takes samples"),
        (["--model=wave.onnx", "--features=feats", "--output=o"], 1, "--features: holds features, and wave.onnx takes"),
        (["--model=wave.onnx", "--wav_list=wav", "--output=o", "--precision=bf16"], 2, "inside, which need f32"),
        (["--model=free.xml", "--data=wav", "--output=o"], 1, "wav: not a complete store"),
        (["--model=free.xml", "--data=eval", "--output=config.yaml"], 1, "config.yaml: "),
        (["--model=free.xml", "--data=eval", "--output=o", "--cut_frames=5"], 2, "expected at least 9"),
        (
            ["--model=fixed.onnx", "--data=eval", "--output=o", "--cut_frames=41"],
            2,
            "41 was given, fixed.onnx takes 40",
        ),
        (["--model=fixed.onnx", "--data=eval", "--output=o", "--batch_size=2"], 2, "2 was given, fixed.onnx takes 3"),
        (["--model=free.xml", "--data=eval", "--output=o", "--precision=f16"], 2, "f32 and bf16"),
        (["--model=free.xml", "--data=eval", "--output=o", "--device=ascend"], 2, "OpenVINO runs on the CPU"),
        (["--model=free.xml", "--verify", "wav/id0/a.wav", "none.wav"], 1, "none.wav: No such file"),
        (["--model=free.xml", "--wav_list=config.yaml", "--output=o"], 1, "utterances failed"),
    ],
)
def test_wrong_use_has_its_message_and_exit_code(program, worked, arguments, code, said):
    done = call(worked, program, *arguments)
    assert done.returncode == code
    assert said in done.stderr and "error: " in done.stderr


def test_an_altered_model_is_refused(program, worked, tmp_path):
    for name in ("free.xml", "free.xml.json", "free.bin"):
        shutil.copy(worked / name, tmp_path)
    weights = tmp_path / "free.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    done = call(tmp_path, program, "--model=free.xml", "--data", worked / "eval", "--output=o")
    assert done.returncode == 1 and "free.bin: not the file that free.xml.json describes" in done.stderr


def test_features_are_those_of_python(checks, worked, tmp_path):
    """On real speech where it is there, on silence, a square wave, other rates and channels."""
    files = sorted(CORPUS.glob("*/*/*.flac"))[::3]
    time = np.arange(9000) / SAMPLE_RATE
    signals = {
        "silence": (np.where(time < 0.3, 0, noise(0, len(time))), 16000),
        "square": (np.sign(np.sin(2 * np.pi * 440 * time)), 16000),
        "tiny": (noise(1, 100), 16000),
        "stereo": (np.stack([noise(2, 9000), noise(3, 9000)], axis=1), 16000),
        "rate8": (noise(4, 8000), 8000),
        "rate44": (noise(5, 44100), 44100),
    }
    for name, (samples, rate) in signals.items():
        files.append(tmp_path / f"{name}.wav")
        soundfile.write(files[-1], samples, rate, subtype="FLOAT")
    for path in files:
        expected = Fbank()(read_audio(path).waveform)
        feats = features_of(checks, path, Fbank().to_dict(), tmp_path)
        assert feats.shape == expected.shape
        assert np.abs(feats - expected).max() <= FEATURE_BOUND, path


def features_of(checks: Path, path: Path, front_end: dict, folder: Path) -> np.ndarray:
    """Return the features of a recording that the C++ code makes with a stored front end."""
    (folder / "front_end.json").write_text(json.dumps(front_end))
    must(folder, checks / "tests" / "dump_feats", "front_end.json", path, "feats.npy")
    return np.load(folder / "feats.npy")


@pytest.mark.parametrize("name", ["front_ws_fbank80", "front_3d_fbank80", "front_mv_fbank80_meannorm"])
def test_kaldi_features_are_those_of_the_reference(checks, tmp_path, name):
    """Ten times what float32 deviates there; 3e-4 for a double-precision transform on values near the floor."""
    if not VECTORS.is_dir():
        pytest.skip("needs ../shared/reference/vectors")
    case = np.load(VECTORS / f"{name}.npz")
    meta = json.loads(str(case["meta"]))
    settings = {"window": "hamming", "waveform_scale": 32768.0} if "_ws_" in name else {}
    front_end = KaldiFbank(**settings)
    bound = max(10 * meta["float32_max_abs_dev"], 3e-4)
    for index, utterance in enumerate(meta["utterances"]):
        feats = features_of(checks, CORPUS.parents[1] / utterance, front_end.to_dict(), tmp_path)
        if "meannorm" in name:
            feats = front_end.finish(feats)
        assert feats.shape == case[f"y{index}"].shape
        assert np.abs(feats - case[f"y{index}"]).max() <= bound


KALDI_SETTINGS = [
    {},
    {"window": "hamming", "waveform_scale": 32768.0, "n_mels": 40, "preemphasis": 0.0},
    {"win_length_ms": 32.0, "hop_length_ms": 8.0, "f_min": 0.0, "f_max": 3700.0},
    {"sample_rate": 22050, "f_max": 11025.0},  # 25 ms are 551.25 samples
]


@pytest.mark.parametrize("settings", KALDI_SETTINGS)
def test_kaldi_features_are_those_of_python(checks, tmp_path, settings):
    front_end = KaldiFbank(**settings)
    rate = front_end.sample_rate
    for seed, num_samples in enumerate((front_end.num_samples(1), front_end.num_samples(2) - 1, 9001, 70001)):
        samples = noise(seed, num_samples)
        samples[num_samples // 3 : num_samples // 2] = 0
        soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
        expected = front_end(samples)
        feats = features_of(checks, tmp_path / "a.wav", front_end.to_dict(), tmp_path)
        assert feats.shape == expected.shape
        assert np.abs(feats - expected).max() <= KALDI_BOUND, num_samples


@pytest.mark.parametrize(
    ("model", "cut"), [("free.xml", "false"), pytest.param("fixed.onnx", "true", marks=pytest.mark.slow)]
)
def test_script_scores_as_the_checkpoint_does(program, worked, model, cut):
    """A free model at full length, a fixed one with cut_wav."""
    options = ("--config_path=config.yaml", f"--cut_wav={cut}")
    evaluate = (sys.executable, ROOT / "eval.py", *options, "--model_path=ckpt", "--allow_seen_speakers=true")
    evaluated = score_lines(must(worked, *evaluate))
    assert len(evaluated) == 3
    infer = ("bash", ROOT / "scripts" / "run_infer_310.sh", model, "eval", "0", *options)
    assert score_lines(must(worked, *infer)) == evaluated
    assert score_lines((worked / "acc.log").read_text()) == evaluated
    engine = json.loads((worked / "infer_result" / "norm" / "meta.json").read_text())["engine"]
    assert engine.startswith("openvino ") and engine.endswith(" CPU f32")


def test_script_passes_the_programs_options_and_refuses_what_it_cannot_do(program, worked):
    infer = ("bash", ROOT / "scripts" / "run_infer_310.sh", "free.xml", "eval", "0", "--config_path=config.yaml")
    must(worked, *infer, ECAPA_INFER_OPTIONS="--precision bf16 --workers 2")
    assert json.loads((worked / "infer_result" / "eval" / "meta.json").read_text())["engine"].endswith(" CPU bf16")
    must(worked, *infer, "--max_frames=40")
    identity = EmbeddingStore.open(worked / "infer_result" / "eval").identity
    assert (identity.max_frames, identity.engine.split()[-1]) == (40, "f32")
    done = call(worked, *infer, "--eval_crops=2")
    assert done.returncode == 2 and "eval_crops: the C++ program embeds utterances" in done.stderr
    (worked / "any.mindir").write_bytes(b"")
    done = call(
        worked, *infer[:2], "any.mindir", "eval", ECAPA_INFER_OPTIONS="--workers 2", LITE_HOME="", MS_LITE_HOME=""
    )
    assert done.returncode == 2 and "ECAPA_INFER_OPTIONS: is for the C++ program" in done.stderr
    done = call(worked, "bash", ROOT / "ascend310_infer" / "build.sh", LITE_HOME="nowhere")
    assert done.returncode == 2 and "LITE_HOME: nowhere does not exist" in done.stderr
    done = call(worked, "bash", ROOT / "ascend310_infer" / "build.sh", "word")
    assert done.returncode == 2 and "expected -DNAME=VALUE, got 'word'" in done.stderr


def test_cut_frames_of_python_is_what_the_program_does(program, worked, tmp_path):
    """Cutting repeats what is short, before the mean is subtracted."""
    from mindvox.engines.engine import load_engine

    must(worked, program, "--model", "free.xml", "--data", "eval", "--output", tmp_path, "--cut_frames", 80)
    made = EmbeddingStore.open(tmp_path).embeddings
    feats = cut_frames(EvalStore.open(worked / "eval").feats(7), 80)
    assert close(made[7], load_engine(worked / "free.xml").encode(subtract_mean(feats)[None])[0])


def failures_of(folder: Path) -> dict[str, str]:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {failure["utt_id"]: failure["reason"] for failure in report["failures"]}


def test_broken_and_odd_recordings_get_the_verdicts_of_python(program, worked, tmp_path):
    verdicts.write_all(tmp_path / "wav")
    done = call(worked, program, "--model", "free.xml", "--wav_list", tmp_path / "wav", "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    failures = failures_of(tmp_path / "out")
    expected = {name: case.verdict for name, case in verdicts.CASES.items()}
    wrong = {
        name: (reason, failures.get(name, ""))
        for name, reason in expected.items()
        if bool(reason) != (name in failures) or not failures.get(name, "").startswith(reason)
    }
    assert not wrong
    made = EmbeddingStore.open(tmp_path / "out")
    assert made.utt_ids == sorted(name for name, reason in expected.items() if not reason)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["num_utterances"] == len(expected)


def test_length_of_usable_recordings_is_that_of_the_table(checks, tmp_path):
    verdicts.write_all(tmp_path / "wav")
    hop = 160
    for name, case in verdicts.CASES.items():
        if case.verdict or not case.num_samples:
            continue
        feats = features_of(checks, tmp_path / "wav" / name, Fbank().to_dict(), tmp_path)
        assert feats.shape == (1 + case.num_samples // hop, 80), name


@pytest.mark.parametrize(
    ("name", "reason"), [(name, case.verdict) for name, case in verdicts.CASES.items() if case.verdict][::4]
)
def test_verify_refuses_what_says_nothing_about_a_speaker(program, worked, tmp_path, name, reason):
    """Two silent files are not the same speaker."""
    path = tmp_path / name
    verdicts.CASES[name].make(path)
    shutil.copy(path, tmp_path / f"copy_{name}")
    compare = (program, "--model", "free.xml", "--threshold=0.5", "--verify")
    for pair in ((path, tmp_path / f"copy_{name}"), (path, "wav/id0/a.wav"), ("wav/id0/a.wav", path)):
        done = call(worked, *compare, *pair)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {path}: {reason}" in done.stderr


def test_limits_of_a_recording_can_be_set(program, worked, tmp_path):
    verdicts.CASES["too_short.wav"].make(tmp_path / "a.wav")
    verdicts.CASES["clipped.wav"].make(tmp_path / "b.wav")
    infer = (program, "--model=free.xml", "--wav_list", tmp_path, "--output", tmp_path / "out")
    done = call(worked, *infer)
    assert done.returncode == 1 and set(failures_of(tmp_path / "out")) == {"a.wav", "b.wav"}
    must(worked, *infer, "--min_duration=0.09", "--max_clipped_fraction=1")
    done = call(worked, *infer, "--min_duration=2", "--max_clipped_fraction=1")
    assert "too short: 1.000 s, shorter than min_duration 2 s" in failures_of(tmp_path / "out")["b.wav"]


def test_every_recording_of_a_folder_is_embedded_or_listed(program, worked, tmp_path):
    wav = tmp_path / "wav"
    (wav / "id1").mkdir(parents=True)
    for name in ("id1/a.WAV", "id1/b.Flac", "id1/c.mp3", "d.aiff"):
        soundfile.write(wav / name, verdicts.LONG, SAMPLE_RATE, format=name.rsplit(".")[1].upper())
    for name in ("id1/e.m4a", "id1/f.MP4", "g.wma"):
        (wav / name).write_bytes(bytes(1000))
    (wav / "notes.txt").write_text("no audio")
    (wav / "id1" / "latest").symlink_to("..")
    (wav / "self").symlink_to("self")
    (wav / "gone.wav").symlink_to("nowhere")
    done = call(worked, program, "--model=free.xml", "--wav_list", wav, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert EmbeddingStore.open(tmp_path / "out").utt_ids == ["d.aiff", "id1/a.WAV", "id1/b.Flac", "id1/c.mp3"]
    failures = failures_of(tmp_path / "out")
    assert set(failures) == {"g.wma", "gone.wav", "id1/e.m4a", "id1/f.MP4", "self"}
    assert failures["id1/f.MP4"].startswith("mp4: ") and failures["gone.wav"] == "a link to nothing"
    assert "error: 5 of 9 utterances failed" in done.stderr
    for name, reason in failures.items():
        assert f"error: {name}: {reason}" in done.stderr
    assert "latest: a link to files that are listed already" in done.stderr


def test_spellings_of_one_name_are_one_utterance(program, worked, tmp_path):
    wav = worked / "wav"
    infer = (program, "--model=free.xml", "--wav_list", tmp_path / "list.txt", "--output", tmp_path / "out")
    (tmp_path / "list.txt").write_text(
        f"{wav}/./id0//a.wav\nid1\\a.wav\t{wav}/id1/a.wav\n./x/../id2/a.wav\t{wav}/id2/a.wav\n"
    )
    must(worked, *infer)
    made = EmbeddingStore.open(tmp_path / "out")
    assert made.utt_ids == ["id0/a.wav", "id1/a.wav", "id2/a.wav"] and made.spk_ids == ["id0", "id1", "id2"]
    for other in ("./wav/id0/a.wav", "wav//id0/../id0/a.wav", "id0/a.wav\twav/id0/a.wav"):
        (tmp_path / "list.txt").write_text(f"wav/id0/a.wav\n{other}\n")
        done = call(worked, *infer)
        assert done.returncode == 1 and "list.txt:2: id0/a.wav is there twice, first in line 1" in done.stderr
    (tmp_path / "list.txt").write_text("../id0/a.wav\n")
    done = call(worked, *infer)
    assert done.returncode == 1 and "list.txt:1: '../id0/a.wav' leads out of the corpus's folder" in done.stderr


@pytest.mark.parametrize("language", ["C", "POSIX", "de_DE.ISO-8859-1", "zh_CN.GBK", "C.UTF-8"])
def test_text_is_utf8_in_every_locale(program, worked, tmp_path, language):
    wav = tmp_path / "录音" / "wav" / "zoë"
    wav.mkdir(parents=True)
    for name in ("ü.wav", "b.wav"):
        soundfile.write(wav / name, noise(1, 8000), SAMPLE_RATE)
    environment = {"LC_ALL": language, "LANG": language}
    out = tmp_path / "out"
    must(worked, program, "--model=free.xml", "--wav_list", wav.parent, "--output", out, **environment)
    assert EmbeddingStore.open(out).utt_ids == ["zoë/b.wav", "zoë/ü.wav"]
    lines = [f"zoë/{name}\t{wav / name}" for name in ("ü.wav", "b.wav")]
    for text in (
        "\n".join(lines),
        "\r\n".join(lines) + "\r\n\r\n",
        "\r".join(lines) + "\r",
        "\n\n".join(lines) + "\n \n",
    ):
        (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
        must(worked, program, "--model=free.xml", "--wav_list", tmp_path / "list.txt", "--output", out, **environment)
        assert EmbeddingStore.open(out).utt_ids == ["zoë/ü.wav", "zoë/b.wav"]
    (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-16")
    done = call(worked, program, "--model=free.xml", "--wav_list", tmp_path / "list.txt", "--output", out)
    assert done.returncode == 1 and "list.txt:1: expected UTF-8 text, got UTF-16" in done.stderr


def test_files_of_a_store_may_begin_with_a_byte_order_mark(program, worked, tmp_path):
    """As an editor of Windows saves them, with its line ends and a blank last line."""
    shutil.copytree(worked / "eval", tmp_path / "eval")
    path = tmp_path / "eval" / "index.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    name_content(tmp_path / "eval", b"\xef\xbb\xbf")
    for name in ("free.xml", "free.xml.json", "free.bin"):
        shutil.copy(worked / name, tmp_path)
    path = tmp_path / "free.xml.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    must(tmp_path, program, "--model=free.xml", "--data=eval", "--output=out")
    assert EmbeddingStore.open(tmp_path / "out").utt_ids == EvalStore.open(worked / "eval").utt_ids


@pytest.mark.parametrize("num_times", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_two_programs_in_one_folder_write_one_after_the_other(program, worked, tmp_path, num_times):
    """Each pair leaves the embeddings and the identity of one of both."""
    inputs = {"eval": len(LENGTHS), "norm": 12}
    hashes = {EvalStore.open(worked / name).sha256: count for name, count in inputs.items()}
    out = tmp_path / "out"
    for _ in range(num_times):
        running = [
            subprocess.Popen(
                [program, "--model=free.xml", f"--data={name}", "--output", out], cwd=worked, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for name in inputs
        ]  # fmt: skip
        said = [process.communicate()[1] for process in running]
        assert [process.returncode for process in running] == [0, 0], said
        made = EmbeddingStore.open(out)
        assert len(made.utt_ids) == hashes[made.identity.store_sha256]
        assert sorted(os.listdir(out)) == ["embeddings.npy", "index.csv", "meta.json", "report.json"]


def test_lock_of_python_holds_for_the_program_and_ends_with_its_holder(program, worked, tmp_path):
    hold = (
        "import sys, time\nfrom mindvox.files import lock_folder\n"
        f"with lock_folder({str(tmp_path / 'out')!r}):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    infer = (program, "--model=free.xml", "--data=eval", "--output", tmp_path / "out")
    waiting = subprocess.Popen(infer, cwd=worked, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert f"waiting for process {holder.pid} on " in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(10) == -signal.SIGINT
    second = subprocess.Popen(infer, cwd=worked, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    second.stderr.readline()
    assert not (tmp_path / "out" / "meta.json").exists()
    holder.kill()
    holder.wait()
    assert second.wait(60) == 0
    assert (tmp_path / "out" / "meta.json").exists() and not (tmp_path / "out" / ".lock").exists()


def test_interrupted_program_leaves_its_folder_unlocked(program, worked, tmp_path):
    out = tmp_path / "out"
    infer = (program, "--model=free.xml", "--wav_list", tmp_path / "wav", "--output", out)
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "a.flac", np.tile(verdicts.NOISE, 1200), SAMPLE_RATE)
    running = subprocess.Popen(infer, cwd=worked, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (out / ".lock").exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == -signal.SIGINT
    must(worked, *infer[:2], "--data=eval", "--output", out)


def test_killed_program_goes_on_where_it_stopped(program, worked, tmp_path):
    """The list is long enough for a part to be written and another to be missing, however fast this machine is."""
    soundfile.write(tmp_path / "a.wav", noise(0, 3 * SAMPLE_RATE), SAMPLE_RATE)
    infer = (program, "--model=free.xml", "--wav_list", tmp_path / "list.txt", "--batch_size=4", "--output")
    for count in (250, 1000, 4000, 16000):
        names = [f"s{row % 7}/{row}\t{tmp_path / 'a.wav'}\n" for row in range(count)]
        (tmp_path / "list.txt").write_text("".join(names))
        killed = tmp_path / f"killed_{count}"
        if not was_killed(subprocess.Popen([*infer, killed], cwd=worked), killed / ".parts"):
            continue
        assert not (killed / "meta.json").exists()
        (killed / ".parts" / "part-000099").write_bytes(b"damaged")
        said = must(worked, *infer, killed)
        num_kept = json.loads((killed / "report.json").read_text())["num_kept"]
        if num_kept < count:
            break
    else:
        pytest.fail("no run was killed between its first part and its last")
    assert num_kept > 0 and said.startswith(f"{count - num_kept} embeddings in ")
    assert said.endswith(f"; {num_kept} of an earlier run\n")

    assert "earlier" not in must(worked, *infer, tmp_path / "whole")
    files = {path.name for path in (tmp_path / "whole").iterdir()}
    assert files == {path.name for path in killed.iterdir()} and ".parts" not in files
    for name in files - {"report.json"}:  # which has times
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def was_killed(running: subprocess.Popen, parts: Path) -> bool:
    """Kill the program when it has written a part; return False where it ended before."""
    while running.poll() is None:
        if list(parts.glob("part-*")):
            running.send_signal(signal.SIGKILL)
            return running.wait() == -signal.SIGKILL
        time.sleep(0.002)
    return False


@pytest.mark.parametrize("kind", ["S_ISDIR", "S_ISREG"])
def test_file_system_that_cannot_sync_is_said_once(program, worked, tmp_path, kind):
    source = tmp_path / "refuse.c"
    source.write_text(
        "#include <errno.h>\n#include <sys/stat.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n"
        "int fsync(int handle) {\n  struct stat status;\n  fstat(handle, &status);\n"
        f"  if (!{kind}(status.st_mode)) return syscall(SYS_fsync, handle);\n"
        "  errno = ERROR;\n  return -1;\n}\n"
    )
    for number, code in (("EINVAL", 0), ("ENOTSUP", 0), ("ENOSPC", 1)):
        library = tmp_path / f"{number}.so"
        must(tmp_path, "cc", "-shared", "-fPIC", f"-DERROR={number}", source, "-o", library)
        done = call(
            worked, program, "--model=free.xml", "--data=eval", "--output", tmp_path / number, LD_PRELOAD=str(library)
        )
        assert done.returncode == code, done.stderr
        assert done.stderr.count("this file system cannot sync it") == (0 if code else 1)
        assert (tmp_path / number / "meta.json").exists() == (not code)


def test_long_utterances_are_embedded_in_the_windows_of_python(program, worked, tmp_path):
    from mindvox.engines.engine import load_engine

    store = EvalStore.open(worked / "eval")
    for model in ("free.xml", "free.onnx"):
        infer = (program, "--model", model, "--data=eval", "--output", tmp_path, "--batch_size=4")
        must(worked, *infer, "--max_frames=40")
        made = EmbeddingStore.open(tmp_path)
        expected = extract(load_engine(worked / model).encode, store, None, 4, progress=False, max_frames=40)
        assert close(made.embeddings, expected) and made.identity.max_frames == 40
        assert not close(made.embeddings, in_python(worked, model, None))
    for options in ((), ("--max_frames=0",), ("--max_frames=90",)):
        must(worked, *infer, *options)
        made = EmbeddingStore.open(tmp_path)
        assert close(made.embeddings, in_python(worked, "free.xml", None)) and made.identity.max_frames is None
        assert "max_frames" not in json.loads((tmp_path / "meta.json").read_text())
    must(worked, *infer, "--max_frames=40", "--cut_frames=45")
    assert EmbeddingStore.open(tmp_path).identity.max_frames is None
    done = call(worked, *infer, "--max_frames=17")
    assert done.returncode == 2 and "--max_frames: expected 0 or at least 18, got 17" in done.stderr


@pytest.mark.slow
def test_two_hours_stay_below_two_gigabytes(program, tmp_path):
    """At C = 1024, from 44.1 kHz; VmHWM is the most memory that the program had."""
    checkpoint = make_checkpoint(tmp_path / "ckpt", Fbank(), in_channels=80, channels=1024, emb_size=192)
    write_toy(
        checkpoint, tmp_path / "m.xml", "--length=0", "--batch_size=0", "--inChannels=80", "--channel=80",
        "--channels=1024", "--emb_size=192",
    )  # fmt: skip
    second = (0.1 * np.random.default_rng(0).standard_normal(44100)).astype(np.float32)
    (tmp_path / "wav").mkdir()
    with soundfile.SoundFile(tmp_path / "wav" / "long.flac", "w", 44100, 1) as file:
        for _ in range(7200):
            file.write(second)
    running = subprocess.Popen([program, "--model=m.xml", "--wav_list=wav", "--output=out"], cwd=tmp_path)
    peak_kib = 0
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/status").read_text()
        peak_kib = max([peak_kib, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.5)
    assert running.returncode == 0
    print(f"peak {peak_kib / 1024:.0f} MiB")
    assert peak_kib < 2 * 1024 * 1024
    assert EmbeddingStore.open(tmp_path / "out").identity.max_frames == 15000


def test_message_about_memory_names_the_utterance(program, tmp_path):
    """Without windows, under a bound on the address space, with a model that needs 370 MB at each layer.

    OpenVINO 2026.4.1 then returns without an error, with the embedding of the utterance before as the result.
    """
    checkpoint = make_checkpoint(tmp_path / "ckpt", channels=128)
    write_toy(checkpoint, tmp_path / "wide.xml", "--length=0", "--batch_size=0", "--channels=128")
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "long.flac", np.tile(verdicts.NOISE, 7200), SAMPLE_RATE)
    soundfile.write(tmp_path / "wav" / "short.flac", verdicts.NOISE, SAMPLE_RATE)
    infer = f"ulimit -v 700000; exec {program} --model=wide.xml --wav_list=wav --output=out --threads=1"
    done = call(tmp_path, "bash", "-c", f"{infer} --max_frames=0")
    assert done.returncode == 1
    assert "error: long.flac: " in done.stderr and "memory" in done.stderr
    assert EmbeddingStore.open(tmp_path / "out").utt_ids == ["short.flac"]
    done = call(tmp_path, "bash", "-c", infer)
    assert done.returncode == 0, done.stderr
