"""PLDA as a back-end: embeddings prepared by LDA and length normalisation, compared by the two-covariance model.

`mindvox plda fit EMBEDDINGS --to PLDA` and `mindvox plda score PLDA EMBEDDINGS TRIALS
--to SCORES.tsv`. D. Garcia-Romero, C. Espy-Wilson 2011 ("Analysis of i-vector length normalization in speaker
recognition systems").
"""

import argparse
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.config import TRIAL_FORMATS
from mindvox.errors import InputError, run
from mindvox.files import PathLike, atomic_path, lock_folder, read_json, sha256_file, user_path, user_text, write_json
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.measures import format_measures
from mindvox.scoring.trial_list import TrialList, some
from mindvox.scoring.two_covariance import (
    Scorer,
    TwoCovariance,
    discriminant_directions,
    speaker_statistics,
    whitening_matrix,
)

FORMAT_VERSION = 1
COLUMN = "plda"
ARRAYS = ("mean", "matrix", "speaker_mean", "between", "within")


@dataclass(frozen=True)
class EmbeddingTransform:
    """The transform of embeddings before they are compared.

    Attributes:
        mean: subtracted first, (D,).
        matrix: multiplied from the right, (D, d): LDA, whitening, both in this order, or the identity.
        length_norm: whether to scale to length 1 at the end.
    """

    mean: np.ndarray
    matrix: np.ndarray
    length_norm: bool

    @classmethod
    def fit(
        cls, embeddings: np.ndarray, spk_ids: Sequence[str], lda_dim: Optional[int], length_norm: bool
    ) -> "EmbeddingTransform":
        """Fit to training embeddings (U, D); `lda_dim` is d, None for no LDA."""
        statistics = speaker_statistics(embeddings, spk_ids)
        matrix = np.eye(embeddings.shape[1])
        if lda_dim is not None:
            matrix = discriminant_directions(statistics, lda_dim)
        if length_norm:
            matrix = matrix @ whitening_matrix(matrix.T @ statistics.covariance() @ matrix)
        return cls(statistics.overall_mean(), matrix, length_norm)

    def __call__(self, embeddings: np.ndarray, utt_ids: Sequence[str]) -> np.ndarray:
        """Prepare embeddings (U, D), float64 (U, d).

        Raises:
            InputError: an embedding equals the mean and thus has no direction; the message names it from `utt_ids`.
        """
        prepared = (embeddings - self.mean) @ self.matrix
        if self.length_norm:
            lengths = np.linalg.norm(prepared, axis=1, keepdims=True)
            if not lengths.all():
                raise InputError(
                    f"{utt_ids[int(np.argmin(lengths))]}: an embedding equal to the mean has no direction."
                )
            prepared /= lengths
        return prepared


