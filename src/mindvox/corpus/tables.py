"""Tables of the utterances for training, validation, enrolment, test and cohort."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np

from mindvox.config import EvalPrepConfig, TrainPrepConfig, require
from mindvox.corpus.layouts import Corpus, depth_advice, find_list, open_corpus
from mindvox.corpus.names import WAV_FOLDER
from mindvox.corpus.table_io import (
    describe_table,
    read_skipped,
    read_speakers,
    read_table,
    write_skipped,
    write_speakers,
    write_table,
)
from mindvox.corpus.tree import REPEATED, Skipped, Utterance, read_headers
from mindvox.corpus.trials import (
    Trial,
    count_self_trials,
    count_targets,
    find_model,
    find_trial_list,
    read_enrol_map,
    read_trials,
    self_trials_warning,
    speaker_of,
)
from mindvox.errors import InputError
from mindvox.files import PathLike, read_json, sha256_file, write_json

SETTINGS_SUFFIX = ".settings.json"


class TrainTables(NamedTuple):
    """Tables of a training corpus; `speakers` maps each speaker to its label."""

    train: list[Utterance]
    dev: list[Utterance]
    speakers: dict[str, int]
    skipped: list[Skipped]


class EvalTables(NamedTuple):
    """Tables of a trial list and of the cohort, whose recordings are below `norm_folder`."""

    enrol: list[Utterance]
    test: list[Utterance]
    norm: list[Utterance]
    norm_folder: str
    skipped: list[Skipped]


def split_train_dev(
    utterances: Iterable[Utterance], split_ratio: float, min_utts_for_dev: int, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Split each speaker's utterances at random, independently of other speakers.

    Args:
        split_ratio: percentage of a speaker's utterances for train, > 0; at least one utterance goes there. The number
            of the others is rounded half up.
        min_utts_for_dev: all utterances of a speaker with fewer than this go to train.
        seed: random seed.

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
    """Return a random generator for one speaker; Python's hash() would differ between runs."""
    return np.random.default_rng([seed, int.from_bytes(sha256(spk_id.encode()).digest()[:8], "little")])


def make_train_tables(config: TrainPrepConfig, progress: bool = True) -> TrainTables:
    """Write train.csv, dev.csv, speakers.csv and skipped.csv, or reuse existing ones, and print their content.

    Speakers of the verification list are left out. Existing tables are used unchanged; they are refused if they do not
    fit the corpus, the verification list or (unless `skip_prep`) the settings that made them. A user's own table needs
    no held-out table beside it.

    Raises:
        InputError: the corpus is unusable, has too many unreadable recordings, or tables do not fit.
    """
    require(config, "data_folder", "save_folder", "train_annotation", "valid_annotation")
    has_train, has_dev = (Path(path).exists() for path in (config.train_annotation, config.valid_annotation))
    if has_train and (has_dev or not _is_ours(config.train_annotation)):
        return _reuse_train_tables(config, has_dev)
    if config.skip_prep:
        missing = [path for path in (config.train_annotation, config.valid_annotation) if not Path(path).exists()]
        raise InputError(f"skip_prep: no such table: {', '.join(missing)}. Set skip_prep: false to have it made.")
    if has_train:
        raise InputError(
            f"{config.train_annotation} exists, but {config.valid_annotation}, which was made with it, does not. "
            f"{_renewal(config.train_annotation)}"
        )
    if has_dev and not _was_interrupted(config):
        advice = _renewal(config.valid_annotation)
        raise InputError(f"{config.valid_annotation} exists, but {config.train_annotation} does not. {advice}")
    return _new_train_tables(config, progress)


