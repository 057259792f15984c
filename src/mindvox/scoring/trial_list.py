"""A trial list with both sides of each trial found in a store, and the checks before scoring."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from mindvox.config import Config
from mindvox.corpus.tables import read_speakers
from mindvox.corpus.trials import (
    Trial,
    count_repeated,
    count_self_trials,
    find_model,
    find_trial_list,
    read_enrol_map,
    read_names,
    read_numbered_trials,
    self_trials_warning,
)
from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError
from mindvox.files import PathLike, sha256_file
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.score_files import write_scores


class Excluded(NamedTuple):
    """What an exclude_list removed: utterances and trials, and the original number of trials."""

    num_utterances: int
    num_trials: int
    num_listed: int


class Sides(NamedTuple):
    """The distinct sides of all trials.

    Attributes:
        names: names of utterances and models.
        embeddings: float32 (S, D), or (S, C, D) with crops.
        enrol, test: index of each trial's two sides, (number of trials,).
    """

    names: list[str]
    embeddings: np.ndarray
    enrol: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class TrialList:
    """A trial list, each side found in a store.

    Attributes:
        path: the file.
        trials: its lines, without those that an exclude_list removes.
        is_target: label of each trial, bool; None: the list is blind.
        enrol, test: row of each trial's side in the store; numbers from the size of the store on are models.
        model_names: models of several utterances, in the order of their numbers.
        model_rows: the store's rows of each model.
        num_repeated: number of trials that repeat an earlier one.
        num_self: number of trials that compare an utterance with itself, or with a model that contains it.
        excluded: what an exclude_list removed, if there is one.
    """

    path: Path
    trials: list[Trial]
    is_target: Optional[np.ndarray]
    enrol: np.ndarray
    test: np.ndarray
    model_names: list[str]
    model_rows: list[np.ndarray]
    num_repeated: int = 0
    num_self: int = 0
    excluded: Optional[Excluded] = None

    @classmethod
    def from_config(cls, config: Config, folder: PathLike, store: EvalStore | EmbeddingStore) -> "TrialList":
        """Read the list of a configuration, tried as given, then inside `folder`; see `read`."""
        return cls.read(
            find_trial_list(config.veri_file_path, folder),
            config.trial_format,
            store,
            enrol_map_path=config.enrol_map_path,
            exclude_list=config.exclude_list,
            repeated_trials=config.repeated_trials,
        )

    @classmethod
    def read(
        cls,
        path: PathLike,
        trial_format: str,
        store: EvalStore | EmbeddingStore,
        *,
        enrol_map_path: PathLike = "",
        exclude_list: PathLike = "",
        repeated_trials: str = "error",
    ) -> "TrialList":
        """Read a trial list and find its utterances among the store's.

        Args:
            path, trial_format, repeated_trials: see read_numbered_trials.
            store: contains the utterances, by name.
            enrol_map_path: file with the utterances of each enrolment side; empty: an enrolment side is an utterance.
            exclude_list: file with names of utterances. A trial that names one is dropped, and so is one whose model
                has no other utterances; a model with others continues without them. Empty: none.

        Raises:
            InputError: a file is wrong, the list names utterances that the store lacks or models that the map lacks,
                all trials are of one kind, or the exclude_list names utterances that no trial has.
        """
        line_nos, trials = read_numbered_trials(path, trial_format, repeated_trials, store.utt_ids)
        models = _models_of(path, line_nos, trials, enrol_map_path, store.utt_ids)
        excluded = None
        if exclude_list:
            names = read_names(exclude_list, store.utt_ids)
            line_nos, trials, models, excluded = _exclude(exclude_list, names, line_nos, trials, models)
            if not trials:
                raise InputError(f"{exclude_list}: leaves none of the {excluded.num_listed} trials of {path}.")
        row_of = {utt_id: row for row, utt_id in enumerate(store.utt_ids)}
        hint = "" if models or trial_format != "cnceleb" else " CN-Celeb's enroll.map belongs into enrol_map_path."
        _check_known(path, line_nos, trials, models, row_of, hint)
        model_row = {name: len(row_of) + number for number, name in enumerate(models)}
        enrol_row = model_row if models else row_of
        model_rows = [np.array([row_of[utt_id] for utt_id in utt_ids]) for utt_ids in models.values()]
        _check_one_speaker(store, models, model_rows)
        _check_own_utterances(path, line_nos, trials, models)
        return cls(
            path=Path(path),
            trials=trials,
            is_target=_truth(path, line_nos, trials),
            enrol=np.array([enrol_row[trial.enrol] for trial in trials]),
            test=np.array([row_of[trial.test] for trial in trials]),
            model_names=list(models),
            model_rows=model_rows,
            num_repeated=count_repeated(trials),
            num_self=count_self_trials(trials, models),
            excluded=excluded,
        )

    def rows(self) -> np.ndarray:
        """Return the store's rows that the trials need, ascending."""
        utterances = () if self.model_rows else (self.enrol,)
        return np.unique(np.concatenate((self.test, *utterances, *self.model_rows)))

    def sides(self, store: EmbeddingStore) -> Sides:
        """Return the embeddings of the distinct sides; a model's is the mean of its utterances' embeddings."""
        num_rows = len(store.utt_ids)
        sides, where = np.unique(np.concatenate((self.enrol, self.test)), return_inverse=True)
        enrol, test = np.split(where, 2)
        utterances, models = sides[sides < num_rows], sides[sides >= num_rows] - num_rows
        names = [store.utt_ids[row] for row in utterances] + [self.model_names[model] for model in models]
        means = [store.embeddings[self.model_rows[model]].mean(axis=0, dtype=np.float64) for model in models]
        embeddings = store.embeddings[utterances]
        if means:
            embeddings = np.concatenate((embeddings, np.asarray(means, dtype=np.float32)))
        return Sides(names, embeddings, enrol, test)

    def speakers(self, store: EvalStore | EmbeddingStore) -> tuple[np.ndarray, np.ndarray]:
        """Return a speaker index for each trial's enrolment and test side."""
        of_row = store.spk_ids + [store.spk_ids[rows[0]] for rows in self.model_rows]
        _, numbers = np.unique(np.asarray(of_row, dtype=object), return_inverse=True)
        return numbers[self.enrol], numbers[self.test]

    def write_scores(self, path: PathLike, columns: Mapping[str, np.ndarray]) -> None:
        """Write a score file of the trials; `columns`: scores (T,) by the names of their columns."""
        _, enrol, test = zip(*self.trials, strict=True)
        write_scores(path, self.is_target, enrol, test, columns)

    def describe(self) -> list[str]:
        """Return lines about the list for the user."""
        count = "blind" if self.is_target is None else f"{np.count_nonzero(self.is_target)} of them target"
        lines = [f"{self.path}: {len(self.trials)} trials, {count}"]
        if self.model_names:
            sizes = [len(rows) for rows in self.model_rows]
            lines.append(f"{len(sizes)} models of {min(sizes)} to {max(sizes)} utterances are enrolled")
        if self.num_repeated:
            lines.append(f"{self.num_repeated} trials repeat an earlier one; each counts")
        if self.num_self:
            lines.append(self_trials_warning(self.num_self))
        if self.excluded:
            lines.append(
                f"exclude_list: {self.excluded.num_utterances} utterances, {self.excluded.num_trials} of "
                f"{self.excluded.num_listed} trials are left out"
            )
        return lines


