"""Make a training store shard by shard, in any order, with any number of processes and machines.

`plan.json` lists the shards and is written first. A shard follows from the plan alone. It is made in a private folder
and then moved into place; `shard-00000.json` is written last, and a shard without this marker is made again. When
all markers exist, `manifest.json` is made from them.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from mindvox.corpus.audio import BadAudio
from mindvox.corpus.quality import Reading, check_skipped
from mindvox.corpus.table_io import read_speakers, write_skipped, write_speakers
from mindvox.corpus.tree import Skipped, Utterance
from mindvox.data import train_store
from mindvox.data.recipe import Recipe, Voices
from mindvox.data.sources import Stamp, stamp_of, write_sources
from mindvox.data.store import SKIPPED_FILE, explain_full_disk, remove_files
from mindvox.data.train_store import (
    FORMAT_VERSION,
    OWN_FILES,
    PLAN_FILE,
    SOURCE_TABLES,
    SPEAKERS_FILE,
    Manifest,
    Shard,
    ShardWriter,
    index_path,
    page_bytes_for,
    shard_file,
    shard_name,
    write_manifest,
)
from mindvox.errors import InputError
from mindvox.files import PathLike, lock_folder, read_json, sha256_file, write_json

# Left by processes that were killed.
TEMPORARY_FILES = (".shard-*", ".plan.*", ".speakers.*", ".manifest.*", ".noise_folder.*", ".rir_folder.*")


class ShardRange(NamedTuple):
    """The content of a shard: records in the order of the table.

    Args:
        index: index of the shard.
        first, stop: range of its utterances in the table; neighbouring shards may share an utterance.
        skip: number of records of the first utterance that belong to the previous shard.
        num_records: number of records if all recordings are usable.
        num_bytes: upper bound of their size.
        page_bytes: page size of its MindRecord file.
    """

    index: int  # type: ignore[assignment] # tuple's own `index` is of no use here
    first: int
    stop: int
    skip: int
    num_records: int
    num_bytes: int
    page_bytes: int


@dataclass(frozen=True)
class ShardJob:
    """Everything that make_shard() needs, on any machine.

    Args:
        folder: folder of the store, absolute.
        data_folder: base folder of the utterances' paths, absolute.
        range: range of the shard.
        utterances: utterances of the range.
        labels: labels of their speakers.
        recipe: turns utterances into records.
        reading: how recordings are read and checked.
        max_skipped: number of unusable recordings above which InputError is raised.
        plan_sha256: plan_identity() of the plan.
        voices: other utterances of the corpus, for babble.
    """

    folder: Path
    data_folder: Path
    range: ShardRange
    utterances: Sequence[Utterance]
    labels: Mapping[str, int]
    recipe: Recipe
    reading: Reading
    max_skipped: float
    plan_sha256: str
    voices: Sequence[Utterance] = ()


@dataclass(frozen=True)
class ShardResult:
    """A finished shard; recordings shared with the previous shard are counted there.

    Args:
        shard: its file; None: none of its recordings is usable.
        num_frames: number of frames of its records, or of samples of waveforms.
        num_recordings: number of used recordings.
        num_samples: their total length.
        num_converted: number of those that were not 16 kHz mono.
        converted_example: the first of them.
        skipped: unusable recordings.
        plan_sha256: plan_identity() of its plan.
    """

    shard: Optional[Shard]
    num_frames: int
    num_recordings: int
    num_samples: int
    num_converted: int
    converted_example: str
    skipped: list[Skipped]
    plan_sha256: str


def plan_shards(utterances: Sequence[Utterance], recipe: Recipe, shard_utterances: int) -> list[ShardRange]:
    """Distribute the records of a table over shards of `shard_utterances` records, or fewer if records are long.

    Raises:
        InputError: a record is too long for a MindRecord file.
    """
    ranges: list[ShardRange] = []
    first = skip = num_records = num_bytes = largest = 0
    longest = ""

    def close(stop: int) -> None:
        page_bytes = page_bytes_for(largest, longest)
        ranges.append(ShardRange(len(ranges), first, stop, skip, num_records, num_bytes, page_bytes))

    for row, utterance in enumerate(utterances):
        size, left = recipe.record_bytes(utterance), recipe.num_records(utterance)
        while left:
            fitting = min(left, shard_utterances - num_records, (train_store.MAX_SHARD_BYTES - num_bytes) // size)
            if fitting <= 0 and num_records:
                already = recipe.num_records(utterance) - left
                close(row + 1 if already else row)
                first, skip = row, already
                num_records = num_bytes = largest = 0
                continue
            taken = max(fitting, 1)
            num_records, num_bytes, left = num_records + taken, num_bytes + taken * size, left - taken
            if size > largest:
                largest, longest = size, utterance.utt_id
    if num_records:
        close(len(utterances))
    return ranges


def plan_identity(plan: Mapping[str, Any]) -> str:
    """Return an identifier of a plan; recordings that were left out earlier do not count."""
    plan = {key: value for key, value in plan.items() if key != "skipped"}
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def start_plan(
    folder: PathLike,
    plan: Mapping[str, Any],
    speakers: Mapping[str, int],
    skipped: Sequence[Skipped],
    sources: Mapping[str, Mapping[str, Stamp]],
) -> None:
    """Prepare a store's folder: remove files of an earlier store, and write the speakers and the plan.

    Args:
        plan: kind, front_end and settings; num_shards and shard_utterances.
        skipped: recordings that are not in the table.
        sources: stamps of noises and room responses, by the key of their folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_files(folder, OWN_FILES)
    listed = [entry._asdict() for entry in skipped]
    with explain_full_disk(folder):
        write_speakers(folder / SPEAKERS_FILE, speakers)
        for name, stamps in sources.items():
            write_sources(sources_path(folder, name), stamps)
        write_json(folder / PLAN_FILE, {"format_version": FORMAT_VERSION, **plan, "skipped": listed})