def _new_train_tables(config: TrainPrepConfig, progress: bool) -> TrainTables:
    corpus = _open_corpus(config)
    kept = corpus.recordings
    if config.verification_file:
        path = find_trial_list(config.verification_file, config.data_folder)
        test_speakers = _trial_speakers(path, _read_pairs(path, config, corpus), corpus)
        kept = [recording for recording in corpus.recordings if recording.spk_id not in test_speakers]
        num_files = len(corpus.recordings) - len(kept)
        num_left_out = len(corpus.spk_ids & test_speakers)
        print(f"left out: {num_left_out} speakers of {config.verification_file} ({num_files} files)")
        if num_files == 0:
            _tell_of_no_overlap(path, test_speakers, corpus)
    else:
        print("verification_file is not set: no speaker is left out of training")
    utterances, unreadable = read_headers(corpus.folder, kept, progress)
    skipped = corpus.skipped + unreadable
    skipped_path = Path(config.save_folder, "skipped.csv")
    _report_skipped(skipped_path, skipped, corpus.ignored, len(kept) + len(corpus.skipped), config)
    if not utterances:
        raise InputError(f"{config.data_folder}: no utterances to train on: every speaker is left out or unreadable.")
    train, dev = split_train_dev(utterances, config.split_ratio, config.min_utts_for_dev, config.seed)
    speakers_path = Path(config.save_folder, "speakers.csv")
    write_json(_settings_path(config), _settings(config))
    write_speakers(speakers_path, (utterance.spk_id for utterance in train))
    write_table(config.valid_annotation, dev)
    write_table(config.train_annotation, train)
    tables = {Path(path).name: sha256_file(path) for path in (config.train_annotation, config.valid_annotation)}
    write_json(_settings_path(config), {**_settings(config), "tables": tables})
    describe_table(config.train_annotation, train)
    describe_table(config.valid_annotation, dev)
    if not dev and config.split_ratio < 100:
        print(f"no speaker has {config.min_utts_for_dev} utterances, the number from which on some are held out")
    return TrainTables(train, dev, read_speakers(speakers_path), skipped)


def _reuse_train_tables(config: TrainPrepConfig, has_dev: bool) -> TrainTables:
    train = read_table(config.train_annotation)
    dev = read_table(config.valid_annotation) if has_dev else []
    if not train:
        raise InputError(f"{config.train_annotation}: no utterances in it. {_renewal(config.train_annotation)}")
    if not config.skip_prep:
        _check_settings(config)
    for path, utterances in [(config.train_annotation, train), (config.valid_annotation, dev)][: 1 + has_dev]:
        advice = f"Set data_folder to the corpus that this table describes. {_renewal(path)}"
        _check_on_disk(path, utterances, config.data_folder, advice)
    spk_ids = {utterance.spk_id for utterance in train + dev}
    tested = sorted(spk_ids & _listed_speakers(config, train + dev))
    if tested:
        raise InputError(
            f"{config.train_annotation}: {len(tested)} speakers are in the trials of {config.verification_file}: "
            f"{_some(tested)}. {_renewal(config.train_annotation)}"
        )
    speakers_path = Path(config.save_folder, "speakers.csv")
    if not speakers_path.exists():
        write_speakers(speakers_path, (utterance.spk_id for utterance in train))
    speakers = read_speakers(speakers_path)
    unknown = sorted(spk_ids - set(speakers))
    if unknown:
        raise InputError(
            f"{speakers_path}: lacks {len(unknown)} speakers of {config.train_annotation}: {_some(unknown)}. It was "
            "made for other tables: set save_folder to another folder, where a new one is made."
        )
    again = "; delete them to have them made again" if _is_ours(config.train_annotation) else ""
    print(f"tables that exist are used as they are{again}:")
    describe_table(config.train_annotation, train)
    if has_dev:
        describe_table(config.valid_annotation, dev)
    skipped_path = Path(config.save_folder, "skipped.csv")
    skipped = read_skipped(skipped_path) if skipped_path.exists() else []
    return TrainTables(train, dev, speakers, [entry for entry in skipped if not entry.reason.startswith(REPEATED)])


def _open_corpus(config: Union[TrainPrepConfig, EvalPrepConfig]) -> Corpus:
    return open_corpus(config.data_folder, config.layout, config.speaker_pattern, config.data_list)


def _read_pairs(path: Path, config: Union[TrainPrepConfig, EvalPrepConfig], corpus: Corpus) -> "Pairs":
    trials = read_trials(path, config.trial_format, known=corpus.by_id)
    models = read_enrol_map(config.enrol_map_path, corpus.by_id) if config.enrol_map_path else {}
    return Pairs(trials, models)


def _trial_speakers(path: Path, pairs: "Pairs", corpus: Corpus) -> set[str]:
    """Return the speakers of a trial list; print the number of utterances with unknown speakers."""
    utt_ids = pairs.enrolled() | pairs.tested()
    unknown = sorted(utt_id for utt_id in utt_ids if corpus.speaker(utt_id) is None)
    if unknown:
        print(
            f"warning: {path}: the speaker of {len(unknown)} of its {len(utt_ids)} utterances is not known, since they "
            f"are not in {corpus.folder} (layout {corpus.layout}): {_some(unknown)}",
            file=sys.stderr,
        )
    return {speaker for speaker in map(corpus.speaker, utt_ids) if speaker is not None}