def _models_of(
    path: PathLike,
    line_nos: Sequence[int],
    trials: list[Trial],
    enrol_map_path: PathLike,
    utt_ids: Sequence[str],
) -> dict[str, list[str]]:
    """Return the utterances of each model that a trial names, by the name in the trial; empty without a map."""
    if not enrol_map_path:
        return {}
    known = read_enrol_map(enrol_map_path, utt_ids)
    models: dict[str, list[str]] = {}
    for line_no, trial in zip(line_nos, trials, strict=True):
        if trial.enrol not in models:
            name = find_model(known, trial.enrol)
            if name is None:
                raise InputError(f"{path}:{line_no}: {enrol_map_path} has no model {some([trial.enrol])}.")
            models[trial.enrol] = known[name]
    return models


def _exclude(
    exclude_list: PathLike,
    names: dict[str, int],
    line_nos: list[int],
    trials: list[Trial],
    models: dict[str, list[str]],
) -> tuple[list[int], list[Trial], dict[str, list[str]], Excluded]:
    """Remove the utterances of an exclude_list, and the trials that need them."""
    named = _named(trials, models)
    unknown = {name: line_no for name, line_no in names.items() if name not in named}
    if unknown:
        first, line_no = next(iter(unknown.items()))
        raise InputError(
            f"{exclude_list}:{line_no}: no trial names {some([first])}; {len(unknown)} of {len(names)} are unknown."
        )
    left = {name: [utt_id for utt_id in utt_ids if utt_id not in names] for name, utt_ids in models.items()}
    left = {name: utt_ids for name, utt_ids in left.items() if utt_ids}
    kept = [
        row
        for row, (_, enrol, test) in enumerate(trials)
        if test not in names and (enrol in left if models else enrol not in names)
    ]
    excluded = Excluded(len(names), len(trials) - len(kept), len(trials))
    trials = [trials[row] for row in kept]
    named_models = {trial.enrol for trial in trials}
    left = {name: utt_ids for name, utt_ids in left.items() if name in named_models}
    return [line_nos[row] for row in kept], trials, left, excluded


