"""scripts/convert_310.sh with a converter_lite of our own: the real one needs CANN."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindvox.deploy.convert import converter_name
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.files import sha256_file
from tests.deploy.converter import converter_in, model_of

ROOT = Path(__file__).resolve().parents[2]


def convert(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess:
    converter_in(folder / "bin")
    own = {
        "VIRTUAL_ENV": sys.prefix,
        "LITE_HOME": "",
        "MS_LITE_HOME": "",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "EXPECTED_MODEL": str(folder / "m o+d.mindir"),
    }
    return subprocess.run(
        ["bash", ROOT / "scripts" / "convert_310.sh", *map(str, words)],
        cwd=folder, env={**os.environ, **own, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_several_lengths_are_gears_that_the_description_names(tmp_path):
    model = model_of(tmp_path)
    done = convert(tmp_path, model, "out/模 型.mindir", "--frames=400,200,300,200", "--precision_mode=enforce_fp32")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "converted out/模 型.mindir: 1 x 200, 300, 400 frames, enforce_fp32, by converter_lite ("
    )
    made = tmp_path / "out" / "模 型.mindir"
    assert made.read_text().splitlines() == [
        "--fmk=MINDIR",
        "--saveType=MINDIR",
        "--optimize=ascend_oriented",
        "[acl_build_options]",
        'input_format="ND"',
        'input_shape="feats:1,-1,16"',
        'ge.dynamicDims="200;300;400"',
        "[ascend_context]",
        "precision_mode=enforce_fp32",
    ]
    exported = ExportedModel.read(made)
    assert (exported.batch_size, exported.num_frames, exported.file_sha256) == (1, None, sha256_file(made))
    assert exported.conversion["converted_from"] == sha256_file(model)
    assert exported.conversion["gears"] == [200, 300, 400]
    assert exported.conversion["precision_mode"] == "enforce_fp32"
    with pytest.raises(InputError, match=r"was converted for Ascend, where the C\+\+ program runs it"):
        load_engine(made)


def test_one_length_is_a_fixed_shape(tmp_path):
    done = convert(tmp_path, model_of(tmp_path), "c.mindir", "--frames=301", "--batch_size=4")
    assert done.returncode == 0, done.stderr
    assert "--inputShape=feats:4,301,16" in (tmp_path / "c.mindir").read_text().splitlines()
    exported = ExportedModel.read(tmp_path / "c.mindir")
    assert (exported.batch_size, exported.num_frames, exported.conversion["gears"]) == (4, 301, None)


def test_a_fixed_model_needs_no_sizes(tmp_path):
    done = convert(tmp_path, model_of(tmp_path, batch_size=2, num_frames=200), "c.mindir")
    assert done.returncode == 0, done.stderr
    assert ExportedModel.read(tmp_path / "c.mindir").num_frames == 200


@pytest.mark.parametrize(
    ("changes", "words", "code", "said"),
    [
        ({}, [], 2, "takes any number of frames: give those to compile for"),
        ({}, ["--frames=5"], 2, "lengths of at least 9 frames"),
        ({}, ["--frames=x"], 2, "invalid _counts value"),
        ({}, ["--frames=200", "--batch_size=0"], 2, "--batch_size: expected at least 1, got 0"),
        ({"num_frames": 301}, ["--frames=200"], 2, "takes only 301. Export with --length=0"),
        ({"batch_size": 2}, ["--frames=200", "--batch_size=3"], 2, "3 was given"),
        ({"device_target": "CPU"}, ["--frames=200"], 1, "was exported for CPU: export with --device_target=Ascend"),
        ({"input_kind": "waveform"}, ["--frames=200"], 1, "expected a MINDIR that takes features"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, words, code, said):
    done = convert(tmp_path, model_of(tmp_path, **changes), "c.mindir", *words)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert not (tmp_path / "c.mindir").exists()


@pytest.mark.parametrize(
    ("environment", "said"), [({"FAIL": "3"}, "exit code 3"), ({"SILENT": "1"}, "it wrote no file")]
)
def test_a_failed_conversion_says_why_and_leaves_the_earlier_file(tmp_path, environment, said):
    (tmp_path / "c.mindir").write_bytes(b"earlier")
    done = convert(tmp_path, model_of(tmp_path), "c.mindir", "--frames=200", **environment)
    assert done.returncode == 1 and said in done.stderr and "the converter's log" in done.stderr
    assert (tmp_path / "c.mindir").read_bytes() == b"earlier"


def test_a_missing_converter_is_named(tmp_path):
    model = model_of(tmp_path)
    done = convert(tmp_path, model, "c.mindir", "--frames=200", PATH="/usr/bin:/bin", LITE_HOME=str(tmp_path))
    assert done.returncode == 2 and "converter_lite was not found on PATH" in done.stderr


def test_the_packages_folder_gives_the_converters_version(tmp_path):
    home = tmp_path / "mindspore-lite-2.7.0-linux-aarch64"
    converter = converter_in(home / "tools" / "converter" / "converter")
    assert converter_name(converter) == "converter_lite 2.7.0"
    done = convert(tmp_path, model_of(tmp_path), "c.mindir", "--frames=200", LITE_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "c.mindir.json").read_text())["conversion"]["converter"] == "converter_lite 2.7.0"


def test_conversions_that_no_script_writes_are_refused(tmp_path):
    for bad in ({}, {"gears": [300, 200]}, "gears"):
        model = model_of(tmp_path, conversion=bad)
        with pytest.raises(InputError, match="impossible values: conversion"):
            ExportedModel.read(model)
