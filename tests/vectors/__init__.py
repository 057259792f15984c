"""Inputs and outputs of public PyTorch code in double precision: the reference vectors.

../shared/reference/vectors/README.md describes them. Small files lie in stored/ here, without what follows from names
(store.py); the others are read from ../shared, and a test that needs one is skipped where that folder is missing.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindvox.config import ROOT

VECTORS = ROOT.parent / "shared" / "reference" / "vectors"
STORED = Path(__file__).parent / "stored"


def load_vector(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and meta of a file of the vectors; its name without the suffix."""
    path = STORED / f"{name}.npz"
    if not path.is_file():
        path = VECTORS / f"{name}.npz"
    if not path.is_file():
        pytest.skip("needs ../shared/reference/vectors")
    with np.load(path, allow_pickle=False) as case:
        arrays = {key: case[key] for key in case.files}
    return arrays, json.loads(str(arrays.pop("meta")))
