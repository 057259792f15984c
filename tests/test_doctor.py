"""What `mindvox doctor` says: with real libraries, and with libraries that are broken, wrong or absent."""

import json
import sys
import tomllib

import pytest

from mindvox import doctor
from mindvox.cli import doctor as command
from mindvox.config import ROOT


def test_every_engine_of_the_environment_works(capsys):
    assert command.main(["--json"]) == 0
    parts = {part["part"]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    for name in ("onnxruntime", "openvino", "mindspore", "soundfile"):
        assert parts[name]["state"] == doctor.WORKS, parts[name]
        assert not parts[name]["advice"]


def test_what_is_absent_is_said_with_the_way_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_has_module", lambda name: name not in ("openvino", "av"))
    monkeypatch.setattr(doctor, "PROBES", {})
    monkeypatch.setattr(doctor, "_probe", _absent_or_works)
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert "openvino" in said and "-> pip install -e '.[onnx]'" in said and "-> pip install -e '.[media]'" in said
    assert max(map(len, said.splitlines())) <= 100


def _absent_or_works(name, advice, is_needed=False):
    if doctor._has_module(name):
        return doctor.Finding(name, doctor.WORKS, "1.0", "", is_needed)
    return doctor.Finding(name, doctor.ABSENT, "not installed", advice, is_needed)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ImportError('libtbb.so.12: cannot open shared object file')", "libtbb.so.12"),
        ("import os; os.abort()", "exit code -6"),
    ],
)
def test_a_broken_library_is_a_fault_with_its_own_words(tmp_path, monkeypatch, capsys, source, said):
    (tmp_path / "openvino.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    found = doctor._probe("openvino", "install it")
    assert found.state == doctor.BROKEN and said in found.detail and found.advice == "install it"
    monkeypatch.setattr(command, "examine", lambda: [found])
    assert command.main([]) == 1


def test_a_missing_library_of_the_system_has_its_own_advice(tmp_path, monkeypatch):
    (tmp_path / "mindspore.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    found = doctor._probe("mindspore", "install it")
    assert found.state == doctor.BROKEN and "libgomp.so.1" in found.detail
    assert "apt-get install libgomp1" in found.advice


def test_a_library_that_computes_wrongly_is_broken(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text(
        "import numpy as np\n__version__ = '9'\nclass InferenceSession:\n"
        "    def __init__(self, *args, **keys): pass\n    def run(self, *args): return [np.zeros((1, 2))]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    found = doctor._probe("onnxruntime", "install it", is_needed=True)
    assert found.state == doctor.BROKEN and "multiplies wrongly" in found.detail


def test_what_every_command_needs_is_a_fault_where_it_is_absent(monkeypatch, capsys):
    found = doctor.Finding("onnxruntime", doctor.ABSENT, "not installed", "install it", is_needed=True)
    monkeypatch.setattr(command, "examine", lambda: [found])
    assert command.main([]) == 1
    assert "absent, but needed" in capsys.readouterr().out


def test_every_extra_is_known():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"cpp", "dev"}, "cpp is the C++ program's name for onnx"
