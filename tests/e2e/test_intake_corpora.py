"""Corpora in the shapes that people have go through intake, preparation, training and evaluation, by real commands.

Each is made of Mini LibriSpeech: 48 recordings of 6 speakers. Together they have names with spaces, MP3, 44.1 kHz,
times in seconds, lists in five forms, and folders at several depths.
"""

import csv
import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from scipy.signal import resample_poly

ROOT = Path(__file__).resolve().parents[2]
MINI_LIBRISPEECH = ROOT.parent / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
NUM_SPEAKERS, NUM_RECORDINGS = 6, 8  # of each speaker
RATE, LENGTH = 16000, 24000
TINY = ("--channels=16", "--emb_size=8", "--train_frames=60", "--num_epochs=2", "--device_target=CPU")
pytestmark = pytest.mark.skipif(
    not MINI_LIBRISPEECH.exists(), reason="needs mini_librispeech, which is not part of the project"
)


def recordings() -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield speaker, number and 1.5 s of each recording."""
    for speaker in sorted(MINI_LIBRISPEECH.iterdir())[:NUM_SPEAKERS]:
        for number, path in enumerate(sorted(speaker.rglob("*.flac"))[:NUM_RECORDINGS]):
            yield speaker.name, number, soundfile.read(path, frames=LENGTH)[0]


def write(path: Path, waveform: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, resample_poly(waveform, rate // 100, RATE // 100) if rate != RATE else waveform, rate)


def write_whole(folder: Path, rate: int) -> dict[str, Path]:
    """Write all recordings of each speaker into one file; recording n is from 1.5 n to 1.5 (n + 1) seconds."""
    parts: dict[str, list[np.ndarray]] = {}
    for speaker, _, waveform in recordings():
        parts.setdefault(speaker, []).append(waveform)
    for speaker, waveforms in parts.items():
        write(folder / f"{speaker}.wav", np.concatenate(waveforms), rate)
    return {speaker: folder / f"{speaker}.wav" for speaker in parts}


def flat_with_spaces(folder: Path) -> list[str]:
    for speaker, number, waveform in recordings():
        write(folder / f"the {speaker}_take {number}.wav", waveform)
    return [str(folder), "--speaker_pattern=the {speaker}_*"]


def deep_folders_of_mp3(folder: Path) -> list[str]:
    for speaker, number, waveform in recordings():
        place = folder / speaker / "2024 05" / "phone" / "left"
        write(Path(*place.parts[: len(place.parts) - number % 4]) / f"{number}.mp3", waveform, 44100)
    return [str(folder)]


def csv_with_times_at_44_khz(folder: Path) -> list[str]:
    whole = write_whole(folder / "audio", 44100)
    with open(folder / "list.csv", "w", newline="", encoding="utf-8-sig") as stream:
        rows = csv.writer(stream)
        rows.writerow(["speaker", "path", "start", "end", "remark"])
        for speaker, number, _ in recordings():
            rows.writerow([f"Dr. {speaker}", whole[speaker].relative_to(folder), 1.5 * number, 1.5 * number + 1.5, "x"])
    return [str(folder / "list.csv")]


def kaldi_folder_with_segments(folder: Path) -> list[str]:
    whole = write_whole(folder / "audio", RATE)
    lines: dict[str, list[str]] = {"wav.scp": [], "segments": [], "utt2spk": []}
    lines["wav.scp"] = [f"{speaker}-all {path}\n" for speaker, path in whole.items()]
    for speaker, number, _ in recordings():
        lines["segments"].append(f"{speaker}-{number} {speaker}-all {1.5 * number:.2f} {1.5 * number + 1.5:.2f}\n")
        lines["utt2spk"].append(f"{speaker}-{number} {speaker}\n")
    for name, text in lines.items():
        (folder / name).write_text("".join(text))
    return [str(folder)]


def lhotse_manifests(folder: Path) -> list[str]:
    whole = write_whole(folder / "audio", RATE)
    entries = [
        {"id": name, "sources": [{"type": "file", "channels": [0], "source": f"audio/{path.name}"}]}
        for name, path in whole.items()
    ]
    supervisions = [
        {"id": f"{name}-{n}", "recording_id": name, "start": 1.5 * n, "duration": 1.5, "channel": 0, "speaker": name}
        for name, n, _ in recordings()
    ]
    for kind, lines in (("recordings", entries), ("supervisions", supervisions)):
        with gzip.open(folder / f"mini_{kind}_all.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in lines)
    return [str(folder)]


def list_of_voxceleb_trainer(folder: Path) -> list[str]:
    lines = []
    for speaker, number, waveform in recordings():
        write(folder / "data" / "wav" / speaker / "s" / f"{number}.flac", waveform)
        lines.append(f"{speaker} {speaker}/s/{number}.flac\n")
    (folder / "train_list.txt").write_text("".join(lines))
    return [str(folder / "train_list.txt"), f"--data_folder={folder / 'data' / 'wav'}"]


SHAPES = [
    flat_with_spaces,
    *(
        pytest.param(make, marks=pytest.mark.slow)
        for make in (
            deep_folders_of_mp3,
            csv_with_times_at_44_khz,
            kaldi_folder_with_segments,
            lhotse_manifests,
            list_of_voxceleb_trainer,
        )
    ),
]


def must(*command: str) -> str:
    words = [sys.executable if word == "python" else word for word in command]
    environment = {**os.environ, "GLOG_v": "3"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.usefixtures("small_model")  # what a corpus becomes does not depend on the model
def test_a_corpus_is_taken_in_prepared_trained_and_evaluated(make: Callable[[Path], list[str]], tmp_path: Path):
    folder, target = tmp_path / "corpus", tmp_path / "my target"
    folder.mkdir()
    printed = must(
        "python", "-m", "mindvox.corpus.intake", *make(folder)[:1], str(target), *make(folder)[1:], "--test_speakers=2"
    )
    commands = [shlex.split(line) for line in printed.split("next:\n")[1].splitlines()]
    assert [words[1] for words in commands] == ["train_data_prepare.py", "eval_data_prepare.py", "train.py", "eval.py"]
    output = [must(*words, *(TINY if words[1] in ("train.py", "eval.py") else ())) for words in commands]
    assert f"{4 * NUM_RECORDINGS} records from {4 * NUM_RECORDINGS} utterances" in output[0]
    assert f"{2 * NUM_RECORDINGS} records from {2 * NUM_RECORDINGS} utterances" in output[1]
    assert len(re.findall(r"^eer (?:baseline|sub mean|s-norm):0\.\d{4}", output[3], re.M)) == 3
    prepared = yaml.safe_load((target / "prepare_train.yaml").read_text(encoding="utf-8"))
    with open(Path(prepared["output_folder"], "save", "train.csv"), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with open(target / "features" / "eval" / "index.csv", encoding="utf-8") as stream:
        tested = list(csv.DictReader(stream))
    assert not {row["spk_id"] for row in rows} & {row["spk_id"] for row in tested}
    assert len({row["spk_id"] for row in rows}) == 4
    assert all(abs(float(row["duration"]) - 1.5) < 0.05 for row in rows)  # MP3 pads
    assert all(abs(int(row["num_frames"]) - 151) <= 5 for row in tested)
