"""Prepare a training store from a corpus: first the tables, then the records of every recording in them."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Optional

import numpy as np

from mindvox.config import TrainPrepConfig, require
from mindvox.corpus.audio import SAMPLE_RATE, BadAudio
from mindvox.corpus.quality import KeepSpeech, Reading, check_skipped
from mindvox.corpus.table_io import write_skipped
from mindvox.corpus.tables import TrainTables, make_train_tables
from mindvox.corpus.tree import Utterance
from mindvox.data.recipe import Recipe, Voices
from mindvox.data.shards import (
    ShardJob,
    ShardRange,
    ShardResult,
    finish_store,
    make_shard,
    plan_identity,
    plan_shards,
    read_marker,
    sources_path,
    start_plan,
)
from mindvox.data.sources import check_sources, stamp_all
from mindvox.data.store import check_free_space, describe_work, free_bytes, holds_store
from mindvox.data.train_store import MANIFEST_FILE, PLAN_FILE, Manifest, read_manifest, shard_file, shard_name
from mindvox.data.verify import verify_train_store
from mindvox.files import lock_folder, sha256_file
from mindvox.parallel import call_all, num_cores
from mindvox.progress import Progress, duration

STORE_OVERHEAD = 1.1  # size of a store relative to its records
FILE_OVERHEAD_BYTES = 1 << 24  # per file
PAGES_OF_A_FILE = 3  # pages that may be nearly empty
SKIPPED_NOISES_FILE = "skipped_noises.csv"
UTTERANCES_TIMED, RECORDS_TIMED = 16, 64  # utterances for the estimate, and the most records of each
VOICES = 5000  # utterances for babble; each job carries them


@dataclass(frozen=True)
class TrainPreparation:
    """A training store to be made.

    Args:
        config: the settings.
        tables: tables of the corpus.
        recipe: turns utterances into records.
        reading: how recordings are read.
        made_from: everything that decides the records.
        ranges: the ranges of all shards.
    """

    config: TrainPrepConfig
    tables: TrainTables
    recipe: Recipe
    reading: Reading
    made_from: dict[str, Any]
    ranges: list[ShardRange]

    @classmethod
    def from_config(cls, config: TrainPrepConfig, keep_speech: Optional[KeepSpeech] = None) -> "TrainPreparation":
        """Make or reuse the tables, and distribute the records over shards."""
        reading = Reading.from_config(config, keep_speech)
        recipe = Recipe.from_config(config)
        _list_skipped_files(config, recipe)
        tables = make_train_tables(config)
        if tables.dev:
            print(f"{config.valid_annotation}: held out for validation, not in the training store")
        settings = {
            "table_sha256": sha256_file(config.train_annotation),
            "speakers_sha256": sha256_file(Path(config.save_folder, "speakers.csv")),
            **reading.settings(),
            **recipe.settings(),
        }
        made_from = {"kind": recipe.kind, "front_end": recipe.stored_front_end(), "settings": settings}
        ranges = plan_shards(tables.train, recipe, config.shard_utterances)
        return cls(config, tables, recipe, reading, made_from, ranges)

    @property
    def plan(self) -> dict[str, Any]:
        """Return everything that decides the shards."""
        return {**self.made_from, "num_shards": len(self.ranges), "shard_utterances": self.config.shard_utterances}

    @property
    def max_skipped(self) -> float:
        """Return the greatest number of recordings that may be unusable."""
        num_files = len(self.tables.train) + len(self.tables.dev) + len(self.tables.skipped)
        return self.config.max_bad_fraction * num_files

    @property
    def num_processes(self) -> int:
        """Return the number of processes of this machine."""
        return self.config.num_processes or num_cores()

    @cached_property
    def voices(self) -> list[Utterance]:
        """Return the utterances for babble, the same for all shards."""
        if not self.recipe.needs_babble:
            return []
        train = self.tables.train
        order = np.random.default_rng(self.config.seed).permutation(len(train))
        return [train[row] for row in order[:VOICES]]

    def finished(self) -> dict[int, ShardResult]:
        """Return the finished shards by index."""
        identity = plan_identity(self.plan)
        found = {shard.index: read_marker(self.config.feat_folder, shard.index, identity) for shard in self.ranges}
        return {index: result for index, result in found.items() if result is not None}

    def job(self, shard: ShardRange, plan_sha256: str, num_skipped: int) -> ShardJob:
        """Return the job of a shard, given that `num_skipped` recordings were unusable before it."""
        config, train = self.config, self.tables.train
        utterances = train[shard.first : shard.stop]
        return ShardJob(
            folder=Path(config.feat_folder).resolve(),
            data_folder=Path(config.data_folder).resolve(),
            range=shard,
            utterances=utterances,
            labels={utterance.spk_id: self.tables.speakers[utterance.spk_id] for utterance in utterances},
            recipe=self.recipe,
            reading=self.reading,
            max_skipped=self.max_skipped - num_skipped,
            plan_sha256=plan_sha256,
            voices=self.voices,
        )


def _list_skipped_files(config: TrainPrepConfig, recipe: Recipe) -> None:
    """List the unused noises and room responses beside the tables."""
    skipped, path = recipe.folders.skipped(), Path(config.save_folder, SKIPPED_NOISES_FILE)
    if skipped:
        write_skipped(path, skipped)
    else:
        path.unlink(missing_ok=True)


def prepare_train(config: TrainPrepConfig, keep_speech: Optional[KeepSpeech] = None) -> None:
    """Make the training store of a corpus in `feat_folder`, or its missing shards; keep shards with the same sources.

    With `part` i/n, make only every n-th shard. The part that finishes last completes the store. A second process for
    the same part waits for the first.

    Args:
        config: the settings.
        keep_speech: cuts recordings to their speech where `do_vad` is true.

    Raises:
        UsageError: `do_vad` is true, and `keep_speech` is not given.
        InputError: the corpus is unusable, too many recordings are, the disk is full, or `feat_folder` holds another
            store or one of other recordings with the same names.
    """
    require(config, "feat_folder", "save_folder")
    if config.verify:
        verify_train_store(config.feat_folder)
        return
    with lock_folder(config.feat_folder, f"part-{config.part.replace('/', '-of-')}"):
        with lock_folder(config.save_folder):
            work = TrainPreparation.from_config(config, keep_speech)
        with lock_folder(config.feat_folder):
            if holds_store(config.feat_folder, MANIFEST_FILE, work.made_from, "feat_folder"):
                _check_sources(work)
                num_records = read_manifest(config.feat_folder).num_utterances
                print(f"{config.feat_folder}: already prepared, {num_records} records")
                return
            results, lacking = _start(work)
        progress = Progress(sum(shard.stop - shard.first for shard in lacking), "utterances")
        made = _make_shards(work, lacking, results, progress)
        with lock_folder(config.feat_folder):
            _finish(work, made, progress)


def _start(work: TrainPreparation) -> tuple[dict[int, ShardResult], list[ShardRange]]:
    """Write the plan unless it exists; return the finished shards and the missing ones of this part."""
    config = work.config
    is_started = holds_store(config.feat_folder, PLAN_FILE, work.plan, "feat_folder")
    number, num_parts = map(int, config.part.split("/"))
    results = work.finished()
    if results:
        _check_sources(work)
    lacking = [shard for shard in work.ranges[number - 1 :: num_parts] if shard.index not in results]
    if lacking:
        _announce(work, lacking)
    if not is_started:
        sources = {key: stamp_all(paths) for key, paths in work.recipe.augmentation_files().items()}
        start_plan(config.feat_folder, work.plan, work.tables.speakers, work.tables.skipped, sources)
    return results, lacking


def _check_sources(work: TrainPreparation) -> None:
    """Raise InputError if recordings, noises or room responses have changed since the store was made."""
    config, folder = work.config, Path(work.config.feat_folder)
    advice = "Remove that folder or choose another feat_folder."
    for key, paths in work.recipe.augmentation_files().items():
        tables = [path for path in [sources_path(folder, key)] if path.exists()]
        check_sources(folder, tables, paths, f"files of {key}", advice)
    paths = {utterance.utt_id: Path(config.data_folder, utterance.wav) for utterance in work.tables.train}
    tables = [path for shard in work.ranges if (path := sources_path(folder, shard_name(shard.index))).exists()]
    advice += f" If lengths changed, {config.train_annotation} must be corrected, too."
    check_sources(folder, tables, paths, "recordings", advice)


def _finish(work: TrainPreparation, made: Sequence[ShardResult], progress: Progress) -> None:
    """Complete the store if all shards are finished."""
    config = work.config
    results = work.finished()
    if Path(config.feat_folder, MANIFEST_FILE).exists():
        print(f"{config.feat_folder}: part {config.part} is finished; another part completed the store")
        return
    if len(results) < len(work.ranges):
        print(
            f"{config.feat_folder}: part {config.part} is finished; {len(work.ranges) - len(results)} of "
            f"{len(work.ranges)} shards are still missing. The part that finishes last completes the store."
        )
        return
    in_order = [results[shard.index] for shard in work.ranges]
    manifest = finish_store(config.feat_folder, in_order)
    _summarise(work, manifest, in_order, made, progress.elapsed_s)


def _announce(work: TrainPreparation, lacking: Sequence[ShardRange]) -> None:
    """Print the remaining work with its size and time; raise InputError if the disk is too full."""
    folder = work.config.feat_folder
    num_bytes = sum(
        round(STORE_OVERHEAD * shard.num_bytes) + FILE_OVERHEAD_BYTES + PAGES_OF_A_FILE * shard.page_bytes
        for shard in lacking
    )
    check_free_space(folder, num_bytes)
    num_records = sum(shard.num_records for shard in lacking)
    kept = f", {len(work.ranges) - len(lacking)} are there or another part's" if len(lacking) < len(work.ranges) else ""
    print(
        f"{folder}: {len(lacking)} of {len(work.ranges)} shards to make{kept}: {num_records} records, at most "
        f"{num_bytes / 1e9:.3f} GB ({free_bytes(folder) / 1e9:.1f} GB free)"
    )
    record_s = _time_of_a_record(work, [work.tables.train[shard.first] for shard in lacking])
    if record_s is not None:
        num_cores = 1 if work.config.dask else min(work.num_processes, len(lacking))
        print(f"about {duration(num_records * record_s / num_cores)} on {num_cores} core{'s' if num_cores > 1 else ''}")


def _time_of_a_record(work: TrainPreparation, candidates: Sequence[Utterance]) -> Optional[float]:
    """Return the time per record in seconds, measured on a few; None if none of these can be read."""
    step = -(-len(candidates) // UTTERANCES_TIMED)
    times = []
    for utterance in candidates[::step]:
        started = time.perf_counter()
        babble = Voices([utterance], work.config.data_folder).besides(utterance.spk_id)
        try:
            path = Path(work.config.data_folder, utterance.wav)
            clip = work.reading.read(path, utterance.start, utterance.stop)
            num_records = min(RECORDS_TIMED, work.recipe.num_records(utterance))
            records = list(work.recipe.records(utterance, clip.waveform, range(num_records), babble))
        except BadAudio:
            continue
        times.append((time.perf_counter() - started) / len(records))
    return median(times) if times else None


def _make_shards(
    work: TrainPreparation, lacking: Sequence[ShardRange], results: Mapping[int, ShardResult], progress: Progress
) -> list[ShardResult]:
    """Make the missing shards; stop if too many recordings are unusable."""
    identity = plan_identity(work.plan)
    skipped = [*work.tables.skipped, *(entry for result in results.values() for entry in result.skipped)]
    jobs = [work.job(shard, identity, len(skipped)) for shard in lacking]
    made = []
    # Closed immediately on a failure, so that no process continues.
    with closing(call_all(make_shard, jobs, work.num_processes, work.config.dask)) as results_in_order:
        for shard, result in zip(lacking, results_in_order, strict=True):
            made.append(result)
            skipped += result.skipped
            check_skipped(work.config.data_folder, skipped, work.max_skipped)
            num_records = result.shard.num_utterances if result.shard else 0
            line = f"{shard_file(shard.index)}: {num_records} records; {progress.add(shard.stop - shard.first)}"
            print(line, flush=True)
    return made


def _summarise(
    work: TrainPreparation,
    manifest: Manifest,
    results: Sequence[ShardResult],
    made: Sequence[ShardResult],
    elapsed_s: float,
) -> None:
    folder = Path(work.config.feat_folder)
    print(
        describe_work(
            folder,
            manifest.num_utterances,
            sum(result.num_recordings for result in results),
            sum(result.num_samples for result in results) / SAMPLE_RATE,
            len(manifest.skipped),
            elapsed_s,
            sum(result.num_samples for result in made) / SAMPLE_RATE,
        )
    )
    if manifest.num_converted:
        example = next(result.converted_example for result in results if result.converted_example)
        print(
            f"warning: {manifest.num_converted} recordings were not 16 kHz mono and were converted, such as {example}",
            file=sys.stderr,
        )
