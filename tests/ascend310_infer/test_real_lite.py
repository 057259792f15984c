"""The C++ program with the real MindSpore Lite 2.0.0 on a CPU, against MindSpore.

PyPI's wheel holds the library and its C++ headers. It is downloaded once and kept, unpacked, in the user's cache.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mindvox.deploy.export as export_module
from mindvox.config import Config, load_config
from mindvox.embedder import Embedder
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.frontend.fbank import Fbank
from mindvox.models import create_model
from mindvox.models.checkpoint import checkpoint_path, write_checkpoint
from mindvox.registry import MODELS
from mindvox.scoring.embeddings import EmbeddingStore
from tests.ascend310_infer.conftest import LINK_PACKAGES, PACKAGES, need
from tests.ascend310_infer.runs import LENGTHS, in_python, score_lines, write_store
from tests.deploy.toy import NUM_MELS, make_checkpoint, random_feats, save_description, uncompiled_encoder, write_toy
from tests.model_sizes import crop_frames, front_end_for, settings_of
from tests.processes import call, must, skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "mini_librispeech"
VERSION = "2.0.0"
FREE = ("--length=0", "--batch_size=0")
COSINE = 0.9999
BOUND = 1e-4  # of the greatest value
REFUSED = {"redimnet2": "Erf, LayerNorm, MatMulExt", "res2net": "AvgPool", "res2netse34": "AvgPool"}  # at export
# Needs the program built with Lite, which takes a minute. By default Lite reads and runs the models below, and the
# program's engine for it runs with a small library in Lite's place: ascend310_infer/tests/test_mslite.cc.
BUILT = pytest.mark.slow


@pytest.fixture(scope="session")
def lite_home(tmp_path_factory) -> Path:
    """The wheel's folder mindspore_lite, which is what LITE_HOME names."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ecapa-tests"
    unpacked = cache / f"mindspore_lite-{VERSION}"
    if not unpacked.is_dir():
        folder = tmp_path_factory.mktemp("wheel")
        platform = ["--python-version", "3.7", "--implementation", "cp", "--abi", "cp37m"]
        platform += ["--platform", "manylinux1_x86_64", "--only-binary=:all:", "--no-deps"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", *platform, f"mindspore-lite=={VERSION}", "-d", folder],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            reason = f"mindspore-lite {VERSION} could not be downloaded: {done.stderr.strip()[-300:]}"
            skip_or_fail(reason)
        cache.mkdir(parents=True, exist_ok=True)
        staged = cache / f".{unpacked.name}.{os.getpid()}"
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extractall(staged)
        staged.rename(unpacked)
    return unpacked / "mindspore_lite"


@pytest.fixture(scope="session")
def project(lite_home, tmp_path_factory) -> Path:
    """A copy of the project whose program was built with Lite, found at LITE_HOME as a user sets it."""
    need(PACKAGES)
    folder = tmp_path_factory.mktemp("project")
    for name in ("scripts", "src", "ascend310_infer"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("build", "build-*", "__pycache__"))
    for name in ROOT.glob("requirements*.txt"):
        shutil.copy(name, folder)
    # Not optimised, which takes a third of the time: `program` is the build that users have. The environment
    # says so: with another option than the scripts', they would build again.
    must(folder, "bash", "ascend310_infer/build.sh", LITE_HOME=str(lite_home), CMAKE_BUILD_TYPE="Debug")
    return folder


@pytest.fixture(scope="session")
def worked(tmp_path_factory) -> Path:
    """A folder with models for Lite and stores."""
    folder = tmp_path_factory.mktemp("lite")
    checkpoint = make_checkpoint(folder / "ckpt")
    write_toy(checkpoint, folder / "free.mindir", *FREE, "--mindir_version=1")
    write_toy(checkpoint, folder / "fixed.mindir", "--length=40", "--batch_size=3", "--mindir_version=1")
    write_toy(checkpoint, folder / "new.mindir", *FREE)
    write_store(folder / "eval", "test", LENGTHS, with_trials=True)
    write_store(folder / "norm", "cohort", (40,) * 12)
    (folder / "config.yaml").write_text(
        f"inChannels: {NUM_MELS}\nchannels: 16\nemb_size: 6\ndevice_target: auto\ncut_frames: 40\n"
        "eval_data_path: eval\ntrain_norm_path: norm\n"
    )
    return folder


def program(project: Path) -> Path:
    return project / "ascend310_infer" / "build" / "ecapa_infer"


of_mindspore = cache(in_python)


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


@BUILT
@pytest.mark.parametrize(
    ("model", "options", "frames"),
    [
        ("free.mindir", (), None),
        ("free.mindir", ("--workers=2", "--threads=2", "--batch_size=2"), None),
        ("free.mindir", ("--workers=3", "--cut_frames=45", "--device=cpu"), 45),
        ("fixed.mindir", (), 40),
        ("fixed.mindir", ("--workers=2",), 40),
    ],
)
def test_embeddings_are_those_of_mindspore(project, worked, tmp_path, model, options, frames):
    must(worked, program(project), "--model", model, "--data", "eval", "--output", tmp_path, *options)
    made = EmbeddingStore.open(tmp_path)
    expected = of_mindspore(worked, model, frames)
    assert least_cosine(made.embeddings, expected) >= COSINE
    assert np.abs(made.embeddings - expected).max() <= BOUND * np.abs(expected).max()
    assert made.identity.engine == f"mindspore lite {VERSION} CPU f32"


@BUILT
@pytest.mark.parametrize("model", ["free.mindir", "fixed.mindir"])
def test_library_embeds_as_python(project, worked, tmp_path, model):
    need(LINK_PACKAGES)
    must(project, "cmake", "--install", "ascend310_infer/build", "--prefix", tmp_path)
    paths = {"PKG_CONFIG_PATH": str(tmp_path / "lib" / "pkgconfig")}
    flags = must(tmp_path, "pkg-config", "--cflags", "--libs", "mindvox", **paths).split()
    example = project / "ascend310_infer" / "examples" / "compare.c"
    must(tmp_path, "cc", example, *flags, f"-Wl,-rpath,{tmp_path / 'lib'}", "-o", "compare")
    for row in range(2):
        samples = np.random.default_rng(row).uniform(-0.5, 0.5, 5000 + 4000 * row)
        soundfile.write(tmp_path / f"{row}.wav", samples, 16000)
    must(tmp_path, "./compare", worked / model, "0.wav", "1.wav", "embeddings")
    made = np.fromfile(tmp_path / "embeddings", np.float32).reshape(2, -1)
    embedder = Embedder.open(worked / model)
    expected = np.stack([embedder.embed(tmp_path / f"{row}.wav") for row in range(2)])
    assert least_cosine(made, expected) >= COSINE


def infer(project: Path, lite_home: Path, folder: Path, model: str, *options: str) -> list[str]:
    """Score by run_infer_310.sh; nothing but LITE_HOME says where Lite is."""
    script = ("bash", project / "scripts" / "run_infer_310.sh", model, "eval", "0", "--config_path=config.yaml")
    return score_lines(must(folder, *script, *options, LITE_HOME=str(lite_home), LD_LIBRARY_PATH=""))


def evaluate(folder: Path, *options: str) -> list[str]:
    command = (sys.executable, ROOT / "eval.py", "--config_path=config.yaml", "--model_path=ckpt")
    return score_lines(must(folder, *command, "--allow_seen_speakers=true", "--device_target=CPU", *options))


@BUILT
@pytest.mark.parametrize(
    ("model", "options"),
    [("free.mindir", ()), ("fixed.mindir", ("--cut_wav=true",))],
)
def test_script_scores_as_the_checkpoint_does(project, lite_home, worked, model, options):
    assert infer(project, lite_home, worked, model, *options) == evaluate(worked, *options)


@BUILT
def test_a_file_that_is_too_new_is_refused_with_the_cause_and_the_cure(project, worked):
    done = call(worked, program(project), "--model=new.mindir", "--data=eval", "--output=o")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("error: MindSpore Lite: Build of new.mindir failed: ")
    assert "Its log says: 'This software can only support the maximum mind ir version: 1" in message
    assert "The file has version 3 of the format, which MindSpore Lite 2." in message
    assert f"is known to read; this one is {VERSION}. " in message
    assert "Export with --mindir_version=1" in message


@BUILT
def test_a_damaged_file_is_refused_with_the_librarys_reason(project, worked, tmp_path):
    """Second variant: another cause of a failed Build."""
    path = tmp_path / "cut.mindir"
    path.write_bytes((worked / "free.mindir").read_bytes()[:-1000])
    save_description(path, ExportedModel.read(worked / "free.mindir"))
    done = call(worked, program(project), "--model", path, "--data=eval", "--output=o")
    assert done.returncode == 1 and "Its log says: '" in done.stderr.splitlines()[-1]


@BUILT
@pytest.mark.parametrize("option", ["--precision=f16", "--device=ascend"])
def test_what_the_cpu_library_cannot_do_is_refused(project, worked, option):
    done = call(worked, program(project), "--model=free.mindir", "--data=eval", "--output=o", option)
    assert done.returncode == 2, done.stderr
    said = {"--precision=f16": "computes in f32 on x86", "--device=ascend": "was exported for a CPU"}
    assert said[option] in done.stderr


@pytest.fixture(scope="session")
def lite_outputs(lite_home, tmp_path_factory):
    """A function that runs a model in Lite: file, input, shapes of the outputs to the outputs."""
    need(PACKAGES)
    folder = tmp_path_factory.mktemp("outputs")
    source = ROOT / "ascend310_infer" / "tests" / "lite_outputs.cc"
    library = lite_home / "lib" / "libmindspore-extendrt_python.so"
    link = [library, "-Wl,--disable-new-dtags", f"-Wl,-rpath,{library.parent}"]
    headers = ["-isystem", lite_home, "-isystem", lite_home / "include"]
    must(folder, "c++", "-std=c++17", *headers, source, *link, "-o", "run")

    def outputs(model: Path, batch: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        batch.tofile(folder / "input")
        must(folder, folder / "run", model, "input", ",".join(map(str, batch.shape)), "output")
        made = [np.fromfile(folder / f"output.{index}", np.float32) for index in range(len(shapes))]
        return [values.reshape(shape) for values, shape in zip(made, shapes, strict=True)]

    return outputs


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ((*FREE, "--outputs=embedding,attention"), (2, 50, NUM_MELS)),
        (("--length=40", "--batch_size=1", "--outputs=embedding,attention", "--input=waveform"), (1, 39 * 160)),
    ],
)
def test_attention_and_waveform_models_give_mindspores_outputs(lite_outputs, tmp_path, options, shape):
    path = write_toy(make_checkpoint(tmp_path), tmp_path / "m.mindir", *options, "--mindir_version=1")
    rng = np.random.default_rng(0)
    batch = random_feats(*shape[:2]) if len(shape) == 3 else 0.1 * rng.standard_normal(shape, np.float32)
    expected = load_engine(path).run(batch)
    assert len(expected) == 2
    for got, value in zip(lite_outputs(path, batch, [value.shape for value in expected]), expected, strict=True):
        assert np.abs(got - value).max() <= BOUND * np.abs(value).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_runs_or_is_refused_with_the_operators_name(lite_outputs, tmp_path, monkeypatch, name):
    monkeypatch.setattr(export_module, "cell_encoder", uncompiled_encoder)
    np.random.seed(0)
    settings, front_end = settings_of(name), front_end_for(name)
    meta = {"model": settings, "front_end": front_end.to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    checkpoint = checkpoint_path(tmp_path, name, 1, 1)
    parameters = create_model(settings).get_parameters()
    write_checkpoint(checkpoint, {f"model.{parameter.name}": parameter for parameter in parameters}, meta)
    num_frames = crop_frames(name, 60)
    words = [f"--exp_ckpt_file={checkpoint}", f"--file_name={tmp_path / 'm'}", "--file_format=MINDIR"]
    words += ["--mindir_version=1", f"--length={num_frames}", "--batch_size=1", "--device_target=CPU"]
    config = load_config(Config, ["--config_path=/dev/null", *words])
    if name in REFUSED:
        with pytest.raises(InputError, match=f"mindir_version 1: not known how it writes {REFUSED[name]}. Export"):
            export_module.export(config)
        return
    path = export_module.export(config)
    batch = np.random.default_rng(0).standard_normal((1, num_frames, front_end.size), np.float32)
    (expected,) = load_engine(path).run(batch)
    (made,) = lite_outputs(path, batch, [expected.shape])
    assert least_cosine(made, expected) >= 0.99999
    assert np.abs(made - expected).max() <= BOUND * np.abs(expected).max()


@pytest.mark.slow
def test_every_test_utterance_of_mini_librispeech(project, lite_home, tmp_path):
    """Random weights with batch norms like a trained model's; 3 s: the same error rates to four digits."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data/mini_librispeech")
    (tmp_path / "prepare.yaml").write_text(
        f'data_folder: "{DATA / "voxceleb1"}"\noutput_folder: tables\nfeat_eval_folder: eval\nfeat_norm_folder: norm\n'
        f'train_data_folder: "{DATA / "voxceleb12"}"\n'
    )
    must(tmp_path, sys.executable, ROOT / "eval_data_prepare.py", "prepare.yaml")
    (tmp_path / "config.yaml").write_text(
        "channels: 256\nemb_size: 192\ncut_frames: 301\neval_data_path: eval\ntrain_norm_path: norm\n"
    )
    make_checkpoint(tmp_path / "ckpt", Fbank(), in_channels=80, channels=256, emb_size=192)
    options = ("--mindir_version=1", "--length=301", "--batch_size=1", "--device_target=CPU")
    must(tmp_path, sys.executable, ROOT / "export.py", "--config_path=config.yaml", "--exp_ckpt_file=ckpt", *options)
    assert infer(project, lite_home, tmp_path, "ecapatdnn.mindir", "--cut_wav=true") == evaluate(
        tmp_path, "--cut_wav=true", "--npy_file_path=npys"
    )
    made = EmbeddingStore.open(tmp_path / "infer_result" / "eval")
    assert made.identity.engine == f"mindspore lite {VERSION} CPU f32"
    assert least_cosine(made.embeddings, EmbeddingStore.open(tmp_path / "npys" / "eval").embeddings) >= COSINE
