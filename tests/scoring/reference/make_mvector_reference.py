"""Make mvector.json: EER, threshold and minDCF of the scores in metrics.npz by mvector's own code.

Run where mvector is installed (made with mvector 1.1.7, `pip install --no-deps mvector==1.1.7`, NumPy 1.26.4):
python tests/scoring/reference/make_mvector_reference.py
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

sys.modules.setdefault("torch", ModuleType("torch"))  # which metrics.py imports for its accuracy() alone
from mvector.metric.metrics import compute_dcf, compute_eer, compute_fnr_fpr  # noqa: E402

FOLDER = Path(__file__).parent


def main() -> None:
    arrays = np.load(FOLDER / "metrics.npz")
    cases = {}
    for case in range(0, 40, 2):  # those without ties, whose order mvector's numbers depend on
        scores, labels = arrays[f"scores_{case}"], arrays[f"is_target_{case}"].astype(np.int32)
        miss, false_alarm, _ = compute_fnr_fpr(scores, labels)
        eer, threshold = compute_eer(miss, false_alarm, scores)
        cases[case] = {"eer": float(eer), "threshold": float(threshold), "dcf": float(compute_dcf(miss, false_alarm))}
    content = {"mvector": version("mvector"), "cases": cases}
    (FOLDER / "mvector.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
