"""Take what the tests of CAM++ and of the poolings need out of the reference vectors.

The vectors were computed in float64 by the public PyTorch code (torch 2.13.0) of 3D-Speaker 09e7806, wespeaker dfa7419
and VoiceprintRecognition-Pytorch (mvector) 4f77af2. Weights and inputs follow from their names (named_weights.py, which
is the vectors' weights.py), so only results are stored; and of the full networks no gradients, which rounding moves by
up to 3 %.

    python tests/models/reference/make_campplus_reference.py VECTORS

writes campplus.npz beside this and tests/layers/reference/poolings.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np

NETWORKS = ("3d_campplus", "3d_campplus_192", "3d_campplus_tiny", "mv_campplus", "ws_campplus")
POOLINGS = ("3d_statspool", "ws_tstp", "ws_tstp_4d", "3d_tstp", "ws_astp", "ws_astp_glob", "ws_astp_glob_4d")
POOLINGS += ("3d_astp_glob", "mv_asp", "mv_asp_glob", "mv_asp_glob_lengths")
META = ("bins", "lengths", "train_frames", "params", "float32_dev")


def networks(folder: Path) -> dict[str, np.ndarray]:
    kept = {}
    for name in NETWORKS:
        results = ("eval_", "train", "after_train/") + (("grad/",) if name.endswith("tiny") else ())
        with np.load(folder / f"net_{name}.npz") as case:
            meta = json.loads(str(case["meta"]))
            kept[f"{name}/meta"] = np.array(json.dumps({key: meta.get(key) for key in META}))
            kept[f"{name}/state"] = case["state"]
            kept |= {f"{name}/{key}": case[key] for key in case.files if key.startswith(results)}
    return kept


def poolings(folder: Path) -> dict[str, np.ndarray]:
    kept = {}
    for name in POOLINGS:
        with np.load(folder / f"pool_{name}.npz") as case:
            kept |= {f"{name}/{key}": case[key] for key in case.files if key in ("state", "x", "lengths", "eval")}
            kept |= {f"{name}/{key}": case[key].astype(np.float32) for key in case.files if key.startswith("eval_grad")}
    return kept


if __name__ == "__main__":
    vectors, here = Path(sys.argv[1]), Path(__file__).parent
    np.savez_compressed(here / "campplus.npz", **networks(vectors))
    np.savez_compressed(here.parents[1] / "layers" / "reference" / "poolings.npz", **poolings(vectors))
