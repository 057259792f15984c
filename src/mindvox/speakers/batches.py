"""Enrol and identify whole corpora: folders, lists, Kaldi folders, csv files."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mindvox.corpus.layouts import Corpus
from mindvox.corpus.tree import Recording
from mindvox.decisions import UNUSABLE
from mindvox.errors import InputError
from mindvox.extraction import Choice, Workers, opened
from mindvox.files import PathLike, lock_output, sync
from mindvox.parallel import call_all
from mindvox.progress import Progress
from mindvox.speakers.enrolment import Enrolment, Rules, decide, hear_all, samples_before
from mindvox.speakers.identification import (
    Candidates,
    Identification,
    answer_for_unfit,
    identify_embeddings,
    naming_of,
)
from mindvox.speakers.listening import Heard, Listener, UnfitRecording
from mindvox.speakers.store import NEW, NoSuchSpeaker, SpeakerExists, SpeakerStore, Terms

DEFAULT_RULES, EVERYBODY = Rules(), Candidates()


@dataclass(frozen=True)
class Hearers:
    """Worker processes that hear recordings; this process decides what to do with the results.

    Args:
        choice: the settings of the listener that each worker opens.
        workers: how many workers there are, and where.
    """

    choice: Choice[Listener]
    workers: Workers


class _Job(NamedTuple):
    choice: Choice[Listener]
    folder: str
    recording: Recording
    channel: Optional[int]


def enrol_all(
    store: SpeakerStore,
    listener: Listener,
    corpus: Corpus,
    mode: str = NEW,
    terms: Optional[Terms] = None,
    rules: Rules = DEFAULT_RULES,
    channel: Optional[int] = None,
    progress: Optional[Progress] = None,
    hearers: Optional[Hearers] = None,
) -> Iterator[Enrolment]:
    """Enrol the speakers of a corpus, each with all recordings or not at all, and yield the result for each.

    With NEW, speakers who are already enrolled are skipped, so an interrupted run continues where it stopped.

    Args:
        store, listener, mode, terms, rules, channel: see `enrol`.
        corpus: speakers and their recordings.
        progress: counts the recordings.
        hearers: the worker processes that hear the recordings; None: `listener`, in this process.

    Raises:
        InputError: a worker process was killed; speakers enrolled before that stay enrolled.
    """
    rules = rules.of_model(listener.embedder)
    by_speaker = sorted(corpus.recordings, key=lambda recording: recording.spk_id)
    groups = {name: list(group) for name, group in groupby(by_speaker, lambda recording: recording.spk_id)}
    missing = {name: group for name, group in groups.items() if mode != NEW or not _is_enrolled(store, name)}
    if progress is not None:
        progress.restart(len(by_speaker) - sum(map(len, missing.values())))
    recordings = [recording for group in missing.values() for recording in group]
    with closing(_hear_each(listener, corpus, recordings, channel, hearers)) as hearings:
        for name, group in missing.items():
            heard, left_out = hear_all(group, lambda _: _heard(next(hearings)), progress)
            try:
                before = samples_before(store, name, mode)
                enrolment = decide(store, name, heard, left_out, before, mode, terms, rules)
            except SpeakerExists:  # another process has enrolled this speaker meanwhile
                continue
            yield enrolment


def _is_enrolled(store: SpeakerStore, name: str) -> bool:
    try:
        store.get(name)
    except NoSuchSpeaker:
        return False
    return True


def _hear_each(
    listener: Listener,
    corpus: Corpus,
    recordings: Sequence[Recording],
    channel: Optional[int],
    hearers: Optional[Hearers],
) -> Generator[Heard | UnfitRecording, None, None]:
    """Yield what is heard in each recording, in the order of the recordings."""
    if hearers is None:
        yield from (_hearing(listener, corpus.folder, recording, channel) for recording in recordings)
        return
    jobs = [_Job(hearers.choice, os.path.abspath(corpus.folder), recording, channel) for recording in recordings]
    with closing(call_all(_hear_job, jobs, hearers.workers.num_processes, hearers.workers.dask)) as hearings:
        yield from hearings


def _hear_job(job: _Job) -> Heard | UnfitRecording:
    return _hearing(opened(job.choice), job.folder, job.recording, job.channel)


def _hearing(listener: Listener, folder: str, recording: Recording, channel: Optional[int]) -> Heard | UnfitRecording:
    try:
        return hear(listener, folder, recording, channel)
    except UnfitRecording as error:
        return error


def _heard(hearing: Heard | UnfitRecording) -> Heard:
    if isinstance(hearing, UnfitRecording):
        raise hearing
    return hearing


def hear(listener: Listener, folder: PathLike, recording: Recording, channel: Optional[int] = None) -> Heard:
    """Return what is heard in a recording of a corpus in a folder; see `Listener.hear`."""
    try:
        heard = listener.hear(recording.section(folder), None, channel)
    except UnfitRecording as error:
        raise UnfitRecording(recording.utt_id, error.reason, error.code, error.quality) from None
    return Heard(recording.utt_id, heard.embedding, heard.quality)


def identify_all(
    store: SpeakerStore,
    listener: Listener,
    corpus: Corpus,
    out: PathLike,
    to_dict: Callable[[str, Identification], dict[str, Any]],
    candidates: Candidates = EVERYBODY,
    channel: Optional[int] = None,
    progress: Optional[Progress] = None,
    hearers: Optional[Hearers] = None,
) -> dict[str, int]:
    """Identify the speakers of all recordings of a corpus, and append one line of JSON per recording to a file.

    Recordings that the file already has are skipped, so an interrupted run continues where it stopped.

    Args:
        store, listener, candidates, channel: see `identify`.
        out: the file.
        to_dict: turns the name and the answer into the content of a line; its key "recording" must be the name.
        progress: counts the recordings.
        hearers: see `enrol_all`.

    Returns:
        The number of lines in the file, per answer.

    Raises:
        InputError: another process is writing the file, the file holds something else, or a worker process was killed.
    """
    naming = naming_of(store, listener.embedder, candidates)
    with lock_output(out, wait=False):
        counts, done = _finished_lines(Path(out))
        missing = [recording for recording in corpus.recordings if recording.utt_id not in done]
        unread = [UnfitRecording(name, why, UNUSABLE) for name, why in corpus.skipped if name not in done]
        if progress is not None:
            progress.restart(len(corpus.recordings) - len(missing))
        hearings = _hear_each(listener, corpus, missing, channel, hearers)
        with open(out, "a", encoding="utf-8") as stream, closing(hearings):
            for hearing in chain(hearings, unread):
                if isinstance(hearing, UnfitRecording):
                    name, found = hearing.name, answer_for_unfit(hearing, naming.threshold)
                else:
                    name, one = hearing.source, hearing.embedding[None]
                    (found,) = identify_embeddings(store, one, candidates, naming, [hearing.quality])
                stream.write(json.dumps(to_dict(name, found), ensure_ascii=False) + "\n")
                stream.flush()
                counts[found.answer] = counts.get(found.answer, 0) + 1
                if progress is not None:
                    progress.show(1)
        sync(out)
    return counts


def _finished_lines(out: Path) -> tuple[dict[str, int], set[str]]:
    """Return how many lines of a file have each answer, and the recordings' names; cut off an incomplete last line."""
    counts: dict[str, int] = {}
    done: set[str] = set()
    if not out.is_file():
        return counts, done
    whole = 0
    with open(out, "rb") as stream:
        for line_no, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                break
            try:
                known = json.loads(line)
                done.add(known["recording"])
                counts[known["answer"]] = counts.get(known["answer"], 0) + 1
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"{out}:{line_no}: expected lines that `mindvox identify-all` wrote. Choose another file."
                ) from None
            whole += len(line)
    os.truncate(out, whole)
    return counts, done


def problems(enrolments: Sequence[Enrolment]) -> list[tuple[str, str, str]]:
    """Return (name, recording, reason) for all that was not enrolled; an empty recording means the whole speaker."""
    found = []
    for one in enrolments:
        if not one.enrolled:
            found.append((one.name, "", one.reason))
        found += [(one.name, left.source, left.reason) for left in one.left_out]
    return found