def _check_known(
    path: PathLike,
    line_nos: Sequence[int],
    trials: list[Trial],
    models: dict[str, list[str]],
    row_of: dict[str, int],
    hint: str,
) -> None:
    named = _named(trials, models)
    missing = named - row_of.keys()
    if missing:
        line_no = next(
            line_no
            for line_no, trial in zip(line_nos, trials, strict=True)
            if trial.test in missing or not missing.isdisjoint(models.get(trial.enrol, [trial.enrol]))
        )
        raise InputError(
            f"{path}:{line_no}: {len(missing)} of its {len(named)} utterances are not in the store, "
            f"such as {some(missing)}. Prepare the store for this list.{hint}"
        )


def _named(trials: list[Trial], models: dict[str, list[str]]) -> set[str]:
    """Return the utterances that trials name, directly or through their models."""
    tests = {trial.test for trial in trials}
    return tests.union(*models.values()) if models else tests.union(trial.enrol for trial in trials)


def _check_one_speaker(
    store: EvalStore | EmbeddingStore, models: dict[str, list[str]], model_rows: list[np.ndarray]
) -> None:
    for name, rows in zip(models, model_rows, strict=True):
        speakers = {store.spk_ids[row] for row in rows}
        if len(speakers) > 1:
            raise InputError(
                f"model {some([name])}: expected utterances of one speaker, got those of {some(speakers)}."
            )


def _check_own_utterances(
    path: PathLike, line_nos: Sequence[int], trials: list[Trial], models: dict[str, list[str]]
) -> None:
    """Raise InputError for a trial that says that an utterance of a model is of another speaker than the model."""
    for line_no, trial in zip(line_nos, trials, strict=True):
        if trial.is_target is False and trial.test in models.get(trial.enrol, ()):
            raise InputError(
                f"{path}:{line_no}: says that {some([trial.test])} is of another speaker than {some([trial.enrol])}, "
                "the model that it belongs to. Remove the line, or correct its label."
            )


def _truth(path: PathLike, line_nos: Sequence[int], trials: list[Trial]) -> Optional[np.ndarray]:
    if trials[0].is_target is None:
        return None
    is_target = np.array([trial.is_target for trial in trials])
    if is_target.all() or not is_target.any():
        kind = "target" if is_target[0] else "non-target"
        raise InputError(
            f"{path}: expected target and non-target trials, all {len(trials)} are of one kind, {kind} "
            f"(lines {line_nos[0]} to {line_nos[-1]})."
        )
    return is_target


def check_unseen_speakers(
    trials: TrialList, store: EvalStore, checkpoint: PathLike, speakers_sha256: Optional[str]
) -> None:
    """Raise InputError for trials of speakers that the model was trained on.

    Args:
        trials: the trial list.
        store: the store that it was read for.
        checkpoint: the model's file; speakers.csv beside it lists its training speakers.
        speakers_sha256: hash of that table in the checkpoint's meta; None: imported weights, whose training speakers
            are unknown. Then a line says that nothing was checked.
    """
    if speakers_sha256 is None:
        print(f"{checkpoint}: imported weights of unknown training speakers, which may be among those of the trials")
        return
    table = Path(checkpoint).with_name("speakers.csv")
    advice = "or pass --allow_seen_speakers=true."
    if not table.is_file() or sha256_file(table) != speakers_sha256:
        raise InputError(
            f"{table}: expected the training speakers of {checkpoint}, to keep them out of the trials, but it is "
            f"missing or another model's. Put it back, {advice}"
        )
    seen = {store.spk_ids[row] for row in trials.rows()} & read_speakers(table).keys()
    if seen:
        raise InputError(
            f"{trials.path}: {len(seen)} of its speakers are in {table}, such as {some(seen)}. "
            f"Use other trials, {advice}"
        )


def some(names: Iterable[str]) -> str:
    """Return the first three names, shortened, for a message."""
    return ", ".join(name if len(name) <= 100 else f"{name[:100]}..." for name in sorted(names)[:3])