def _tell_of_no_overlap(path: Path, test_speakers: set[str], corpus: Corpus) -> None:
    """Print that no speaker of the trial list is in the corpus; warn if the two spell names differently."""
    none = f"none of the {len(test_speakers)} speakers of {path} is in {corpus.folder}"
    if {_spelling(name) for name in test_speakers} & {_spelling(name) for name in corpus.spk_ids}:
        print(f"{none}: nobody needs to be left out")
        return
    names = f"the list has {_some(sorted(test_speakers))}; the corpus {_some(sorted(corpus.spk_ids))}"
    print(
        f"warning: {none}, so nobody is left out of training. That is right if the corpus never had them, but the list "
        f"spells names differently: {names}",
        file=sys.stderr,
    )


def _spelling(name: str) -> str:
    """Return the pattern of a speaker's name: `id10001` as `a00000`, `A.J._Buckley` as `A.A._Aa`."""
    kinds = "".join("A" if char.isupper() else "a" if char.isalpha() else char for char in name)
    return re.sub(r"([Aa])\1+", r"\1", re.sub(r"\d", "0", kinds))


def _listed_speakers(config: TrainPrepConfig, utterances: Sequence[Utterance]) -> set[str]:
    """Return the speakers of the verification list, if there is one.

    For our tables, a part of the corpus, the corpus gives the speakers. A user's own table may describe a folder
    without a layout; then the table and the utterances' names give them.
    """
    if not config.verification_file:
        return set()
    path = find_trial_list(config.verification_file, config.data_folder)
    if _is_ours(config.train_annotation):
        corpus = _open_corpus(config)
        return _trial_speakers(path, _read_pairs(path, config, corpus), corpus)
    speaker = {utterance.utt_id: utterance.spk_id for utterance in utterances}
    trials = read_trials(path, config.trial_format, known=speaker)
    models = read_enrol_map(config.enrol_map_path, speaker) if config.enrol_map_path else {}
    pairs = Pairs(trials, models)
    return {speaker.get(utt_id, speaker_of(utt_id)) for utt_id in pairs.enrolled() | pairs.tested()}


def _settings_path(config: TrainPrepConfig) -> Path:
    """Return the file with the settings of our tables; users' own tables have none."""
    return Path(config.train_annotation).with_suffix(SETTINGS_SUFFIX)


def _settings(config: TrainPrepConfig) -> dict[str, Any]:
    data_list = find_list(config.data_folder, config.data_list)
    return {
        "format_version": 1,
        "split_ratio": config.split_ratio,
        "min_utts_for_dev": config.min_utts_for_dev,
        "seed": config.seed,
        "layout": config.layout,
        "speaker_pattern": config.speaker_pattern,
        "data_list_sha256": sha256_file(data_list) if Path(data_list).is_file() else "",
    }


def _changes(config: TrainPrepConfig) -> list[str]:
    """Return the settings that differ from those in the file; keys that it lacks come from an older version."""
    old = read_json(_settings_path(config))
    return [
        f"{key} {old[key]}, now {value}" for key, value in _settings(config).items() if old.get(key, value) != value
    ]


def _was_interrupted(config: TrainPrepConfig) -> bool:
    """Return whether a run with the same settings was killed before it wrote its last file, the training table."""
    path = _settings_path(config)
    if not path.exists() or _changes(config):
        return False
    return "tables" not in read_json(path) or _is_ours(config.valid_annotation)  # else it finished, and a table changed


def _check_settings(config: TrainPrepConfig) -> None:
    changed = _changes(config) if _settings_path(config).exists() else []
    if changed:
        raise InputError(
            f"{config.train_annotation}: made with {'; '.join(changed)}. Set the old value back, or skip_prep: true "
            f"to use the table anyway. {_renewal(config.train_annotation)}"
        )


def _is_ours(table: PathLike) -> bool:
    """Return whether we made a table and its content is unchanged."""
    table = Path(table)
    sha256 = sha256_file(table)
    made = (read_json(path).get("tables", {}) for path in sorted(table.parent.glob(f"*{SETTINGS_SUFFIX}")))
    return any(tables.get(table.name) == sha256 for tables in made)


def _renewal(table: PathLike) -> str:
    """Return advice on making a table again; only tables that we made are proposed for deletion."""
    if _is_ours(table):
        both = sorted(path for path in Path(table).parent.glob("*.csv") if _is_ours(path))
        return f"Delete {' and '.join(map(str, both))} to have them made again."
    return (
        f"{table} was not made by this command, or was changed since. To have tables made beside it, set save_folder "
        "to another folder, and leave out train_annotation and valid_annotation."
    )


