"""Copy files of the reference vectors into stored/, without what follows from names.

python -m tests.vectors.store NAME ...
"""

import json
import sys

import numpy as np

from tests.vectors import STORED, VECTORS
from tests.vectors.networks import made_input

META = ("name", "repo", "commit", "module", "class", "args", "input", "bins", "lengths", "train_samples")
META += ("train_frames", "train_batch", "loud", "loud_gain", "float32_dev", "float32_max_abs_dev", "params", "what")


def shortened(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file that a test needs."""
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as case:
        arrays = {key: case[key] for key in case.files if key != "taps"}
    meta = json.loads(str(arrays["meta"]))
    for key in [key for key in arrays if name.startswith("net_") and key.startswith("x")]:
        np.testing.assert_array_equal(arrays.pop(key), made_input(meta, key))
    if name.startswith("pool_"):  # gradients need no more digits than ours have
        arrays |= {key: array.astype(np.float32) for key, array in arrays.items() if "grad" in key}
    return arrays | {"meta": np.array(json.dumps({key: meta[key] for key in META if key in meta}))}


if __name__ == "__main__":
    for each in sys.argv[1:]:
        np.savez_compressed(STORED / f"{each}.npz", **shortened(each))