@dataclass(frozen=True)
class Plda:
    """A trained back-end.

    Attributes:
        transform: transform of embeddings.
        model: model of transformed embeddings.
        identity: how the training embeddings were made; others must be made the same way, except for the store.
        speakers: training speakers, sorted.
        training: counts and progress of the training, for readers of plda.json.
    """

    transform: EmbeddingTransform
    model: TwoCovariance
    identity: Identity
    speakers: list[str]
    training: dict[str, Any]

    @classmethod
    def fit(
        cls, store: EmbeddingStore, lda_dim: Optional[int] = None, length_norm: bool = True, max_iterations: int = 100
    ) -> "Plda":
        """Train on a store's embeddings.

        Raises:
            InputError: there are too few speakers, or too few utterances of the same speakers, or the store holds
                several crops of an utterance.
        """
        _check_no_crops(store)
        transform = EmbeddingTransform.fit(store.embeddings, store.spk_ids, lda_dim, length_norm)
        prepared = transform(store.embeddings, store.utt_ids)
        model, log_likelihoods = TwoCovariance.fit(prepared, store.spk_ids, max_iterations)
        training = {
            "num_embeddings": len(store.utt_ids),
            "num_iterations": len(log_likelihoods) - 1,
            "log_likelihood_first": log_likelihoods[0],
            "log_likelihood_last": log_likelihoods[-1],
            "versions": {name: version(name) for name in ("numpy", "scipy")},
        }
        return cls(transform, model, store.identity, sorted(set(store.spk_ids)), training)

    def score(
        self, store: EmbeddingStore, models: Sequence[np.ndarray], enrol: np.ndarray, test: np.ndarray
    ) -> np.ndarray:
        """Score trials of enrolled speakers against test utterances.

        Args:
            store: embeddings of both.
            models: for each enrolled speaker, the rows of its utterances, one or more.
            enrol: index into `models` for each trial.
            test: row of each trial's test utterance.

        Returns:
            Log-likelihood ratios, natural logarithm, float64 (number of trials,).

        Raises:
            InputError: the embeddings were made by another model than the training's, or share speakers with it.
        """
        used = np.unique(np.concatenate((*models, test)))
        self._check(store, used)
        scorer = Scorer(self.model)
        projected = scorer.project(self.transform(store.embeddings[used], [store.utt_ids[row] for row in used]))
        sums = np.stack([projected[np.searchsorted(used, rows)].sum(axis=0) for rows in models])
        counts = np.array([len(rows) for rows in models])
        return scorer.score_trials(sums, counts, projected, enrol, np.searchsorted(used, test))

    def _check(self, store: EmbeddingStore, rows: np.ndarray) -> None:
        _check_no_crops(store)
        different = self.identity.differences_in_making(store.identity)
        if different:
            raise InputError(
                f"embeddings to score differ from those that PLDA was trained on in {', '.join(different)}. "
                "Make both the same way."
            )
        shared = {store.spk_ids[row] for row in rows} & set(self.speakers)
        if shared:
            raise InputError(
                f"PLDA was trained on {len(shared)} of the speakers to score, such as {some(shared)}. "
                "Train it on other speakers."
            )

    def save(self, folder: PathLike) -> None:
        """Write plda.npz and plda.json, the latter last."""
        arrays_path, meta_path = Path(folder) / "plda.npz", Path(folder) / "plda.json"
        meta_path.unlink(missing_ok=True)
        with atomic_path(arrays_path) as temporary:
            np.savez(temporary, **self._arrays())
        meta = {
            "format_version": FORMAT_VERSION,
            "arrays_sha256": sha256_file(arrays_path),
            "length_norm": self.transform.length_norm,
            "identity": self.identity.to_dict(),
            "speakers": self.speakers,
            "training": self.training,
        }
        write_json(meta_path, meta)

    def _arrays(self) -> dict[str, np.ndarray]:
        parts = (self.transform.mean, self.transform.matrix, self.model.mean, self.model.between, self.model.within)
        return dict(zip(ARRAYS, parts, strict=True))

    @classmethod
    def open(cls, folder: PathLike) -> "Plda":
        """Read a model that `save` wrote.

        Raises:
            InputError: a file is missing or damaged, or of another version.
        """
        arrays_path, meta_path = Path(folder) / "plda.npz", Path(folder) / "plda.json"
        meta = read_json(meta_path)
        try:
            if meta["format_version"] != FORMAT_VERSION:
                raise InputError(f"{meta_path}: expected format_version {FORMAT_VERSION}. Train it again.")
            if meta["arrays_sha256"] != sha256_file(arrays_path):
                raise InputError(f"{arrays_path}: not the file that {meta_path.name} describes. Train it again.")
            with np.load(arrays_path, allow_pickle=False) as stored:
                mean, matrix, *model = (stored[name] for name in ARRAYS)
            transform = EmbeddingTransform(mean, matrix, meta["length_norm"])
            identity = Identity(**meta["identity"])
            return cls(transform, TwoCovariance(*model), identity, meta["speakers"], meta["training"])
        except (KeyError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{folder}: expected a PLDA model ({error}). Train it again.") from None


def _check_no_crops(store: EmbeddingStore) -> None:
    if store.embeddings.ndim != 2:
        raise InputError(
            f"PLDA compares one embedding an utterance, the store has {store.identity.num_crops} crops of each. "
            "Make embeddings without crops."
        )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train PLDA on an embedding store, or score a trial list with it."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox plda", description=main.__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train on an embedding store", description=_fit.__doc__)
    fit.set_defaults(command=_fit)
    fit.add_argument(
        "embeddings", type=user_path, metavar="EMBEDDINGS", help="embedding store, several utterances a speaker"
    )
    fit.add_argument("--to", type=user_path, required=True, metavar="FOLDER", help="folder for plda.npz and plda.json")
    fit.add_argument("--lda_dim", type=int, metavar="N", help="number of dimensions after LDA; default: no LDA")
    fit.add_argument(
        "--length_norm", choices=("true", "false"), default="true", help="whiten and scale to length 1 (%(default)s)"
    )
    fit.add_argument(
        "--max_iterations", type=int, default=100, metavar="N", help="greatest number of iterations (%(default)s)"
    )
    score = commands.add_parser("score", help="score a trial list", description=_score.__doc__)
    score.set_defaults(command=_score)
    score.add_argument("plda", type=user_path, metavar="PLDA", help="folder of `fit`")
    score.add_argument(
        "embeddings", type=user_path, metavar="EMBEDDINGS", help="embedding store of the trials' utterances"
    )
    score.add_argument("trials", type=user_path, metavar="TRIALS", help="trial list")
    score.add_argument(
        "--trial_format", choices=(*TRIAL_FORMATS, "cnceleb"), default="voxceleb", help="format of TRIALS (%(default)s)"
    )
    score.add_argument(
        "--enrol_map",
        type=user_text,
        default="",
        metavar="FILE",
        help="list of the utterances of each enrolled model, as in enroll.map",
    )
    score.add_argument("--to", type=user_path, required=True, metavar="SCORES.tsv", help="score file to write")
    return parser


def _fit(arguments: argparse.Namespace) -> None:
    """Train on an embedding store: print the progress, write plda.npz and plda.json."""
    store = EmbeddingStore.open(arguments.embeddings)
    plda = Plda.fit(store, arguments.lda_dim, arguments.length_norm == "true", arguments.max_iterations)
    with lock_folder(arguments.to):
        plda.save(arguments.to)
    training = plda.training
    print(
        f"{arguments.embeddings}: {len(store.utt_ids)} embeddings of {len(plda.speakers)} speakers, "
        f"{store.embeddings.shape[1]} dimensions, compared in {len(plda.model.mean)}"
    )
    print(
        f"log-likelihood of an embedding: {training['log_likelihood_first']:.4f}, after {training['num_iterations']} "
        f"iterations {training['log_likelihood_last']:.4f}"
    )
    print(f"written: {arguments.to}")


def _score(arguments: argparse.Namespace) -> None:
    """Score a trial list: print error rates, write a score file with the column `plda`."""
    plda, store = Plda.open(arguments.plda), EmbeddingStore.open(arguments.embeddings)
    trials = TrialList.read(
        arguments.trials, arguments.trial_format, store, enrol_map_path=arguments.enrol_map, repeated_trials="keep"
    )
    if trials.model_rows:
        models, enrol = trials.model_rows, trials.enrol - len(store.utt_ids)
    else:
        utterances, enrol = np.unique(trials.enrol, return_inverse=True)
        models = list(utterances[:, None])
    columns = {COLUMN: plda.score(store, models, enrol, trials.test)}
    trials.write_scores(arguments.to, columns)
    print("\n".join(trials.describe()))
    if trials.is_target is not None:
        print(format_measures(columns, trials.is_target))
    print(f"written: {arguments.to}")


if __name__ == "__main__":
    sys.exit(run(main))
