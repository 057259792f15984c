"""Make metrics.npz: error rates of random scores by SpeechBrain's and scikit-learn's code.

Run where both are installed (made with SpeechBrain 1.1.2, PyTorch 2.13.0, scikit-learn 1.9.1, SciPy 1.17.1):
python tests/scoring/reference/make_metrics_reference.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
import speechbrain
import torch
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_auc_score, roc_curve
from speechbrain.utils.metric_stats import EER, minDCF

P_TARGET = 0.05


def random_trials(case: int) -> tuple[np.ndarray, np.ndarray]:
    """Cases with odd numbers have many ties; sizes and separation differ."""
    rng = np.random.default_rng(case)
    num_trials = int(rng.integers(5, 400))
    is_target = rng.random(num_trials) < rng.uniform(0.1, 0.6)
    is_target[:2] = True, False
    scores = rng.normal(size=num_trials) + rng.uniform(0, 3) * is_target
    return (np.round(scores, 1) if case % 2 else scores).astype(np.float32), is_target


def main() -> None:
    arrays, cases = {}, []
    for case in range(40):
        scores, is_target = random_trials(case)
        arrays[f"scores_{case}"], arrays[f"is_target_{case}"] = scores, is_target
        positive, negative = torch.tensor(scores[is_target]), torch.tensor(scores[~is_target])
        false_alarm, hit, _ = roc_curve(is_target, scores, pos_label=1)
        miss = 1 - hit
        nearest = np.nanargmin(np.abs(miss - false_alarm))
        posterior = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, is_target.astype(float))
        # Weights that make both kinds count the same turn posteriors into those of a prior of one half.
        weights = np.where(is_target, 0.5 / is_target.sum(), 0.5 / (~is_target).sum())
        odds = posterior / is_target.sum() * (~is_target).sum()
        balanced = np.minimum(odds / (odds + 1 - posterior), 1)
        cases.append(
            {
                "speechbrain_eer": EER(positive, negative)[0],
                "speechbrain_min_dcf": minDCF(positive, negative, p_target=P_TARGET)[0],
                "voxceleb_trainer_eer": float(max(false_alarm[nearest], miss[nearest])),
                "brentq_eer": brentq(lambda x, roc: 1 - x - roc(x), 0, 1, args=(interp1d(false_alarm, hit),)),
                "auc": roc_auc_score(is_target, scores),
                "min_cllr": log_loss(is_target, balanced, sample_weight=weights) / np.log(2),
            }
        )
    versions = {"speechbrain": speechbrain.__version__, "torch": torch.__version__, "sklearn": sklearn.__version__}
    arrays["expected"] = np.array(json.dumps({"p_target": P_TARGET, "versions": versions, "cases": cases}))
    np.savez_compressed(Path(__file__).with_name("metrics.npz"), **arrays)


if __name__ == "__main__":
    main()
