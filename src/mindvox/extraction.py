"""Embed long lists of recordings part by part, in processes of this machine or on Dask.

A part is a run of consecutive recordings. Parts are embedded independently, so that embeddings do not depend on the
number of processes. Each is saved when it is finished, so that an interrupted run resumes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Optional, Protocol, TypeVar

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE, Skipped
from mindvox.corpus.layouts import Corpus
from mindvox.corpus.tree import Recording
from mindvox.embedder import MAX_FRAMES, Embedder, Embeddings
from mindvox.engines.engine import AUTO
from mindvox.errors import InputError
from mindvox.files import atomic_path, read_json, sha256_file, write_json
from mindvox.parallel import call_all
from mindvox.progress import Progress

FORMAT_VERSION = 1
PART_RECORDINGS = 64  # most recordings in a part
LEAST_PARTS = 32  # a shorter list has smaller parts, so that it keeps many processes busy
PART_BYTES = 1 << 26  # half an hour at 16 kHz and 16 bits, so that a part of long recordings takes about a minute
PLAN = "plan.json"
Opened = TypeVar("Opened", covariant=True)


class Choice(Protocol[Opened]):
    """A picklable, comparable description of a model, from which each process opens its own copy."""

    def open(self) -> Opened:
        """Load it."""

    def __hash__(self) -> int:
        """Return the same number for equal choices."""


@dataclass(frozen=True)
class EmbedderChoice:
    """A model and how to run it; see `Embedder.open`."""

    model: str
    engine: str = AUTO
    max_frames: int = MAX_FRAMES
    num_threads: int = 0

    def open(self) -> Embedder:
        """Load the model."""
        return Embedder.open(self.model, self.engine, max_frames=self.max_frames, num_threads=self.num_threads)


@dataclass(frozen=True)
class Workers:
    """The workers that embed.

    Args:
        num_processes: number of processes on this machine, each with one thread; 1: this process, with all its threads.
        dask: see `call_all`.
    """

    num_processes: int = 1
    dask: str = ""

    @property
    def num_threads(self) -> int:
        """Number of threads of each model; 0: one per core."""
        return 0 if self.num_processes == 1 and not self.dask else 1


THIS_PROCESS = Workers()


class Extracted(NamedTuple):
    """Embeddings, and a digest of the recordings.

    Attributes:
        embeddings: see `Embeddings`.
        content_sha256: digest of the names and files of the embedded recordings, computed as in the C++ program.
    """

    embeddings: Embeddings
    content_sha256: str


class _PartJob(NamedTuple):
    choice: Choice[Embedder]
    folder: str
    recordings: Sequence[Recording]
    channel: Optional[int]


class _Part(NamedTuple):
    """The result of a part: the embeddings, and for each a line of the content's digest."""

    embeddings: Embeddings
    lines: list[str]


@lru_cache(maxsize=1)
def opened(choice: Choice[Opened]) -> Opened:
    """Return the object that a choice opens; each process opens it once."""
    return choice.open()


def extract(
    choice: Choice[Embedder],
    corpus: Corpus,
    parts_folder: Path,
    channel: Optional[int] = None,
    workers: Workers = THIS_PROCESS,
    progress: Optional[Progress] = None,
) -> Extracted:
    """Embed the recordings of a corpus in its order.

    Args:
        choice: the model. Processes and Dask workers open it themselves, so its path must be valid in all of them.
        corpus: the recordings; on Dask, all workers must see them under the same path.
        parts_folder: folder for finished parts. The caller removes it once the embeddings are saved. Parts of another
            run, another model or other recordings are removed.
        channel: see `Embedder.embed`.
        workers: the workers that embed.
        progress: counts the recordings.

    Raises:
        InputError: a process was killed; see also `Embedder.open` and `Embedder.embed_many`. Finished parts are kept.
    """
    stamps = [_stamp(corpus, recording) for recording in corpus.recordings]
    bounds = list(_bounds(corpus.recordings, [stamp[0] for stamp in stamps]))
    _prepare(parts_folder, _plan(opened(choice), corpus, stamps, channel))
    files = [parts_folder / f"part-{number:06d}.npz" for number in range(len(bounds))]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    jobs = [_PartJob(choice, corpus.folder, corpus.recordings[slice(*bounds[number])], channel) for number in missing]
    if progress is not None:
        progress.restart(len(corpus.recordings) - sum(len(job.recordings) for job in jobs))
    with closing(call_all(_embed_part, jobs, workers.num_processes, workers.dask)) as parts:
        for number, job, part in zip(missing, jobs, parts, strict=True):
            _save(files[number], part)
            if progress is not None:
                progress.show(len(job.recordings))
    return _joined(files, corpus.skipped, opened(choice).emb_size)