def make_eval_tables(config: EvalPrepConfig, progress: bool = True) -> EvalTables:
    """Write enrol.csv, test.csv, norm.csv and skipped.csv, and print their content.

    They follow from the trial list and the training table, so they are made again each time. With `skip_prep`, existing
    tables are checked against the trial list and used.

    Raises:
        InputError: an utterance of the trial list is missing or unreadable, or a table does not fit.
    """
    require(config, "data_folder", "save_folder", "verification_file")
    if config.trial_format == "cnceleb" and not config.enrol_map_path:
        print("enrol_map_path is not set: each enrolment side of the list is read as an utterance", file=sys.stderr)
    corpus = _open_corpus(config)
    list_path = find_trial_list(config.verification_file, config.data_folder)
    pairs = _read_pairs(list_path, config, corpus)
    is_blind = pairs.trials[0].is_target is None
    kinds = "blind" if is_blind else f"{count_targets(pairs.trials)} target"
    if config.skip_prep:
        tables = _read_eval_tables(config, pairs)
    else:
        tables = _new_eval_tables(config, list_path, pairs, corpus, progress)
    speakers = {utterance.spk_id for utterance in [*tables.enrol, *tables.test]}
    print(f"{list_path}: {len(pairs.trials)} trials ({kinds}), {len(speakers)} speakers")
    num_self = count_self_trials(pairs.trials, pairs.models)
    if num_self:
        print(self_trials_warning(num_self), file=sys.stderr)
    for name, utterances in (("enrol", tables.enrol), ("test", tables.test), ("norm", tables.norm)):
        describe_table(_eval_table(config, name), utterances)
    if not tables.norm:
        print("no cohort: every speaker is in the trials, so there will be no score normalisation")
    return tables


class Pairs(NamedTuple):
    """A trial list, and the utterances of each model that it enrols; without models it enrols utterances."""

    trials: list[Trial]
    models: dict[str, list[str]]

    def enrolled(self) -> set[str]:
        """Return the enrolled utterances.

        Raises:
            InputError: the list names a model that the map lacks.
        """
        names = {trial.enrol for trial in self.trials}
        if not self.models:
            return names
        found = {name: find_model(self.models, name) for name in names}
        lacking = sorted(name for name, model in found.items() if model is None)
        if lacking:
            raise InputError(f"enrol_map_path: no model for {len(lacking)} names of the trial list: {_some(lacking)}.")
        return {utt_id for model in found.values() if model is not None for utt_id in self.models[model]}

    def tested(self) -> set[str]:
        """Return the test utterances."""
        return {trial.test for trial in self.trials}


def _eval_table(config: EvalPrepConfig, name: str) -> Path:
    return Path(config.save_folder, f"{name}.csv")


def _new_eval_tables(
    config: EvalPrepConfig, list_path: Path, pairs: Pairs, corpus: Corpus, progress: bool
) -> EvalTables:
    utterances = _trial_utterances(list_path, pairs, corpus, progress)
    enrol = [utterances[utt_id] for utt_id in sorted(pairs.enrolled())]
    test = [utterances[utt_id] for utt_id in sorted(pairs.tested())]
    trial_speakers = {utterance.spk_id for utterance in utterances.values()}
    norm, skipped = _draw_cohort(config, trial_speakers, corpus, progress)
    skipped_path = Path(config.save_folder, "skipped.csv")
    _report_skipped(skipped_path, skipped, corpus.ignored, len(norm) + len(skipped), config)
    for name, rows in (("enrol", enrol), ("test", test), ("norm", norm)):
        write_table(_eval_table(config, name), rows)
    return EvalTables(enrol, test, norm, cohort_folder(config), skipped)


def _read_eval_tables(config: EvalPrepConfig, pairs: Pairs) -> EvalTables:
    advice = "Set skip_prep: false to have it made again."
    enrol, test, norm = (read_table(_eval_table(config, name)) for name in ("enrol", "test", "norm"))
    for name, rows, wanted in (("enrol", enrol, pairs.enrolled()), ("test", test, pairs.tested())):
        lacking = sorted(wanted - {utterance.utt_id for utterance in rows})
        if lacking:
            raise InputError(
                f"{_eval_table(config, name)}: lacks {len(lacking)} utterances of the trial list: {_some(lacking)}. "
                f"{advice}"
            )
        _check_on_disk(_eval_table(config, name), rows, config.data_folder, advice)
    _check_on_disk(_eval_table(config, "norm"), norm, cohort_folder(config), advice)
    return EvalTables(enrol, test, norm, cohort_folder(config), [])