def marker_path(folder: PathLike, index: int) -> Path:
    """Return the marker file of a finished shard."""
    return Path(folder, shard_file(index)).with_suffix(".json")


def sources_path(folder: PathLike, name: str) -> Path:
    """Return the table of source files of a shard (by its name) or of a folder (as `noise_folder`)."""
    return Path(folder, SOURCE_TABLES.replace("*", name))


def read_marker(folder: PathLike, index: int, plan_sha256: str) -> Optional[ShardResult]:
    """Return a finished shard; None: it has no marker of this plan, or its files have other sizes."""
    path = marker_path(folder, index)
    if not path.exists():
        return None
    try:
        result = _parse_result(read_json(path))
    except (InputError, KeyError, TypeError):
        return None
    if result.plan_sha256 != plan_sha256:
        return None
    if result.shard is not None:
        file = Path(folder, result.shard.file)
        if not index_path(file).exists() or not file.exists() or file.stat().st_size != result.shard.num_bytes:
            return None
    return result


def _parse_result(stored: Mapping[str, Any]) -> ShardResult:
    shard = None if stored["shard"] is None else Shard(**stored["shard"])
    skipped = [Skipped(**entry) for entry in stored["skipped"]]
    return ShardResult(**{**stored, "shard": shard, "skipped": skipped})


def make_shard(job: ShardJob) -> ShardResult:
    """Make one shard of a store and its marker.

    Equal jobs give identical bytes, anywhere and any number of times. If another process is making this shard, wait and
    take its result; a worker may outlive the preparation that started it.
    """
    with lock_folder(job.folder, shard_file(job.range.index)), explain_full_disk(job.folder):
        return read_marker(job.folder, job.range.index, job.plan_sha256) or _make_and_mark(job)


def _make_and_mark(job: ShardJob) -> ShardResult:
    with _private_folder(job) as scratch:
        maker = _ShardMaker(job, scratch)
        result = maker.make()
        if result.shard is not None:
            for path in (scratch / result.shard.file, index_path(scratch / result.shard.file)):
                path.replace(job.folder / path.name)
        write_sources(sources_path(job.folder, shard_name(job.range.index)), maker.sources)
        stored = asdict(result) | {"skipped": [entry._asdict() for entry in result.skipped]}
        write_json(marker_path(job.folder, job.range.index), stored)
    return result


