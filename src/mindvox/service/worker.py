"""The process that decodes, measures and embeds recordings for the service; it can be killed at any time.

It has no access to the store and the tokens. Jobs and answers are JSON and plain bytes only. So even if a malicious
recording takes over the process, it can only make the answers wrong.

    the service sends     a job: JSON; the recording: bytes
    it answers            {"stage": "begun"} when it has both, {"stage": "decoded"}, then
                          {"result": ..., "shape": [K, D] or null}, then the numbers, float32
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.audio import BadAudio, TooLong, read_audio
from mindvox.corpus.decoders import NoDecoder
from mindvox.decisions import UNUSABLE, Examined, examine, examined_facts
from mindvox.diarization.clustering import Count
from mindvox.diarization.outputs import as_json
from mindvox.diarization.pipeline import Diarizer
from mindvox.embedder import Embedder, UnusableRecording
from mindvox.errors import InputError
from mindvox.parallel import start_process
from mindvox.service.printing import print_failure, warn
from mindvox.speech.detector import SpeechDetector
from mindvox.speech.quality import Problem

EXAMINE, EMBED, DIARIZE = "examine", "embed", "diarize"
BEGUN, DECODED = "begun", "decoded"  # stages of a job
DECODING_BYTES = 2 << 30  # most memory for decoding, in addition to what the process has


@dataclass(frozen=True)
class WorkerSettings:
    """The model of a worker, and its limit on files.

    Args:
        model, engine: see `Embedder.open`.
        max_bytes: largest file that the worker may write, in bytes; also the largest recording.
    """

    model: str
    engine: str
    max_bytes: int


class Worker:
    """The loaded models of a worker.

    Args:
        settings: the settings of the worker.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._embedder = Embedder.open(settings.model, settings.engine, num_threads=1)  # other workers run beside it
        self._detector = SpeechDetector.open()
        self._diarizer: Optional[Diarizer] = None
        if find_spec("av") is not None:  # loading takes seconds: do it before the first recording
            import_module("av")

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._embedder.engine.name

    def decode(self, job: dict[str, Any], content: bytes) -> np.ndarray:
        """Return the samples (N,) of a recording at the model's rate; raise TooLong, BadAudio."""
        with _as_file(content) as path, _little_memory():
            rate = self._embedder.front_end.sample_rate
            return read_audio(path, sample_rate=rate, max_duration_s=job["max_s"]).waveform

    def examine(self, job: dict[str, Any], waveform: np.ndarray) -> tuple[Any, Optional[np.ndarray]]:
        """Return the quality of a recording and any problem, and its embedding."""
        examined = examine(self._embedder, waveform, self._detector, name=job["name"])
        return examined_facts(examined), examined.embedding

    def embed(self, job: dict[str, Any], waveform: np.ndarray) -> tuple[Any, Optional[np.ndarray]]:
        """Return the embedding of a recording, without a check of its quality."""
        return {}, self._embedder.embed(waveform)

    def diarize(self, job: dict[str, Any], waveform: np.ndarray) -> tuple[Any, Optional[np.ndarray]]:
        """Return who speaks when, and the embedding of each speaker."""
        if self._diarizer is None:
            self._diarizer = Diarizer.open(self._settings.model, engine=self._settings.engine)
        count = Count(job["min_speakers"], job["max_speakers"])
        rate = self._embedder.front_end.sample_rate
        found = self._diarizer.diarize(waveform, count, sample_rate=rate)
        vectors = np.stack([found.embeddings[name] for name in found.speakers]) if found.speakers else None
        return {**as_json(found), "recording": job["name"]}, vectors


def main(connection: Connection, settings: WorkerSettings) -> None:
    """Do one job after the other until the service closes the connection."""
    start_process()
    _forbid_dumps(settings.max_bytes)
    try:
        worker = Worker(settings)
    except InputError as error:
        _send(connection, {"error": str(error)})
        return
    _send(connection, {"engine": worker.engine})
    try:
        while True:
            job = json.loads(connection.recv_bytes())
            content = connection.recv_bytes()
            _send(connection, {"stage": BEGUN})
            _send(connection, *_answer(worker, connection, job, content))
    except (EOFError, ConnectionError):  # the service has ended
        return


def _answer(
    worker: Worker, connection: Connection, job: dict[str, Any], content: bytes
) -> tuple[dict[str, Any], Optional[np.ndarray]]:
    """Return the answer to a job, and its embeddings."""
    try:
        try:
            waveform = worker.decode(job, content)
        except NoDecoder as error:
            return {"problem": "unsupported_format", "detail": error.reason}, None
        except TooLong as error:
            return {"problem": "too_long", "detail": error.reason}, None
        except (BadAudio, MemoryError) as error:
            reason = error.reason if isinstance(error, BadAudio) else "decoding it needs too much memory"
            return _unusable(job, reason)
        except Exception as error:  # the errors of decoders for damaged files have no common base class
            warn(f"decoding failed: {type(error).__name__}: {error}")
            return _unusable(job, "decoding it failed")
        _send(connection, {"stage": DECODED})
        result, vectors = {EXAMINE: worker.examine, EMBED: worker.embed, DIARIZE: worker.diarize}[job["op"]](
            job, waveform
        )
        return {"result": result}, vectors
    except UnusableRecording as error:
        return _unusable(job, error.reason)
    except InputError as error:
        return {"problem": "unusable", "detail": str(error)}, None
    except Exception:  # a bug of ours: the caller is told that there is one, the details are in the log
        print_failure()
        return {"problem": "failed", "detail": "The service failed on this recording."}, None


def _unusable(job: dict[str, Any], reason: str) -> tuple[dict[str, Any], Optional[np.ndarray]]:
    """Return the answer for an unusable recording: a result if recordings are examined, otherwise a problem."""
    if job["op"] == EXAMINE:
        return {"result": examined_facts(Examined(job["name"], None, None, Problem(UNUSABLE, reason)))}, None
    return {"problem": UNUSABLE, "detail": reason}, None


def _send(connection: Connection, answer: dict[str, Any], vectors: Optional[np.ndarray] = None) -> None:
    if "result" in answer:
        answer["shape"] = None if vectors is None else list(vectors.shape)
    connection.send_bytes(json.dumps(answer).encode())
    if vectors is not None:
        connection.send_bytes(vectors.astype("<f4").tobytes())


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    """Yield the path of a file with this content; if the system can, the file is in memory and has no name."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "recording")
            path.write_bytes(content)
            yield path
        return
    handle = os.memfd_create("recording")
    try:
        with open(handle, "wb", closefd=False) as stream:
            stream.write(content)
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _forbid_dumps(max_bytes: int) -> None:
    """Forbid this process to write memory dumps and large files."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))


@contextmanager
def _little_memory() -> Iterator[None]:
    """Limit the additional memory of the block to DECODING_BYTES, if the system can (Linux)."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    wanted = used + DECODING_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
