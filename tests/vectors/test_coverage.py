"""Each file of the reference vectors is used by a test, and this says by which."""

import pytest

from mindvox.config import ROOT
from tests.losses.vector_cases import CASES, HEADS
from tests.vectors import STORED, VECTORS

COVERED = {  # beginning of the files' names: where tests name them, without it or as they are
    "front_": ["frontend/test_kaldi_fbank.py", "frontend/toolkits.py"],
    "net_": ["models/test_networks.py", "models/test_rawnet2.py"],
    "pool_": ["layers/test_poolings.py"],
    "resemblyzer": ["frontend/toolkits.py", "e2e/test_resemblyzer.py"],
}


def is_used(name: str) -> bool:
    """Return whether a test names a file."""
    kind, _, rest = name.partition("_")
    if kind == "loss":
        return rest in CASES or rest in HEADS
    tests = next((tests for start, tests in COVERED.items() if name.startswith(start)), [])
    text = "".join((ROOT / "tests" / test).read_text(encoding="utf-8") for test in tests)
    return f'"{rest}"' in text or f'"{name}"' in text


def test_every_file_is_named_by_a_test():
    if not VECTORS.is_dir():
        pytest.skip("needs ../shared/reference/vectors")
    names = {path.stem for path in VECTORS.glob("*.npz")}
    assert len(names) > 170
    assert not [name for name in sorted(names) if not is_used(name)]


def test_stored_files_are_used():
    assert all(is_used(path.stem) for path in STORED.glob("*.npz"))