@contextmanager
def _private_folder(job: ShardJob) -> Iterator[Path]:
    """Make a folder beside the shards. Its files may be moved but not renamed: a MindRecord index holds the name."""
    prefix = f".{shard_file(job.range.index)}."
    for leftover in job.folder.glob(f"{prefix}*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    marker_path(job.folder, job.range.index).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=job.folder) as folder:
        yield Path(folder)


class _ShardMaker:
    """Reads the utterances of a job and writes their records."""

    def __init__(self, job: ShardJob, folder: Path) -> None:
        self.job = job
        self.path = folder / shard_file(job.range.index)
        self.voices = Voices(job.voices, job.data_folder)
        self.writer: Optional[ShardWriter] = None
        self.num_frames = self.num_recordings = self.num_samples = self.num_converted = 0
        self.converted_example = ""
        self.skipped: list[Skipped] = []
        self.sources: dict[str, Stamp] = {}

    def make(self) -> ShardResult:
        left, skip = self.job.range.num_records, self.job.range.skip
        for utterance in self.job.utterances:
            num_records = min(left, self.job.recipe.num_records(utterance) - skip)
            self._add_recording(utterance, range(skip, skip + num_records))
            left, skip = left - num_records, 0
        mode = (self.job.folder / SPEAKERS_FILE).stat().st_mode
        return ShardResult(
            shard=self.writer.close(mode) if self.writer else None,
            num_frames=self.num_frames,
            num_recordings=self.num_recordings,
            num_samples=self.num_samples,
            num_converted=self.num_converted,
            converted_example=self.converted_example,
            skipped=self.skipped,
            plan_sha256=self.job.plan_sha256,
        )

    def _add_recording(self, utterance: Utterance, chosen: range) -> None:
        is_first = chosen.start == 0
        path = Path(self.job.data_folder, utterance.wav)
        stamp = stamp_of(path)
        if stamp is not None:
            self.sources[utterance.utt_id] = stamp
        try:
            clip = self.job.reading.read(path, utterance.start, utterance.stop)
        except BadAudio as error:
            if is_first:
                self._skip(Skipped(utterance.utt_id, error.reason))
            return
        babble = self.voices.besides(utterance.spk_id)
        for name, content in self.job.recipe.records(utterance, clip.waveform, chosen, babble):
            self._add(name, self.job.labels[utterance.spk_id], content)
        if is_first:
            self.num_recordings += 1
            self.num_samples += len(clip.waveform)
            if clip.was_converted:
                self.num_converted += 1
                self.converted_example = self.converted_example or utterance.utt_id

    def _add(self, name: str, label: int, content: np.ndarray) -> None:
        if self.writer is None:
            self.writer = ShardWriter(self.path, self.job.recipe.stored_front_end(), self.job.range.page_bytes)
        self.writer.add(name, label, content)
        self.num_frames += len(content)

    def _skip(self, entry: Skipped) -> None:
        self.skipped.append(entry)
        check_skipped(self.job.data_folder, self.skipped, self.job.max_skipped)


def read_plan(folder: PathLike) -> dict[str, Any]:
    """Read the plan that start_plan() wrote; raise InputError if the folder has no plan of this format."""
    path = Path(folder, PLAN_FILE)
    plan = read_json(path)
    keys = {"kind", "front_end", "settings", "num_shards", "shard_utterances", "skipped"}
    if not isinstance(plan, dict) or plan.pop("format_version", None) != FORMAT_VERSION or set(plan) != keys:
        raise InputError(f"{path}: not a plan of format_version {FORMAT_VERSION}. Prepare the store again.")
    return plan


def describe_shards(folder: PathLike, plan: Mapping[str, Any], results: Sequence[ShardResult]) -> Manifest:
    """Return the manifest of a folder with these shards, in order."""
    folder = Path(folder)
    shards = [result.shard for result in results if result.shard is not None]
    skipped = [Skipped(**entry) for entry in plan["skipped"]]
    return Manifest(
        kind=plan["kind"],
        front_end=plan["front_end"],
        settings=plan["settings"],
        num_utterances=sum(shard.num_utterances for shard in shards),
        num_frames=sum(result.num_frames for result in results),
        num_speakers=len(read_speakers(folder / SPEAKERS_FILE)),
        speakers_sha256=sha256_file(folder / SPEAKERS_FILE),
        shards=shards,
        skipped=skipped + [entry for result in results for entry in result.skipped],
        num_converted=sum(result.num_converted for result in results),
    )


def finish_store(folder: PathLike, results: Sequence[ShardResult]) -> Manifest:
    """Complete a store whose shards are all finished; `results` are in order."""
    folder = Path(folder)
    manifest = describe_shards(folder, read_plan(folder), results)
    if not manifest.shards:
        raise InputError(f"{folder}: nothing to store: there is no usable utterance.")
    _remove_temporary_files(folder)
    with explain_full_disk(folder):
        if manifest.skipped:
            write_skipped(folder / SKIPPED_FILE, manifest.skipped)
        write_manifest(folder, manifest)
    return manifest


def _remove_temporary_files(folder: Path) -> None:
    for pattern in TEMPORARY_FILES:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