def _trial_utterances(list_path: Path, pairs: Pairs, corpus: Corpus, progress: bool) -> dict[str, Utterance]:
    """Return the utterances of a trial list by id; all must exist, because a list is scored whole."""
    place = Path(corpus.folder, WAV_FOLDER) if corpus.layout == "wav" else corpus.folder
    utt_ids = sorted(pairs.enrolled() | pairs.tested())
    missing = [utt_id for utt_id in utt_ids if utt_id not in corpus.by_id]
    if missing:
        message = f"{list_path}: {len(missing)} of {len(utt_ids)} utterances are not below {place}: {_some(missing)}."
        by_stem = {os.path.splitext(utt_id)[0]: utt_id for utt_id in corpus.by_id}
        renamed = [by_stem[stem] for stem in (os.path.splitext(utt_id)[0] for utt_id in missing) if stem in by_stem]
        if renamed:
            message += f" For {len(renamed)} of them there is a file with another suffix, such as {renamed[0]}: "
            message += "use the files' suffix in the list."
        reasons = dict(corpus.skipped)
        left_out = [f"{utt_id} ({reasons[utt_id]})" for utt_id in missing if utt_id in reasons]
        if left_out:
            message += f" {len(left_out)} of them are there but cannot be used: {_some(left_out)}."
            message += depth_advice(corpus.skipped)
        raise InputError(message)
    utterances, unreadable = read_headers(corpus.folder, [corpus.by_id[utt_id] for utt_id in utt_ids], progress)
    if unreadable:
        listed = _some([f"{utt_id} ({reason})" for utt_id, reason in unreadable])
        raise InputError(
            f"{list_path}: {len(unreadable)} of {len(utt_ids)} utterances below {place} cannot be read: {listed}. "
            "Repair them, or take their trials out of the list."
        )
    return {utterance.utt_id: utterance for utterance in utterances}


def cohort_folder(config: EvalPrepConfig) -> str:
    """Return the folder to which the rows of norm.csv are relative."""
    return config.train_data_folder if _has_train_table(config) else config.data_folder


def _has_train_table(config: EvalPrepConfig) -> bool:
    return bool(config.train_annotation) and Path(config.train_annotation).is_file()


def _draw_cohort(
    config: EvalPrepConfig, trial_speakers: set[str], corpus: Corpus, progress: bool
) -> tuple[list[Utterance], list[Skipped]]:
    """Draw at most `n_train_snts` utterances, sorted by id, from speakers that are in no trial."""
    rng = np.random.default_rng(config.seed)
    if _has_train_table(config):
        return _draw_from_table(config, trial_speakers, rng), []
    table = config.train_annotation or "train_annotation"
    print(f"cohort: {table} does not exist, so it is drawn from speakers of {config.data_folder} that are in no trial")
    candidates = [recording for recording in corpus.recordings if recording.spk_id not in trial_speakers]
    return read_headers(corpus.folder, _sample(candidates, config.n_train_snts, rng), progress)


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
    """Return `count` random items, or all if there are fewer, in their order."""
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
    path: Path,
    skipped: Sequence[Skipped],
    ignored: Sequence[Skipped],
    num_files: int,
    config: Union[TrainPrepConfig, EvalPrepConfig],
) -> None:
    """Write and count the unused files; raise InputError if their share is too large.

    Links to files that are listed anyway are written too, but do not count as lost recordings.
    """
    write_skipped(path, [*skipped, *ignored])
    if ignored:
        print(f"links to what is listed anyway: {len(ignored)}, listed in {path}, such as {ignored[0].utt_id}")
    if not skipped:
        return
    first = ", ".join(f"{utt_id} ({reason})" for utt_id, reason in skipped[:3])
    text = f"{len(skipped)} of {num_files} files cannot be used, listed in {path}, such as {first}"
    if len(skipped) > config.max_bad_fraction * num_files:
        raise InputError(
            f"{text}. That is more than max_bad_fraction {config.max_bad_fraction:g} of them.{depth_advice(skipped)}"
        )
    print(f"skipped: {text}")


def _some(names: Sequence[str]) -> str:
    """Return the first few of many names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
