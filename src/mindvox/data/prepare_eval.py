"""Prepare the evaluation store of a trial list, and the cohort's store from a training corpus."""

import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from mindvox.config import EvalPrepConfig, require
from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, to_int16
from mindvox.corpus.quality import KeepSpeech, Reading, check_skipped, list_skipped
from mindvox.corpus.tables import EvalTables, make_eval_tables
from mindvox.corpus.tree import Skipped, Utterance
from mindvox.corpus.trials import find_trial_list
from mindvox.data.cutting import Cutting
from mindvox.data.eval_store import META_FILE, EvalStoreWriter, read_store
from mindvox.data.front_ends import prepared_front_end
from mindvox.data.sources import SOURCES_FILE, Stamp, check_sources, stamp_of
from mindvox.data.store import check_free_space, describe_work, holds_store
from mindvox.data.verify import verify_eval_store
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, atomic_path, lock_folder, sha256_file
from mindvox.frontend import FrontEnd
from mindvox.parallel import call_all, num_cores
from mindvox.progress import Progress

STORE_OVERHEAD = 1.1  # size of a store relative to its content
FILE_OVERHEAD_BYTES = 1 << 24
UTTERANCES_OF_A_JOB = 16
SAMPLES_OF_A_JOB = 600 * SAMPLE_RATE  # bounds the memory of waiting results, several per process
MODEL_ZOO_LIST = "veri_test_bleeched.txt"


class Content(NamedTuple):
    """The stored content of an utterance, features (T, F) or 16-bit samples (N,), with its length in samples and
    whether the recording was converted."""

    content: np.ndarray
    num_samples: int
    was_converted: bool


class Read(NamedTuple):
    """The stamp of a recording's file, if it exists, and the result of reading it."""

    stamp: Optional[Stamp]
    result: Union[Content, Skipped]


@dataclass(frozen=True)
class ContentJob:
    """A few utterances to read: features are returned or, without a front end, samples.

    Their paths are relative to `data_folder`.
    """

    data_folder: Path
    utterances: Sequence[Utterance]
    cutting: Cutting
    front_end: Optional[FrontEnd]
    reading: Reading

    @property
    def is_long(self) -> bool:
        """Whether the content is too large to be sent between processes and kept waiting."""
        return _num_samples(self.utterances, self.cutting) > SAMPLES_OF_A_JOB


def read_contents(job: ContentJob) -> list[Read]:
    """Return the content of each utterance, or why there is none, with the stamp of its recording."""
    return [
        Read(stamp_of(Path(job.data_folder, utterance.wav)), _content_of(utterance, job))
        for utterance in job.utterances
    ]


def _content_of(utterance: Utterance, job: ContentJob) -> Union[Content, Skipped]:
    try:
        clip = job.reading.read(Path(job.data_folder, utterance.wav), utterance.start, utterance.stop)
        waveform = clip.waveform if job.front_end is None else job.front_end.prepare(clip.waveform)
        (piece,) = job.cutting.pieces(utterance, waveform)
        content = to_int16(piece.waveform) if job.front_end is None else job.front_end(piece.waveform)
    except BadAudio as error:
        return Skipped(utterance.utt_id, error.reason)
    except MemoryError:
        duration_s = (utterance.stop - utterance.start) / SAMPLE_RATE
        raise InputError(
            f"{utterance.utt_id}: its {duration_s:.0f} s need more memory than there is: set a smaller num_processes, "
            "or cut the recording."
        ) from None
    return Content(content, len(clip.waveform), clip.was_converted)


