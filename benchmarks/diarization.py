"""Diarization: error rates on AMI excerpts and on mixed conversations, names, and long recordings.

`python benchmarks/diarization.py SHARED_DATA [--parts ami mixtures overlaps names hour] [--num 30] [--hours 1]
[--peer_python PYTHON] [--out FILE.json]`

SHARED_DATA holds `ami_excerpts` and `mini_librispeech`. The models are those of `mindvox fetch campplus_zh_en` and
`segmentation_pyannote`. Nothing here was used to choose an option: see docs/diarization.md. Times are CPU seconds of a
process, all threads together, as a share of the recordings' length. PYTHON is an environment with senko 0.2.2, which
then diarizes each recording after ours.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
from workers import Worker, peak_memory_gib

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.corpus.audio import SAMPLE_RATE, read_audio
from mindvox.diarization.conversations import Conversation, mix, speech_pieces
from mindvox.diarization.corpora import Referenced, read_referenced
from mindvox.diarization.names import name_speakers
from mindvox.diarization.pipeline import Diarizer
from mindvox.diarization.scoring import Measure, score_all, total
from mindvox.diarization.turns import Turn, speakers_of
from mindvox.speakers.store import ModelIdentity, Sample, Speaker, open_store
from mindvox.speech.detector import SpeechDetector

MEASURES = {"all": Measure(), "collar 0.25, no overlap": Measure(0.25, True)}
READERS = "voxceleb1"  # of mini_librispeech: six who are in no training set
FIRST_SEED = {"mixtures": 1000, "overlaps": 2000, "names": 3000}
OVERLAP = {"mixtures": 0.0, "overlaps": 0.15, "names": 0.0}
NUM_SPEAKERS = (2, 3, 4, 5, 6)
NUM_ENROL = 3  # recordings of a reader that are enrolled, and in no conversation
Recordings = Mapping[str, list[np.ndarray]]
"""Recordings by reader."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", default=["ami", *FIRST_SEED, "hour"])
    parser.add_argument("--num", type=int, default=30, help="conversations of each kind")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the long recording")
    parser.add_argument("--peer_python", help="interpreter of an environment with senko")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    diarizer, results = Diarizer.open(), {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = None
        if given.peer_python:
            peer = stack.enter_context(Worker(given.peer_python, Path(__file__).with_name("diarization_senko.py")))
        for part in given.parts:
            if part == "hour":
                results[part] = long_recording(given.data, diarizer, given.hours, folder)
            elif part == "ami":
                ami = given.data / "ami_excerpts"
                found = read_referenced(ami, ami / "reference.rttm")
                results[part] = measure(diarizer, dict(as_wav(found, folder)), peer)
            elif part == "names":
                results[part] = names(diarizer, given.data, given.num, folder)
            else:
                pieces = pieces_of(recordings_of(given.data))
                results[part] = measure(diarizer, dict(conversations(pieces, part, given.num, folder)), peer)
            print(part, json.dumps(results[part]), flush=True)
            if given.out:
                given.out.write_text(json.dumps(results, indent=1))
    return 0


def recordings_of(data: Path) -> Recordings:
    folders = sorted((data / "mini_librispeech" / READERS / "wav").iterdir())
    return {folder.name: [read_audio(path).waveform for path in sorted(folder.rglob("*.flac"))] for folder in folders}


def pieces_of(recordings: Recordings) -> Recordings:
    """Return the speech of each reader, cut at pauses."""
    detector = SpeechDetector.open()
    return {
        reader: [piece for waveform in own for piece in speech_pieces(waveform, detector)]
        for reader, own in recordings.items()
    }


def conversations(pieces: Recordings, part: str, num: int, folder: Path) -> Iterator[tuple[str, Referenced]]:
    """Mix conversations, and write each to a file of 16 bits."""
    rng, options = np.random.default_rng(FIRST_SEED[part]), Conversation(overlap=OVERLAP[part])
    for number in range(num):
        chosen = rng.permutation(sorted(pieces))[: NUM_SPEAKERS[number % len(NUM_SPEAKERS)]]
        mixture = mix({name: pieces[name] for name in chosen}, options, FIRST_SEED[part] + number)
        path = folder / f"{part}_{number:02}.wav"
        soundfile.write(path, mixture.waveform, SAMPLE_RATE)
        yield path.stem, Referenced(path, mixture.turns)


def as_wav(recordings: Mapping[str, Referenced], folder: Path) -> Iterator[tuple[str, Referenced]]:
    """Write recordings to files of 16 bits, the only ones that senko reads."""
    for name, item in recordings.items():
        path = folder / f"{name}.wav"
        soundfile.write(path, read_audio(item.path).waveform, SAMPLE_RATE)
        yield name, item._replace(path=path)


def measure(diarizer: Diarizer, recordings: Mapping[str, Referenced], peer: Worker | None) -> dict:
    """Return the error rates and the time; with a peer, its own under "senko"."""
    references = {name: item.turns for name, item in recordings.items()}
    found, theirs, seconds, cpu_s, peer_cpu_s = {}, {}, 0.0, 0.0, 0.0
    for diarize in (diarizer.diarize, peer and (lambda path: peer.ask("diarize", path=str(path)))):
        if diarize:  # the first call compiles and loads, and does not count
            diarize(next(iter(recordings.values())).path)
    for name, item in recordings.items():
        started = time.process_time()
        diarization = diarizer.diarize(item.path)
        cpu_s += time.process_time() - started
        found[name], seconds = diarization.turns, seconds + diarization.duration_s
        if peer is not None:
            answer = peer.ask("diarize", path=str(item.path))
            theirs[name] = [Turn(*turn) for turn in answer["turns"]]
            peer_cpu_s += answer["cpu_s"]
    result = {"errors": rates(references, found), "cpu": cpu_s / seconds, "seconds": seconds}
    if peer is not None:
        result["senko"] = {"errors": rates(references, theirs), "cpu": peer_cpu_s / seconds}
    return result


def rates(references: dict, hypotheses: dict) -> dict:
    table = {}
    for label, what in MEASURES.items():
        errors = total(score_all(references, hypotheses, what))
        parts = {"missed": errors.missed_s, "false_alarm": errors.false_alarm_s, "confusion": errors.confusion_s}
        table[label] = {
            "der": errors.der,
            **{name: value / errors.speech_s for name, value in parts.items()},
            "jer": errors.jer,
            "speakers": errors.num_speakers,
            "found": errors.num_found,
            "right": f"{errors.num_right_counts} of {errors.num_recordings}",
        }
    return table


def names(diarizer: Diarizer, data: Path, num: int, folder: Path) -> dict:
    """Enrol all readers of a conversation but one, from recordings that are not in it, and name its speakers.

    A reader is found as the speaker who talks most while they do. A conversation is right where every enrolled reader
    is found by their name, and the other one without a name.
    """
    recordings = recordings_of(data)
    pieces = pieces_of({reader: own[NUM_ENROL:] for reader, own in recordings.items()})
    embeddings = {
        reader: [Sample(diarizer.embedder.embed(waveform)) for waveform in own[:NUM_ENROL]]
        for reader, own in recordings.items()
    }
    rng = np.random.default_rng(FIRST_SEED["names"])
    counts = {"conversations": 0, "right": 0, "enrolled": 0, "named": 0, "strangers": 0, "unnamed": 0}
    for name, item in conversations(pieces, "names", num, folder):
        readers = speakers_of(item.turns)
        stranger = readers[rng.integers(len(readers))]
        enrolled = [Speaker(reader, tuple(embeddings[reader])) for reader in readers if reader != stranger]
        with open_store(folder / f"{name}.db", ModelIdentity.of(diarizer.embedder)) as store:
            store.put_all(enrolled)
            turns = name_speakers(diarizer.diarize(item.path), store, diarizer.embedder).turns
        found = {reader: most_heard(reader, item.turns, turns) for reader in readers}
        named = sum(found[reader] == reader for reader in readers if reader != stranger)
        unnamed = found[stranger] not in {speaker.name for speaker in enrolled}
        counts["conversations"] += 1
        counts["right"] += unnamed and named == len(enrolled)
        counts["enrolled"] += len(enrolled)
        counts["named"] += named
        counts["strangers"] += 1
        counts["unnamed"] += unnamed
    return counts


def most_heard(reader: str, reference: list[Turn], found: list[Turn]) -> str | None:
    """Return the speaker who is found for most of the time in which a reader talks."""
    common: dict[str, float] = {}
    for turn in (turn for turn in reference if turn.speaker == reader):
        for other in found:
            seconds = min(turn.end_s, other.end_s) - max(turn.start_s, other.start_s)
            common[other.speaker] = common.get(other.speaker, 0.0) + max(0.0, seconds)
    return max(common, key=common.__getitem__, default=None)


def long_recording(data: Path, diarizer: Diarizer, hours: float, folder: Path) -> dict:
    """Diarize a file with one conversation of six readers, again and again."""
    *_, (_, item) = conversations(pieces_of(recordings_of(data)), "overlaps", 5, folder)
    once = read_audio(item.path).waveform
    path, num_left = folder / "long.wav", round(hours * 3600 * SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        while num_left:
            file.write(once[:num_left])
            num_left -= min(num_left, len(once))
    before_gib, started = peak_memory_gib(), time.process_time()
    found = diarizer.diarize(path, show_progress=True)
    return {
        "hours": hours,
        "speakers": len(found.speakers),
        "cpu": (time.process_time() - started) / found.duration_s,
        "peak_gib_before": before_gib,
        "peak_gib": peak_memory_gib(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
