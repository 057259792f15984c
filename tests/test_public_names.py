"""The names of `mindvox` itself: public, complete, and imported only when they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mindvox
from mindvox.embedder import Embedder


def test_every_public_name_is_there():
    assert sorted(mindvox.__all__) == sorted(name for names in mindvox._HOMES.values() for name in names)
    for name in mindvox.__all__:
        assert getattr(mindvox, name) is not None and name in dir(mindvox)
    assert mindvox.Embedder is Embedder


def test_type_checkers_see_the_names_that_python_gives():
    tree = ast.parse(Path(mindvox.__file__).read_text(encoding="utf-8"))
    found = {
        node.module: tuple(alias.name for alias in node.names)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
    }
    assert found == mindvox._HOMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mindvox' has no attribute 'Embeder'"):
        mindvox.Embeder  # noqa: B018


def test_importing_is_quick_and_verifying_needs_no_mindspore():
    code = (
        "import sys, mindvox\n"
        "assert not {'numpy', 'mindspore', 'scipy', 'yaml'} & set(sys.modules)\n"
        "from mindvox import Embedder, SpeechDetector, verify\n"
        "assert 'mindspore' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