class Recordings:
    """Reads utterances in order, and counts the unusable ones.

    Args:
        utterances: utterances to read.
        data_folder: base folder of their paths.
        cutting: the piece to take of each.
        front_end: computes the features; None: samples are stored.
        reading: how recordings are read.
        num_processes: number of worker processes; 0: one for each core.
        skipped: files of this corpus that were left out earlier.
        max_skipped: number of left-out files, earlier ones included, above which InputError is raised; None: no limit.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        data_folder: PathLike,
        cutting: Cutting,
        front_end: Optional[FrontEnd],
        reading: Reading,
        num_processes: int,
        skipped: Sequence[Skipped] = (),
        max_skipped: Optional[float] = None,
    ) -> None:
        self.skipped = list(skipped)
        self.num_read = 0
        self._utterances = utterances
        self._jobs = [
            ContentJob(Path(data_folder), group, cutting, front_end, reading) for group in _groups(utterances, cutting)
        ]
        self._data_folder = data_folder
        self._num_processes = num_processes or num_cores()
        self._max_skipped = max_skipped
        self._num_samples = 0
        self._converted: list[str] = []
        self._sources: dict[str, Stamp] = {}
        self._progress = Progress(len(utterances), "utterances")

    def add_to(self, writer: EvalStoreWriter) -> None:
        """Write the content of all usable utterances."""
        with closing(self._contents()) as contents:  # closed immediately on a failure, so that no process continues
            for utterance, content in contents:
                writer.add(utterance.utt_id, utterance.spk_id, content)
        writer.sources = self._sources

    def _contents(self) -> Generator[tuple[Utterance, np.ndarray], None, None]:
        short_jobs = [job for job in self._jobs if not job.is_long]
        with closing(call_all(read_contents, short_jobs, self._num_processes)) as results:
            for job in self._jobs:
                found = read_contents(job) if job.is_long else next(results)
                for utterance, (stamp, result) in zip(job.utterances, found, strict=True):
                    if stamp is not None:
                        self._sources[utterance.utt_id] = stamp
                    if isinstance(result, Skipped):
                        self._skip(result)
                        continue
                    self.num_read += 1
                    self._num_samples += result.num_samples
                    if result.was_converted:
                        self._converted.append(utterance.utt_id)
                    yield utterance, result.content
                self._progress.show(len(job.utterances))
        if self._converted:
            print(
                f"warning: {len(self._converted)} recordings were not 16 kHz mono and were converted, such as "
                f"{self._converted[0]}",
                file=sys.stderr,
            )

    def _skip(self, entry: Skipped) -> None:
        self.skipped.append(entry)
        if self._max_skipped is not None:
            check_skipped(self._data_folder, self.skipped, self._max_skipped)

    def summary(self, folder: PathLike, num_records: int) -> str:
        """Return two lines about the finished store in `folder`."""
        audio_s = self._num_samples / SAMPLE_RATE
        elapsed_s = self._progress.elapsed_s
        return describe_work(folder, num_records, self.num_read, audio_s, len(self.skipped), elapsed_s, audio_s)


def _groups(utterances: Sequence[Utterance], cutting: Cutting) -> Iterator[list[Utterance]]:
    """Yield groups of utterances, one per job; a long utterance is a group by itself."""
    group: list[Utterance] = []
    for utterance in utterances:
        is_full = len(group) == UTTERANCES_OF_A_JOB or _num_samples([*group, utterance], cutting) > SAMPLES_OF_A_JOB
        if group and is_full:
            yield group
            group = []
        group.append(utterance)
    if group:
        yield group


def _num_samples(utterances: Sequence[Utterance], cutting: Cutting) -> int:
    return sum(cutting.num_samples(utterance.stop - utterance.start) for utterance in utterances)


def prepare_eval(config: EvalPrepConfig, keep_speech: Optional[KeepSpeech] = None) -> None:
    """Make the evaluation store of a trial list in `feat_eval_folder` and the cohort's in `feat_norm_folder`.

    Stores with the same sources are kept. Every utterance of the trial list must be readable, because losing trials
    changes the EER.

    Args:
        config: the settings.
        keep_speech: cuts recordings to their speech where `do_vad` is true.

    Raises:
        UsageError: a key is missing, or `do_vad` is true and `keep_speech` is not given.
        InputError: an utterance of the trial list is missing or unreadable, too many of the cohort are, the disk is
            full, or a folder holds another store.
    """
    require(config, "feat_eval_folder", "feat_norm_folder")
    if Path(config.feat_eval_folder).resolve() == Path(config.feat_norm_folder).resolve():
        raise UsageError(f"feat_eval_folder and feat_norm_folder are both {config.feat_eval_folder}: give two folders.")
    if config.verify:
        verify_eval_store(config.feat_eval_folder)
        if Path(config.feat_norm_folder, META_FILE).exists():  # missing if every speaker is in the trials
            verify_eval_store(config.feat_norm_folder)
        return
    require(config, "save_folder")
    reading = Reading.from_config(config, keep_speech)
    with lock_folder(config.save_folder):  # the stores depend on its tables
        tables = make_eval_tables(config)
        front_end = None if config.store_kind == "waveform" else prepared_front_end(config)
        with lock_folder(config.feat_eval_folder):
            _prepare_trial_store(config, tables, front_end, reading)
        if tables.norm:
            with lock_folder(config.feat_norm_folder):
                _prepare_cohort(config, tables, front_end, reading)


def _prepare_trial_store(
    config: EvalPrepConfig, tables: EvalTables, front_end: Optional[FrontEnd], reading: Reading
) -> None:
    trial_list = find_trial_list(config.verification_file, config.data_folder)
    settings = {
        "trial_list_sha256": sha256_file(trial_list),
        "enrol_sha256": sha256_file(Path(config.save_folder, "enrol.csv")),
        "test_sha256": sha256_file(Path(config.save_folder, "test.csv")),
        **reading.settings(),
    }
    made_from = {"front_end": _stored(front_end), "trial_list": trial_list.name, "settings": settings}
    by_id = {utterance.utt_id: utterance for utterance in [*tables.enrol, *tables.test]}
    utterances = [by_id[utt_id] for utt_id in sorted(by_id)]
    if not _is_prepared(config.feat_eval_folder, made_from, "feat_eval_folder", utterances, config.data_folder):
        _write_trial_store(config, utterances, front_end, reading, trial_list, settings)
    _add_model_zoo_list(trial_list, Path(config.feat_eval_folder))


def _write_trial_store(
    config: EvalPrepConfig,
    utterances: Sequence[Utterance],
    front_end: Optional[FrontEnd],
    reading: Reading,
    trial_list: Path,
    settings: dict[str, Any],
) -> None:
    whole = Cutting(length=0)
    _check_room(config.feat_eval_folder, whole, utterances, front_end)
    recordings = Recordings(utterances, config.data_folder, whole, front_end, reading, config.num_processes)
    with EvalStoreWriter(config.feat_eval_folder, _stored(front_end), trial_list, settings) as writer:
        recordings.add_to(writer)
        if recordings.skipped:
            raise InputError(
                f"{trial_list}: {len(recordings.skipped)} of its utterances cannot be used: "
                f"{list_skipped(recordings.skipped)}. Repair them, delete the lines that name them, or change "
                "the limits min_duration and max_clipped_fraction, or do_vad."
            )
    print(recordings.summary(config.feat_eval_folder, len(utterances)))


def _add_model_zoo_list(trial_list: Path, folder: Path) -> None:
    """Write the whole trial list also under the name that the model zoo's README uses (docs/scoring.md).

    An existing file of this name with other content belongs to the user and is kept.
    """
    path = folder / MODEL_ZOO_LIST
    if not path.exists():
        with atomic_path(path) as temporary:
            shutil.copyfile(trial_list, temporary)
    elif sha256_file(path) != sha256_file(trial_list):
        print(f"{path}: is another list than {trial_list}, and stays as it is")


def _prepare_cohort(
    config: EvalPrepConfig, tables: EvalTables, front_end: Optional[FrontEnd], reading: Reading
) -> None:
    cutting = Cutting.from_config(config)
    settings = {
        "norm_sha256": sha256_file(Path(config.save_folder, "norm.csv")),
        **cutting.settings(),
        **reading.settings(),
    }
    made_from = {"front_end": _stored(front_end), "settings": settings}
    if _is_prepared(config.feat_norm_folder, made_from, "feat_norm_folder", tables.norm, tables.norm_folder):
        return
    _check_room(config.feat_norm_folder, cutting, tables.norm, front_end)
    max_skipped = config.max_bad_fraction * (len(tables.norm) + len(tables.skipped))
    recordings = Recordings(
        *(tables.norm, tables.norm_folder, cutting, front_end, reading, config.num_processes),
        *(tables.skipped, max_skipped),
    )
    with EvalStoreWriter(config.feat_norm_folder, _stored(front_end), settings=settings) as writer:
        recordings.add_to(writer)
        writer.skipped = recordings.skipped
    print(recordings.summary(config.feat_norm_folder, recordings.num_read))


def _is_prepared(
    folder: str, made_from: dict[str, Any], option: str, utterances: Sequence[Utterance], data_folder: PathLike
) -> bool:
    if not holds_store(folder, META_FILE, made_from, option):
        return False
    paths = {utterance.utt_id: Path(data_folder, utterance.wav) for utterance in utterances}
    tables = [path for path in [Path(folder, SOURCES_FILE)] if path.exists()]
    check_sources(folder, tables, paths, "recordings", f"Remove that folder or choose another {option}.")
    print(f"{folder}: already prepared, {len(read_store(folder).utt_ids)} utterances")
    return True


def _check_room(folder: str, cutting: Cutting, utterances: Sequence[Utterance], front_end: Optional[FrontEnd]) -> None:
    num_bytes = cutting.total_bytes(utterances, front_end)
    check_free_space(folder, round(STORE_OVERHEAD * num_bytes) + FILE_OVERHEAD_BYTES)


def _stored(front_end: Optional[FrontEnd]) -> Optional[dict[str, Any]]:
    return None if front_end is None else front_end.to_dict()