def remove_parts(parts_folder: Path) -> None:
    """Remove the parts of a finished run."""
    shutil.rmtree(parts_folder, ignore_errors=True)


def _embed_part(job: _PartJob) -> _Part:
    sections = {recording.utt_id: recording.section(job.folder) for recording in job.recordings}
    made = opened(job.choice).embed_many(sections, job.channel)
    lines = []
    for name in made.names:
        section = sections[name]
        times = [section.start_s, section.stop_s] if section.start_s or section.stop_s is not None else []
        lines.append("\t".join(map(str, (name, sha256_file(section.path), *times))) + "\n")
    return _Part(made, lines)


def _stamp(corpus: Corpus, recording: Recording) -> tuple[int, int]:
    """Return size in bytes and modification time of a recording's file, to detect changes."""
    try:
        status = Path(corpus.folder, recording.wav).stat()
    except OSError:  # reported when the file is read
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _bounds(recordings: Sequence[Recording], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first index and the end index of each part."""
    most = min(PART_RECORDINGS, -(-len(recordings) // LEAST_PARTS))
    first = num_bytes = 0
    for row, (recording, size) in enumerate(zip(recordings, sizes, strict=True)):
        if recording.stop_s is not None:
            size = min(size, round((recording.stop_s - recording.start_s) * 2 * SAMPLE_RATE))
        if row > first and (row - first == most or num_bytes + size > PART_BYTES):
            yield first, row
            first, num_bytes = row, 0
        num_bytes += size
    if recordings:
        yield first, len(recordings)


def _plan(
    embedder: Embedder, corpus: Corpus, stamps: Sequence[tuple[int, int]], channel: Optional[int]
) -> dict[str, Any]:
    """Return everything that determines the parts."""
    digest = hashlib.sha256()
    for recording, stamp in zip(corpus.recordings, stamps, strict=True):
        digest.update(json.dumps([*recording, *stamp]).encode())
    return {
        "format_version": FORMAT_VERSION,
        "model_sha256": embedder.engine.exported.file_sha256,
        "engine": embedder.engine.name,
        "max_frames": embedder.max_frames,
        "channel": channel,
        "recordings_sha256": digest.hexdigest(),
        "part": [PART_RECORDINGS, LEAST_PARTS, PART_BYTES],
    }


def _prepare(parts_folder: Path, plan: dict[str, Any]) -> None:
    """Keep the parts of an earlier run with the same plan; remove those of other runs."""
    file = parts_folder / PLAN
    try:
        if read_json(file) == plan:
            return
    except InputError:  # missing or damaged
        pass
    remove_parts(parts_folder)
    write_json(file, plan)


def _save(file: Path, part: _Part) -> None:
    made = part.embeddings
    text = {"names": made.names, "skipped": made.skipped, "has_windows": made.has_windows, "lines": part.lines}
    with atomic_path(file) as temporary:
        np.savez(temporary, vectors=made.vectors, text=np.array(json.dumps(text)))


def _joined(files: Sequence[Path], skipped: Sequence[Skipped], emb_size: int) -> Extracted:
    """Return all parts as one; recordings that could not even be listed come first in `skipped`."""
    names: list[str] = []
    all_skipped, vectors, has_windows = list(skipped), [np.empty((0, emb_size), np.float32)], False
    digest = hashlib.sha256()
    for file in files:
        with np.load(file, allow_pickle=False) as part:
            text = json.loads(str(part["text"]))
            vectors.append(part["vectors"])
        names += text["names"]
        all_skipped += [Skipped(*entry) for entry in text["skipped"]]
        has_windows |= text["has_windows"]
        for line in text["lines"]:
            digest.update(line.encode())
    return Extracted(Embeddings(names, np.concatenate(vectors), all_skipped, has_windows), digest.hexdigest())
