"""Which utterances are trained on, held out, enrolled, tested, and used as cohort."""

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np

from src.config import EvalPrepConfig, TrainPrepConfig, require
from src.corpus.audio import AUDIO_SUFFIXES, SAMPLE_RATE
from src.corpus.table_io import (
    read_skipped,
    read_speakers,
    read_table,
    write_skipped,
    write_speakers,
    write_table,
)
from src.corpus.tree import Skipped, Utterance, list_recordings, read_headers, wav_folder_of
from src.corpus.trials import Trial, find_trial_list, read_trials, speaker_of
from src.errors import InputError
from src.files import PathLike, read_json, write_json


class TrainTables(NamedTuple):
    """Tables of a training corpus; `speakers` gives each speaker's label."""

    train: list[Utterance]
    dev: list[Utterance]
    speakers: dict[str, int]
    skipped: list[Skipped]


class EvalTables(NamedTuple):
    """Tables of a trial list and of the cohort, whose recordings lie below `norm_folder`."""

    enrol: list[Utterance]
    test: list[Utterance]
    norm: list[Utterance]
    norm_folder: str
    skipped: list[Skipped]


def split_train_dev(
    utterances: Iterable[Utterance], split_ratio: float, min_utts_for_dev: int, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Split each speaker's utterances at random, whatever other speakers there are.

    Args:
        split_ratio: percent of a speaker's utterances that go to train, > 0; at least one does. The number of the
            others is rounded half up.
        min_utts_for_dev: a speaker with fewer utterances goes to train wholly.
        seed: seed of the choice.

    Returns:
        Training and held-out utterances, sorted by id.
    """
    train, dev = [], []
    by_speaker = sorted(utterances, key=lambda utterance: (utterance.spk_id, utterance.utt_id))
    for spk_id, group in groupby(by_speaker, key=lambda utterance: utterance.spk_id):
        of_speaker = list(group)
        num_dev = 0
        if len(of_speaker) >= min_utts_for_dev:
            num_dev = min(int(len(of_speaker) * (100 - split_ratio) / 100 + 0.5), len(of_speaker) - 1)
        order = _speaker_rng(seed, spk_id).permutation(len(of_speaker))
        dev += [of_speaker[index] for index in order[:num_dev]]
        train += [of_speaker[index] for index in order[num_dev:]]
    return sorted(train), sorted(dev)


def _speaker_rng(seed: int, spk_id: str) -> np.random.Generator:
    """Return a generator of a speaker's own; Python's hash() would differ from run to run."""
    return np.random.default_rng([seed, int.from_bytes(sha256(spk_id.encode()).digest()[:8], "little")])


def make_train_tables(config: TrainPrepConfig, progress: bool = True) -> TrainTables:
    """Write train.csv, dev.csv, speakers.csv and skipped.csv, or take those that are there, and print what they hold.

    Speakers of the verification list are left out. Tables that exist are the user's: they are used as they are, or
    refused when they do not fit the corpus, the verification list or (unless `skip_prep`) the settings that made them.

    Raises:
        InputError: no usable corpus, too many unreadable recordings, or tables that do not fit.
    """
    require(config, "data_folder", "save_folder", "train_annotation", "valid_annotation")
    paths = (config.train_annotation, config.valid_annotation)
    missing = [path for path in paths if not Path(path).exists()]
    if not missing:
        return _reuse_train_tables(config)
    if config.skip_prep:
        raise InputError(f"skip_prep: no such table: {', '.join(missing)}. Set skip_prep: false to have it made.")
    if len(missing) == 1 and not _was_interrupted(config):
        (existing,) = set(paths) - set(missing)
        raise InputError(
            f"{existing} exists, but {missing[0]} does not. Give both, or delete the first to have both made."
        )
    return _new_train_tables(config, progress)


def _new_train_tables(config: TrainPrepConfig, progress: bool) -> TrainTables:
    test_speakers = _verification_speakers(config)
    utt_ids, misplaced = list_recordings(config.data_folder)
    kept = [utt_id for utt_id in utt_ids if speaker_of(utt_id) not in test_speakers]
    if config.verification_file:
        left_out = {speaker_of(utt_id) for utt_id in utt_ids} & test_speakers
        print(f"left out: {len(left_out)} speakers of {config.verification_file} ({len(utt_ids) - len(kept)} files)")
    else:
        print("verification_file is not set: no speaker is left out of training")
    utterances, unreadable = read_headers(config.data_folder, kept, progress)
    skipped = misplaced + unreadable
    _report_skipped(Path(config.save_folder, "skipped.csv"), skipped, len(kept) + len(misplaced), config)
    if not utterances:
        raise InputError(f"{config.data_folder}: no utterances to train on: every speaker is left out or unreadable.")
    train, dev = split_train_dev(utterances, config.split_ratio, config.min_utts_for_dev, config.seed)
    speakers_path = Path(config.save_folder, "speakers.csv")
    write_json(_settings_path(config), _split_settings(config))
    write_speakers(speakers_path, (utterance.spk_id for utterance in train))
    write_table(config.valid_annotation, dev)
    write_table(config.train_annotation, train)
    _describe(config.train_annotation, train)
    _describe(config.valid_annotation, dev)
    if not dev:
        print(f"no speaker has the {config.min_utts_for_dev} utterances of which some are held out")
    return TrainTables(train, dev, read_speakers(speakers_path), skipped)


def _reuse_train_tables(config: TrainPrepConfig) -> TrainTables:
    train, dev = read_table(config.train_annotation), read_table(config.valid_annotation)
    advice = f"Delete {config.train_annotation} and {config.valid_annotation} to have them made anew."
    if not train:
        raise InputError(f"{config.train_annotation}: no utterances in it. {advice}")
    if not config.skip_prep:
        _check_settings(config, advice)
    _check_on_disk(config.train_annotation, train, config.data_folder, advice)
    _check_on_disk(config.valid_annotation, dev, config.data_folder, advice)
    spk_ids = {utterance.spk_id for utterance in train + dev}
    tested = sorted(spk_ids & _verification_speakers(config))
    if tested:
        raise InputError(
            f"{config.train_annotation}: {len(tested)} speakers are in the trials of {config.verification_file}: "
            f"{_some(tested)}. {advice}"
        )
    speakers_path = Path(config.save_folder, "speakers.csv")
    if not speakers_path.exists():
        write_speakers(speakers_path, (utterance.spk_id for utterance in train))
    speakers = read_speakers(speakers_path)
    unknown = sorted(spk_ids - set(speakers))
    if unknown:
        raise InputError(f"{speakers_path}: lacks {len(unknown)} speakers of the tables: {_some(unknown)}. {advice}")
    print("tables that exist are used as they are; delete them to have them made anew:")
    _describe(config.train_annotation, train)
    _describe(config.valid_annotation, dev)
    skipped_path = Path(config.save_folder, "skipped.csv")
    return TrainTables(train, dev, speakers, read_skipped(skipped_path) if skipped_path.exists() else [])


def _verification_speakers(config: TrainPrepConfig) -> set[str]:
    if not config.verification_file:
        return set()
    trials = read_trials(find_trial_list(config.verification_file, config.data_folder), config.trial_format)
    return _trial_speakers(trials)


def _trial_speakers(trials: Iterable[Trial]) -> set[str]:
    return {speaker_of(utt_id) for trial in trials for utt_id in (trial.enrol, trial.test)}


def _settings_path(config: TrainPrepConfig) -> Path:
    """Return the file that says how tables of ours were split; tables of the user's own have none."""
    return Path(config.train_annotation).with_suffix(".settings.json")


def _split_settings(config: TrainPrepConfig) -> dict[str, float]:
    return {
        "format_version": 1,
        "split_ratio": config.split_ratio,
        "min_utts_for_dev": config.min_utts_for_dev,
        "seed": config.seed,
    }


def _was_interrupted(config: TrainPrepConfig) -> bool:
    """Tell whether a run with the same settings was killed before it wrote the last file, the training table."""
    path = _settings_path(config)
    return not Path(config.train_annotation).exists() and path.exists() and read_json(path) == _split_settings(config)


def _check_settings(config: TrainPrepConfig, advice: str) -> None:
    path = _settings_path(config)
    if not path.exists():
        return
    old, new = read_json(path), _split_settings(config)
    changed = [f"{key} {old.get(key)}, now {value}" for key, value in new.items() if old.get(key) != value]
    if changed:
        raise InputError(f"{config.train_annotation}: made with {'; '.join(changed)}. {advice}")


def make_eval_tables(config: EvalPrepConfig, progress: bool = True) -> EvalTables:
    """Write enrol.csv, test.csv, norm.csv and skipped.csv, and print what they hold.

    They follow from the trial list and the training table, so they are made anew each time, unless `skip_prep`: then
    those that are there are checked against the trial list and used.

    Raises:
        InputError: an utterance of the trial list is missing or unreadable, or a table does not fit.
    """
    require(config, "data_folder", "save_folder", "verification_file")
    wav_folder_of(config.data_folder)
    list_path = find_trial_list(config.verification_file, config.data_folder)
    trials = read_trials(list_path, config.trial_format)
    is_blind = trials[0].is_target is None
    kinds = "blind" if is_blind else f"{sum(trial.is_target for trial in trials)} target"
    print(f"{list_path}: {len(trials)} trials ({kinds}), {len(_trial_speakers(trials))} speakers")
    if config.skip_prep:
        tables = _read_eval_tables(config, trials)
    else:
        tables = _new_eval_tables(config, list_path, trials, progress)
    for name, utterances in (("enrol", tables.enrol), ("test", tables.test), ("norm", tables.norm)):
        _describe(_eval_table(config, name), utterances)
    if not tables.norm:
        print("no cohort: every speaker is in the trials, so there will be no score normalisation")
    return tables


def _eval_table(config: EvalPrepConfig, name: str) -> Path:
    return Path(config.save_folder, f"{name}.csv")


def _new_eval_tables(config: EvalPrepConfig, list_path: Path, trials: Sequence[Trial], progress: bool) -> EvalTables:
    utterances = _trial_utterances(config.data_folder, list_path, trials, progress)
    enrol = [utterances[utt_id] for utt_id in sorted({trial.enrol for trial in trials})]
    test = [utterances[utt_id] for utt_id in sorted({trial.test for trial in trials})]
    norm, skipped = _draw_cohort(config, _trial_speakers(trials), progress)
    _report_skipped(Path(config.save_folder, "skipped.csv"), skipped, len(norm) + len(skipped), config)
    for name, rows in (("enrol", enrol), ("test", test), ("norm", norm)):
        write_table(_eval_table(config, name), rows)
    return EvalTables(enrol, test, norm, cohort_folder(config), skipped)


def _read_eval_tables(config: EvalPrepConfig, trials: Sequence[Trial]) -> EvalTables:
    advice = "Set skip_prep: false to have it made anew."
    enrol, test, norm = (read_table(_eval_table(config, name)) for name in ("enrol", "test", "norm"))
    for name, rows, wanted in (
        ("enrol", enrol, {trial.enrol for trial in trials}),
        ("test", test, {trial.test for trial in trials}),
    ):
        lacking = sorted(wanted - {utterance.utt_id for utterance in rows})
        if lacking:
            raise InputError(
                f"{_eval_table(config, name)}: lacks {len(lacking)} utterances of the trial list: {_some(lacking)}. "
                f"{advice}"
            )
        _check_on_disk(_eval_table(config, name), rows, config.data_folder, advice)
    _check_on_disk(_eval_table(config, "norm"), norm, cohort_folder(config), advice)
    return EvalTables(enrol, test, norm, cohort_folder(config), [])


def _trial_utterances(
    data_folder: str, list_path: Path, trials: Iterable[Trial], progress: bool
) -> dict[str, Utterance]:
    """Return the utterances of a trial list by id; every one must be there, for a list is scored whole."""
    wav_folder = wav_folder_of(data_folder)
    utt_ids = sorted({utt_id for trial in trials for utt_id in (trial.enrol, trial.test)})
    missing = [utt_id for utt_id in utt_ids if not Path(wav_folder, utt_id).is_file()]
    if missing:
        message = (
            f"{list_path}: {len(missing)} of {len(utt_ids)} utterances are not below {wav_folder}: {_some(missing)}."
        )
        renamed = [name for name in (_with_other_suffix(wav_folder, utt_id) for utt_id in missing) if name]
        if renamed:
            message += f" For {len(renamed)} of them there is a file with another suffix, such as {renamed[0]}: "
            message += "use the files' suffix in the list."
        raise InputError(message)
    utterances, unreadable = read_headers(data_folder, utt_ids, progress)
    if unreadable:
        listed = _some([f"{utt_id} ({reason})" for utt_id, reason in unreadable])
        raise InputError(
            f"{list_path}: {len(unreadable)} of {len(utt_ids)} utterances below {wav_folder} cannot be read: {listed}. "
            "Repair them, or take their trials out of the list."
        )
    return {utterance.utt_id: utterance for utterance in utterances}


def _with_other_suffix(wav_folder: Path, utt_id: str) -> str:
    """Return the id of the same recording with another suffix, if there is one, else an empty string."""
    stem = os.path.splitext(utt_id)[0]
    return next((stem + suffix for suffix in sorted(AUDIO_SUFFIXES) if Path(wav_folder, stem + suffix).is_file()), "")


def cohort_folder(config: EvalPrepConfig) -> str:
    """Return the folder that the rows of norm.csv are relative to."""
    return config.train_data_folder if _has_train_table(config) else config.data_folder


def _has_train_table(config: EvalPrepConfig) -> bool:
    return bool(config.train_annotation) and Path(config.train_annotation).is_file()


def _draw_cohort(
    config: EvalPrepConfig, trial_speakers: set[str], progress: bool
) -> tuple[list[Utterance], list[Skipped]]:
    """Draw at most `n_train_snts` utterances, sorted by id, of speakers that are in no trial."""
    rng = np.random.default_rng(config.seed)
    if _has_train_table(config):
        return _draw_from_table(config, trial_speakers, rng), []
    table = config.train_annotation or "train_annotation"
    print(f"cohort: there is no {table}, so from the speakers of {config.data_folder} that are in no trial")
    utt_ids, _ = list_recordings(config.data_folder)
    candidates = [utt_id for utt_id in utt_ids if speaker_of(utt_id) not in trial_speakers]
    return read_headers(config.data_folder, _sample(candidates, config.n_train_snts, rng), progress)


def _draw_from_table(config: EvalPrepConfig, trial_speakers: set[str], rng: np.random.Generator) -> list[Utterance]:
    require(config, "train_data_folder")
    table = sorted(read_table(config.train_annotation))
    candidates = [utterance for utterance in table if utterance.spk_id not in trial_speakers]
    num_tested = len({utterance.spk_id for utterance in table} & trial_speakers)
    print(f"cohort: from {config.train_annotation}, without {num_tested} speakers that are in the trials")
    cohort = _sample(candidates, config.n_train_snts, rng)
    advice = "Set train_data_folder to the corpus that this table describes."
    _check_on_disk(config.train_annotation, cohort, config.train_data_folder, advice)
    return cohort


def _sample(items: Sequence, count: int, rng: np.random.Generator) -> list:
    """Return `count` items, or all when they are fewer, in their order."""
    chosen = rng.permutation(len(items))[:count]
    return [items[index] for index in sorted(chosen)]


def _check_on_disk(table: PathLike, utterances: Sequence[Utterance], data_folder: str, advice: str) -> None:
    missing = [utterance.wav for utterance in utterances if not Path(data_folder, utterance.wav).is_file()]
    if missing:
        raise InputError(
            f"{table}: {len(missing)} of {len(utterances)} recordings are not below {data_folder}: {_some(missing)}. "
            f"{advice}"
        )


def _report_skipped(
    path: Path, skipped: Sequence[Skipped], num_files: int, config: Union[TrainPrepConfig, EvalPrepConfig]
) -> None:
    """Write and count the files that are not used; raise InputError when they are too large a share."""
    write_skipped(path, skipped)
    if not skipped:
        return
    first = ", ".join(f"{utt_id} ({reason})" for utt_id, reason in skipped[:3])
    text = f"{len(skipped)} of {num_files} files cannot be used, listed in {path}, such as {first}"
    if len(skipped) > config.max_bad_fraction * num_files:
        raise InputError(f"{text}. That is more than max_bad_fraction {config.max_bad_fraction:g} of them.")
    print(f"skipped: {text}")


def _describe(table: PathLike, utterances: Sequence[Utterance]) -> None:
    num_speakers = len({utterance.spk_id for utterance in utterances})
    hours = sum(utterance.stop - utterance.start for utterance in utterances) / SAMPLE_RATE / 3600
    print(f"{table}: {len(utterances)} utterances, {num_speakers} speakers, {hours:.2f} h")


def _some(names: Sequence[str]) -> str:
    """Return the first few of many names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
