"""Diarization: error rates on AMI excerpts and on mixed conversations, and speed.

`python benchmarks/diarization.py SHARED_DATA [--parts ami mixtures overlaps hour] [--num 30] [--out FILE.json]`

SHARED_DATA holds `ami_excerpts` and `mini_librispeech`. The models are those of `mindvox fetch campplus_zh_en` and
`segmentation_pyannote`. Nothing here was used to choose an option: see docs/diarization.md. Times are CPU seconds of
this process, all threads together, as a share of the recordings' length, beside the time on the clock.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE, read_audio
from mindvox.diarization.conversations import Conversation, mix, speech_pieces
from mindvox.diarization.corpora import read_referenced
from mindvox.diarization.pipeline import Diarizer
from mindvox.diarization.scoring import Measure, score_all, total
from mindvox.speech.detector import SpeechDetector

MEASURES = {"all": Measure(), "collar 0.25, no overlap": Measure(0.25, True)}
READERS = "voxceleb1"  # of mini_librispeech: six who are in no training set
FIRST_SEED = {"mixtures": 1000, "overlaps": 2000}
OVERLAP = {"mixtures": 0.0, "overlaps": 0.15}
NUM_SPEAKERS = (2, 3, 4, 5, 6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", default=["ami", *FIRST_SEED, "hour"])
    parser.add_argument("--num", type=int, default=30, help="conversations of each kind")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the long recording")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    diarizer, results = Diarizer.open(), {}
    for part in given.parts:
        if part == "hour":
            results[part] = long_recording(given.data, diarizer, given.hours)
        elif part == "ami":
            folder = given.data / "ami_excerpts"
            found = read_referenced(folder, folder / "reference.rttm")
            results[part] = measure(diarizer, {name: (item.path, item.turns) for name, item in found.items()})
        else:
            results[part] = measure(diarizer, mixtures(given.data, part, given.num))
        print(part, json.dumps(results[part]), flush=True)
        if given.out:
            given.out.write_text(json.dumps(results, indent=1))
    return 0


def readers(data: Path) -> dict[str, list[np.ndarray]]:
    detector = SpeechDetector.open()
    return {
        folder.name: [
            piece
            for path in sorted(folder.rglob("*.flac"))
            for piece in speech_pieces(read_audio(path).waveform, detector)
        ]
        for folder in sorted((data / "mini_librispeech" / READERS / "wav").iterdir())
    }


def mixtures(data: Path, part: str, num: int) -> dict:
    pieces, rng = readers(data), np.random.default_rng(FIRST_SEED[part])
    found = {}
    for number in range(num):
        chosen = rng.permutation(sorted(pieces))[: NUM_SPEAKERS[number % len(NUM_SPEAKERS)]]
        options = Conversation(overlap=OVERLAP[part])
        mixture = mix({name: pieces[name] for name in chosen}, options, FIRST_SEED[part] + number)
        found[f"{part}_{number:02}"] = (mixture.waveform, mixture.turns)
    return found


def measure(diarizer: Diarizer, recordings: dict) -> dict:
    hypotheses, seconds = {}, 0.0
    started, on_clock = time.process_time(), time.time()
    for name, (source, _) in recordings.items():
        found = diarizer.diarize(source)
        hypotheses[name], seconds = found.turns, seconds + found.duration_s
    times = {"cpu": (time.process_time() - started) / seconds, "clock": (time.time() - on_clock) / seconds}
    references = {name: turns for name, (_, turns) in recordings.items()}
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
    return {"errors": table, "per_second": times, "seconds": seconds}


def long_recording(data: Path, diarizer: Diarizer, hours: float) -> dict:
    """One conversation of six readers, again and again."""
    waveform = next(iter(mixtures(data, "overlaps", 5)[name][0] for name in ["overlaps_04"]))
    waveform = np.resize(waveform, round(hours * 3600 * SAMPLE_RATE))
    started, on_clock = time.process_time(), time.time()
    found = diarizer.diarize(waveform, show_progress=True)
    seconds = len(waveform) / SAMPLE_RATE
    return {
        "hours": hours,
        "speakers": len(found.speakers),
        "cpu": (time.process_time() - started) / seconds,
        "clock": (time.time() - on_clock) / seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    raise SystemExit(main())
