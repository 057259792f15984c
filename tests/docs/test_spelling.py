"""Spelling of pages, messages and comments, by codespell; pyproject.toml lists the words that it must leave alone."""

import subprocess
import sys

import pytest

from mindvox.config import ROOT

pytest.importorskip("codespell_lib")
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs",
    "src",
    "hparams",
    "scripts",
    "benchmarks",
)
PLACES += ("ascend310_infer/src", "ascend310_infer/include", "ascend310_infer/examples")


def codespell(*words):
    command = [sys.executable, "-m", "codespell_lib", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_there_are_no_misspelt_words():
    done = codespell("--toml", "pyproject.toml", *PLACES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_word_is_found(tmp_path):
    (tmp_path / "a.md").write_text("A " + "rec" + "ieve buffer.\n")
    assert "receive" in codespell("--toml", "pyproject.toml", str(tmp_path)).stdout
