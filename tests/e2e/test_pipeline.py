"""The README's commands, as processes, on a small corpus: prepare, train, evaluate, export, infer, score."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.e2e.corpus import YAML, write_corpus
from tests.processes import call, must
from tests.small_model import in_place_of_ecapa

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"eer (baseline|sub mean|s-norm):\d\.\d{4} mindcf\(0\.01\):\d\.\d{4} mindcf\(0\.05\):\d\.\d{4}")


def config() -> str:
    return "--config_path=ecapa-tdnn_config.yaml"


def score_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("eer ")]


@pytest.fixture(scope="module", params=["small", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def worked(request, tmp_path_factory) -> Iterator[Path]:
    """A folder in which everything up to training has been done by the README's commands.

    By default with the small model, with --all with ECAPA-TDNN too.
    """
    folder = tmp_path_factory.mktemp("work")
    write_corpus(folder / "corpus")
    for name, text in YAML.items():
        (folder / name).write_text(text)
    with in_place_of_ecapa() if request.param == "small" else nullcontext():
        must(folder, "bash", ROOT / "data_prepare.sh", "prepare_train.yaml", "prepare_eval.yaml")
        must(folder, sys.executable, ROOT / "train.py", config())
        yield folder


@pytest.mark.parametrize(
    ("options", "cut"),
    [
        (("--length=0", "--batch_size=0"), "false"),
        pytest.param(("--length=100", "--batch_size=1"), "true", marks=pytest.mark.slow),
    ],
)
def test_exported_model_scores_as_the_checkpoint_does(worked, options, cut):
    """The dynamic model at full length, the fixed one with cut_wav."""
    evaluated = score_lines(must(worked, sys.executable, ROOT / "eval.py", config(), f"--cut_wav={cut}"))
    assert [LINE.fullmatch(line).group(1) for line in evaluated] == ["baseline", "sub mean", "s-norm"]
    must(worked, sys.executable, ROOT / "export.py", config(), *options)
    infer = ("bash", ROOT / "scripts" / "run_infer_310.sh", "ecapatdnn.mindir", "features/eval", "0", config())
    assert score_lines(must(worked, *infer)) == evaluated
    assert score_lines((worked / "acc.log").read_text()) == evaluated
    assert (worked / "infer_result" / "norm" / "embeddings.npy").is_file()
    written = json.loads((worked / "npys" / "results.json").read_text())["results"]
    assert f"eer s-norm:{written['s-norm']['eer']:.4f}" in evaluated[2]


def test_second_evaluation_reuses_its_embeddings(worked):
    must(worked, sys.executable, ROOT / "eval.py", config(), "--cut_wav=true")
    assert "embeddings reused" in must(worked, sys.executable, ROOT / "eval.py", config(), "--cut_wav=true")


def test_trial_list_of_training_speakers_is_refused_unless_allowed(worked):
    prepare = (sys.executable, ROOT / "eval_data_prepare.py", "prepare_eval.yaml", "--data_folder=corpus/voxceleb12")
    must(worked, *prepare, "--feat_eval_folder=features/seen", "--feat_norm_folder=features/none")
    evaluate = (sys.executable, ROOT / "eval.py", config(), "--eval_data_path=features/seen", "--train_norm_path=")
    refused = call(worked, *evaluate)
    assert refused.returncode == 1
    assert "of its speakers are in" in refused.stderr and "--allow_seen_speakers" in refused.stderr
    allowed = must(worked, *evaluate, "--allow_seen_speakers", "--cut_wav=true")
    assert score_lines(allowed) and "no sub mean and no s-norm: train_norm_path is not set" in allowed


def test_checkpoint_of_another_size_is_one_clear_line(worked):
    done = call(worked, sys.executable, ROOT / "eval.py", config(), "--channels=32")
    assert done.returncode == 1
    assert "channels 16" in done.stderr and "the command line says --channels=32" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "usage: bash scripts/run_infer_310.sh MODEL DATA"),
        (["model.mindir"], 2, "usage:"),
        (["model.bin", "features/eval"], 2, "expected a .mindir, .onnx or .xml file"),
        (["model.mindir", "features/eval"], 2, "model.mindir: no such model"),
        (["ecapa-tdnn_config.yaml", "features/eval", "zero"], 2, "DEVICE_ID: expected a number"),
        (["ecapa-tdnn_config.yaml", "features/eval", "0", "word"], 2, "expected --key=value, got 'word'"),
    ],
)
def test_wrong_arguments_of_inference_have_their_message(worked, arguments, code, said):
    done = call(worked, "bash", ROOT / "scripts" / "run_infer_310.sh", *arguments)
    assert (done.returncode, said in done.stderr, done.stdout) == (code, True, "")


@pytest.mark.parametrize(
    ("script", "arguments", "code", "said"),
    [
        ("run_standalone_train_ascend.sh", ["zero"], 2, "DEVICE_ID: expected a number, got 'zero'"),
        ("run_eval_ascend.sh", ["0"], 2, "usage: bash scripts/run_eval_ascend.sh DEVICE_ID PATH_CHECKPOINT"),
        ("run_distribute_train.sh", ["--device_target=CPU"], 2, "no rank table: give RANK_TABLE_FILE"),
        ("run_distribute_train.sh", ["nowhere.json"], 1, "nowhere.json: no such file"),
        ("run_distribute_train_ascend.sh", ["ecapa-tdnn_config.yaml"], 1, "expected JSON, got something else"),
        ("run_demo.sh", ["--data", "nowhere"], 2, "nowhere/voxceleb12/wav does not exist"),
        ("run_demo.sh", ["--train_minutes=some"], 2, "expected a number of minutes above 0, got 'some'"),
        ("run_demo.sh", ["--what"], 2, "did not expect '--what'"),
    ],
)
def test_wrong_arguments_of_scripts_have_their_message(worked, script, arguments, code, said):
    done = call(worked, "bash", ROOT / "scripts" / script, *arguments)
    assert done.returncode == code
    assert said in done.stderr


def test_ascend_that_is_not_there_is_one_clear_line(worked):
    done = call(
        worked, "bash", ROOT / "scripts" / "run_standalone_train_ascend.sh", "3", config(), "--ckpt_save_dir=other"
    )
    assert done.returncode == 1
    assert "device_target Ascend: the installed MindSpore" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (worked / "train.log").read_text() == done.stdout + done.stderr


def test_gpu_that_is_not_there_is_one_clear_line(worked):
    done = call(worked, sys.executable, ROOT / "train.py", config(), "--ckpt_save_dir=other", "--device_target=GPU")
    assert done.returncode == 1
    assert "device_target GPU: the installed MindSpore" in done.stderr and done.stderr.count("\n") == 1
    assert "nvcc in CUDA_HOME" in done.stderr or "has no GPU plugin" in done.stderr


@pytest.mark.parametrize(("data", "installed"), [(True, False), (False, True)])
def test_demo_installs_the_synthesiser_only_when_it_is_used(tmp_path, data, installed):
    """A Python that notes what it is asked for, and does nothing, stands in for the environment's."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" != -c ] || echo {tmp_path}/env\n')
    python.chmod(0o755)
    write_corpus(tmp_path / "corpus")
    words = ["--data", str(tmp_path / "corpus")] if data else []
    subprocess.run(
        ["bash", str(ROOT / "scripts" / "run_demo.sh"), "--out", str(tmp_path / "out"), *words],
        env={**os.environ, "VIRTUAL_ENV": str(tmp_path / "env")}, capture_output=True, check=False,
    )  # fmt: skip
    asked = (tmp_path / "asked").read_text()
    assert f"-e {ROOT}\n" in asked
    assert (f"-e {ROOT}[demo]" in asked) is installed


def test_imports_have_no_effects(tmp_path):
    names = sorted(
        str(path.relative_to(ROOT).with_suffix("")).removeprefix("src/").replace("/", ".").removesuffix(".__init__")
        for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("*.py")]
        if path.name != "speechbrain_front.py"  # its import is the error that says what to install
    )
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "GLOG_v": "3"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr, list(tmp_path.iterdir())) == (0, "", "", [])
