"""The preparation's commands as a user types them: exit codes, one clear error, paths from any folder."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindvox.config import EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.data.eval_store import EvalStore
from mindvox.data.train_store import read_manifest
from mindvox.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def call(*command, cwd) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def call_script(*arguments, cwd) -> subprocess.CompletedProcess:
    return call("bash", ROOT / "data_prepare.sh", *arguments, cwd=cwd)


def write_yaml(path: Path, options: list[str]) -> None:
    path.write_text("".join(option.removeprefix("--").replace("=", ": ", 1) + "\n" for option in options))


def test_script_prepares_training_and_evaluation_from_any_folder(tmp_path, train_options, eval_options):
    write_yaml(tmp_path / "train.yaml", train_options)
    write_yaml(tmp_path / "eval.yaml", [*eval_options, "--n_train_snts=3"])
    result = call_script("train.yaml", "eval.yaml", "--front_end.n_mels=40", "--number_of_epochs=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(tmp_path / "feat_train")
    assert (manifest.num_utterances, manifest.front_end["n_mels"]) == (40, 40)
    assert EvalStore.open(tmp_path / "feat_eval").front_end == manifest.front_end
    assert len(EvalStore.open(tmp_path / "feat_norm")) == 3
    assert "warning" not in result.stderr.lower()

    merged = call(sys.executable, ROOT / "merge_data.py", "train.yaml", "--n_mels=40", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert read_manifest(tmp_path / "feat_train" / "merged").num_utterances == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense=1"], "neither step has the key 'nonsense'"),
        (["--seed"], "expected --key=value, got '--seed'"),
        (["--part=1/2"], "--part is for train_data_prepare.py"),
        (["a.yaml", "b.yaml", "c.yaml"], "at most two YAML files, got 3"),
        (["nowhere.yaml"], "nowhere.yaml: no such configuration file"),
        (["--n_train_snts=many"], "n_train_snts: expected a number, got 'many'"),
    ],
)
def test_script_refuses_wrong_arguments_before_any_work(tmp_path, arguments, message):
    result = call_script(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "arguments", "code", "message"),
    [
        ("train_data_prepare.py", ["--sentence_lne=3"], 2, "unknown key 'sentence_lne'; did you mean 'sentence_len'?"),
        ("train_data_prepare.py", ["--sentence_len=long"], 2, "sentence_len: expected a number, got 'long'"),
        ("train_data_prepare.py", ["--data_folder=nowhere", "--feat_folder=f"], 1, "nowhere: no such folder"),
        ("eval_data_prepare.py", ["--data_folder=nowhere"], 1, "nowhere: no such folder"),
        ("merge_data.py", ["--feat_folder=nowhere"], 1, "nowhere: no complete training store here"),
    ],
)
def test_wrong_input_is_one_error_on_stderr(tmp_path, script, arguments, code, message):
    result = call(sys.executable, ROOT / script, *arguments, cwd=tmp_path)
    assert result.returncode == code
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("option", "message"), [("3/2", "expected i/n"), ("0/2", "expected i/n"), ("1", "expected i/n")]
)
def test_impossible_parts_are_wrong_usage(option, message):
    with pytest.raises(UsageError, match=message):
        load_config(TrainPrepConfig, [os.devnull, f"--part={option}"])


@pytest.mark.parametrize(("cls", "name"), [(TrainPrepConfig, "prepare_train"), (EvalPrepConfig, "prepare_eval")])
def test_shipped_yaml_names_every_key_with_its_default(cls, name):
    text = (ROOT / "hparams" / f"{name}.yaml").read_text()
    shipped = load_config(cls, [str(ROOT / "hparams" / f"{name}.yaml")])
    keys = {line.split(":")[0] for line in text.splitlines() if line and not line.lstrip().startswith("#")}
    names = {field.metadata["name"] or field.name: field.name for field in dataclasses.fields(cls)}
    flat = {key for field in dataclasses.fields(cls) for key in field.metadata.get("flat", ())}
    assert keys == set(names) | flat
    assert all("#" in line for line in text.splitlines() if line.strip())
    defaults = load_config(cls, [os.devnull])
    folders = {
        "data_folder",
        "feat_folder",
        "feat_folder_merge",
        "feat_eval_folder",
        "feat_norm_folder",
    }
    for key in names.keys() - folders:
        assert getattr(shipped, names[key]) == getattr(defaults, names[key]), key
