"""Make plda.npz with SpeechBrain's PLDA. Run by a Python that has it: `python make_plda_reference.py` (1.1.2).

Its training maximises the same likelihood as ours when all speakers have equally many utterances: the model then is of
full rank, and the mean that it does not fit is the maximum's.
"""

from pathlib import Path

import numpy as np
import speechbrain
from speechbrain.processing.PLDA_LDA import PLDA, Ndx, StatObject_SB, fast_PLDA_scoring

SIZE, NUM_SPEAKERS, UTTERANCES_EACH, NUM_SCORED = 5, 60, 6, 12


def statistics(names, embeddings):
    names = np.array(names, dtype="|O")
    none = np.array([None] * len(names))
    return StatObject_SB(
        modelset=names,
        segset=np.array([f"{name}-{row}" for row, name in enumerate(names)], dtype="|O"),
        start=none,
        stop=none,
        stat0=np.ones((len(names), 1)),
        stat1=np.array(embeddings, dtype=np.float64),
    )


def draw(rng, roots):
    speakers = rng.normal(size=(NUM_SPEAKERS, SIZE)) @ roots[0] + 1.5
    noise = rng.normal(size=(NUM_SPEAKERS * UTTERANCES_EACH, SIZE)) @ roots[1]
    return np.repeat(speakers, UTTERANCES_EACH, axis=0) + noise


def main():
    rng = np.random.default_rng(6)
    # Speakers differ in every direction: where the least eigenvalue of their covariance is 0, training never arrives.
    roots = np.array([[2.0], [1.0]])[..., None] * np.eye(SIZE) + 0.4 * rng.normal(size=(2, SIZE, SIZE))
    embeddings = draw(rng, roots)
    speakers = np.repeat(np.arange(NUM_SPEAKERS), UTTERANCES_EACH)
    plda = PLDA(rank_f=SIZE, nb_iter=3000)
    plda.plda(statistics([f"s{speaker:02d}" for speaker in speakers], embeddings))
    others = draw(rng, roots)
    enrol, test = (others[utterance::UTTERANCES_EACH][:NUM_SCORED] for utterance in range(2))
    enrol_statistics = statistics([f"m{row:02d}" for row in range(NUM_SCORED)], enrol)
    test_statistics = statistics([f"t{row:02d}" for row in range(NUM_SCORED)], test)
    enrol_statistics.segset, test_statistics.segset = enrol_statistics.modelset, test_statistics.modelset
    index = Ndx(models=enrol_statistics.modelset, testsegs=test_statistics.segset)
    scores = fast_PLDA_scoring(enrol_statistics, test_statistics, index, plda.mean, plda.F, plda.Sigma)
    np.savez(
        Path(__file__).with_name("plda.npz"),
        embeddings=embeddings,
        speakers=speakers,
        mean=plda.mean,
        factors=plda.F,
        residual=plda.Sigma,
        enrol=enrol,
        test=test,
        scores=scores.scoremat,
        version=speechbrain.__version__,
    )


if __name__ == "__main__":
    main()
