"""Enrol and identify whole corpora: folders, lists, Kaldi folders, csv files."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.audio import BadAudio, read_audio
from mindvox.corpus.layouts import Corpus, open_corpus
from mindvox.corpus.tree import Recording
from mindvox.corpus.walk import walk_audio
from mindvox.decisions import UNUSABLE
from mindvox.errors import InputError
from mindvox.files import PathLike, lock_output, sync
from mindvox.progress import Progress
from mindvox.speakers.enrolment import Enrolment, Rules, decide, hear_all, samples_before, thresholds_of
from mindvox.speakers.identification import (
    Candidates,
    Identification,
    answer_for_unfit,
    identify_embeddings,
    name_threshold,
)
from mindvox.speakers.listening import Heard, Listener, UnfitRecording
from mindvox.speakers.store import NEW, NoSuchSpeaker, SpeakerStore, Terms
from mindvox.speech.detector import SAMPLE_RATE

NO_SPEAKER = ""
DEFAULT_RULES, EVERYBODY = Rules(), Candidates()


def corpus_of(source: PathLike, layout: str = "auto", speaker_pattern: str = "", data_list: PathLike = "") -> Corpus:
    """List the recordings of a folder, or of a list with the recordings beside it; see `open_corpus`."""
    source = Path(source)
    if source.is_file() and not data_list:
        return open_corpus(source.parent, layout, speaker_pattern, source)
    return open_corpus(source, layout, speaker_pattern, data_list)


def recordings_below(folder: PathLike) -> Corpus:
    """List the recordings at any depth below a folder, whoever speaks in them.

    Raises:
        InputError: there are none.
    """
    found = walk_audio(folder)
    if not found.names:
        raise InputError(f"{folder}: expected recordings in this folder, found none.")
    recordings = [Recording(name, name, NO_SPEAKER) for name in found.names]
    return Corpus(str(folder), "any", recordings, found.skipped, [], lambda name: None)


def enrol_all(
    store: SpeakerStore,
    listener: Listener,
    corpus: Corpus,
    mode: str = NEW,
    terms: Optional[Terms] = None,
    rules: Rules = DEFAULT_RULES,
    channel: Optional[int] = None,
    progress: Optional[Progress] = None,
) -> Iterator[Enrolment]:
    """Enrol the speakers of a corpus, each one whole, and yield what became of each.

    With NEW, speakers who are enrolled already are passed over: a run that was cut off goes on where it stopped.

    Args:
        store, listener, mode, terms, rules, channel: see `enrol`.
        corpus: speakers and their recordings.
        progress: counts the recordings.
    """
    rules = rules.of_model(thresholds_of(listener))
    by_speaker = sorted(corpus.recordings, key=lambda recording: recording.spk_id)
    for name, group in groupby(by_speaker, lambda recording: recording.spk_id):
        recordings = list(group)
        if mode == NEW and _is_enrolled(store, name):
            if progress is not None:
                progress.show(len(recordings))
            continue
        heard, left_out = hear_all(recordings, lambda one: hear(listener, corpus, one, channel), progress)
        yield decide(store, name, heard, left_out, samples_before(store, name, mode), mode, terms, rules)


def _is_enrolled(store: SpeakerStore, name: str) -> bool:
    try:
        store.get(name)
    except NoSuchSpeaker:
        return False
    return True


def hear(listener: Listener, corpus: Corpus, recording: Recording, channel: Optional[int] = None) -> Heard:
    """Return what is heard of a recording of a corpus, or of the part that it lists; see `Listener.hear`."""
    path = Path(corpus.folder, recording.wav)
    given: np.ndarray | Path = path
    rate = None
    if recording.start_s or recording.stop_s is not None:
        start, stop = round(recording.start_s * SAMPLE_RATE), recording.stop_s
        try:
            given = read_audio(
                path, start, None if stop is None else round(stop * SAMPLE_RATE), channel=channel
            ).waveform
        except BadAudio as error:
            raise UnfitRecording(recording.utt_id, error.reason, UNUSABLE) from None
        rate, channel = SAMPLE_RATE, None
    try:
        heard = listener.hear(given, rate, channel)
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
) -> dict[str, int]:
    """Identify the speakers of all recordings of a corpus, a line of JSON each in a file.

    Recordings that the file has already are passed over: a run that was cut off goes on where it stopped.

    Args:
        store, listener, candidates, channel: see `identify`.
        out: the file.
        to_dict: name and answer to what a line says; its key "recording" must be the name.
        progress: counts the recordings.

    Returns:
        How many lines of the file have each answer.

    Raises:
        InputError: another process writes the file, or it holds something else.
    """
    threshold = name_threshold(store, listener.embedder.model_file, candidates)
    with lock_output(out, wait=False):
        counts, done = _finished_lines(Path(out))
        with open(out, "a", encoding="utf-8") as stream:
            for recording in corpus.recordings:
                if recording.utt_id not in done:
                    try:
                        heard = hear(listener, corpus, recording, channel)
                        found = identify_embeddings(
                            store, heard.embedding[None], candidates, threshold, [heard.quality]
                        )[0]
                    except UnfitRecording as error:
                        found = answer_for_unfit(error, threshold)
                    stream.write(json.dumps(to_dict(recording.utt_id, found), ensure_ascii=False) + "\n")
                    stream.flush()
                    counts[found.answer] = counts.get(found.answer, 0) + 1
                if progress is not None:
                    progress.show(1)
        sync(out)
    return counts


def _finished_lines(out: Path) -> tuple[dict[str, int], set[str]]:
    """Return the answers by number and the names in a file; cut off a last line that is not whole."""
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
                    f"{out}:{line_no}: expected lines that identified recordings before. Choose another file."
                ) from None
            whole += len(line)
    os.truncate(out, whole)
    return counts, done


def problems(enrolments: Sequence[Enrolment]) -> list[tuple[str, str, str]]:
    """Return name, recording and reason of everything that was not enrolled; no recording: all of the speaker."""
    found = []
    for one in enrolments:
        if not one.enrolled:
            found.append((one.name, "", one.reason))
        found += [(one.name, left.source, left.reason) for left in one.left_out]
    return found
