"""Validation during training: the EER on trials that the final evaluation does not use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mindspore import nn

from mindvox.config import Config
from mindvox.corpus.trials import find_trial_list, read_trials
from mindvox.data.eval_store import EvalStore, StoredFeatures
from mindvox.data.pipeline import TrainBatches
from mindvox.errors import InputError
from mindvox.frontend.frames import Windows, repeat_to
from mindvox.models import create_model, fewest_frames, windows_of
from mindvox.models.checkpoint import assign
from mindvox.progress import quantity
from mindvox.scoring.embeddings import Encode, cell_encoder, extract
from mindvox.scoring.error_rates import warn_if_swapped
from mindvox.scoring.metrics import eer_of, min_dcf_of, operating_points
from mindvox.scoring.normalisation import cosine_scores, unit_length
from mindvox.scoring.trial_list import TrialList

P_TARGET = 0.01  # target prior of the minDCF


class ValidationResult(NamedTuple):
    """EER as a fraction, its threshold, normalised minDCF."""

    eer: float
    threshold: float
    min_dcf: float


@dataclass(frozen=True)
class ValidationTrials:
    """Utterances, and the pairs to compare.

    Attributes:
        store: features of the utterances.
        enrol, test: rows of the store that each trial compares.
        is_target: whether both are of one speaker.
    """

    store: EvalStore
    enrol: np.ndarray
    test: np.ndarray
    is_target: np.ndarray


class Validation:
    """Measure the error rates of the plain cosine.

    A separate model takes over the weights of the trained one: neither is compiled again when the other is used, and
    batch norm statistics do not change.

    Args:
        trials: the pairs to compare.
        model: in evaluation mode, with parameters of the same names as the trained model's.
        encode: feats (B, T, F) to embeddings, by `model`.
        batch_size: greatest number of utterances in a batch.
        max_frames, windows: see `extract`.
    """

    def __init__(
        self,
        trials: ValidationTrials,
        model: nn.Cell,
        encode: Encode,
        batch_size: int,
        max_frames: int = 0,
        windows: Optional[Windows] = None,
    ) -> None:
        self.trials = trials
        self.model = model
        self.encode = encode
        self.batch_size = batch_size
        self.max_frames = max_frames
        self.windows = windows
        self.has_warned = False

    def __call__(self, trained: nn.Cell) -> ValidationResult:
        return self.measure(self.scores(trained))

    def measure(self, scores: np.ndarray) -> ValidationResult:
        """Return the error rates of the trials' scores."""
        points = operating_points(scores, self.trials.is_target)
        found = eer_of(points)
        self.has_warned = self.has_warned or warn_if_swapped(found.eer, self.trials.is_target, "voxceleb")
        return ValidationResult(*found, min_dcf_of(points, P_TARGET))

    def scores(self, trained: nn.Cell) -> np.ndarray:
        """Return the cosine of each trial, (number of trials,), by the weights of the trained model."""
        arrays = {f"model.{parameter.name}": parameter.asnumpy() for parameter in trained.get_parameters()}
        assign(self.model, arrays, "model.", "the model in training")
        store, trials = self.trials.store, self.trials
        limits: dict[str, Any] = {"max_frames": self.max_frames, "windows": self.windows}
        found = extract(self.encode, store, None, self.batch_size, progress=False, **limits)
        embeddings = unit_length(found, store.utt_ids)
        return cosine_scores(embeddings, trials.enrol, trials.test)


def make_validation(
    config: Config, batches: TrainBatches, settings: dict[str, Any], device_target: str
) -> Optional[Validation]:
    """Return the validation that a training configuration asks for; None: none.

    Args:
        config: configuration of the training.
        batches: batches of the training; they know the held-out utterances and the front end.
        settings: settings of the model; see `create_model`.
        device_target: device to run on.

    Raises:
        InputError: store or trial list are wrong, have another front end, or are those of the evaluation.
    """
    if config.valid_trials:
        trials = _listed_trials(config, batches)
    elif config.valid_utterances:
        trials = _trials_of_halves(batches, fewest_frames(settings))
    else:
        return None
    num_targets = np.count_nonzero(trials.is_target)
    num_trials = quantity(len(trials.is_target), "trial")
    print(f"validation: {len(trials.store)} pieces, {num_trials}, {num_targets} of them target")
    model = create_model(settings, device_target)
    model.set_train(False)
    windows = windows_of(settings)
    has_one_length = windows is not None or len(set(trials.store.num_frames.tolist())) == 1
    fixed_batch = config.eval_batch_size if has_one_length else None
    encode = cell_encoder(model, settings["in_channels"], fixed_batch)
    return Validation(trials, model, encode, config.eval_batch_size, config.max_frames, windows)


def _listed_trials(config: Config, batches: TrainBatches) -> ValidationTrials:
    store = EvalStore.open(config.valid_data_path, batches.front_end.to_dict())
    path = find_trial_list(config.valid_trials, config.valid_data_path)
    listed = TrialList.read(path, "voxceleb", store)
    assert listed.is_target is not None, "lists of this form tell the truth"
    _refuse_evaluation_trials(config, listed, store)
    return ValidationTrials(store, listed.enrol, listed.test, listed.is_target)


def _refuse_evaluation_trials(config: Config, listed: TrialList, store: EvalStore) -> None:
    """Raise InputError if the model would be chosen by the trials on which it is reported."""
    try:
        evaluation = find_trial_list(config.veri_file_path, config.eval_data_path)
    except InputError:
        return  # the evaluation list is not available
    pairs = {frozenset(trial[1:]) for trial in listed.trials}
    trials = read_trials(evaluation, config.trial_format, known=store.utt_ids)
    shared = sum(frozenset(trial[1:]) in pairs for trial in trials)
    if shared:
        raise InputError(
            f"valid_trials: {listed.path} shares {shared} trials with {evaluation}, the list of the evaluation "
            "(veri_file_path), which must not choose the model: take others, or valid_utterances."
        )


def _trials_of_halves(batches: TrainBatches, min_frames: int) -> ValidationTrials:
    """Return all pairs of a first and a second half of held-out utterances; a pair of one speaker is a target.

    A half that is too short for an embedding is repeated from its start, as crops are in training.
    """
    names, labels, halves = [], [], []
    for name, label, feats in batches.held_out_feats():
        middle = len(feats) // 2
        names.append(name)
        labels.append(label)
        halves += [repeat_to(half, max(middle, min_frames)) for half in (feats[:middle], feats[middle:])]
    num_frames = np.array([len(half) for half in halves])
    store = StoredFeatures(
        folder=Path(),
        utt_ids=[f"{name}, half {number}" for name in names for number in (1, 2)],
        spk_ids=[str(label) for label in labels for _ in range(2)],
        first_frame=np.cumsum(num_frames) - num_frames,
        num_frames=num_frames,
        front_end=batches.front_end.to_dict(),
        sha256="",
        frames=np.concatenate(halves),
    )
    first, second = (index.ravel() for index in np.indices((len(names), len(names))))
    speaker = np.array(labels)
    return ValidationTrials(store, 2 * first, 2 * second + 1, speaker[first] == speaker[second])
