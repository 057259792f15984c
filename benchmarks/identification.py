"""Open-set identification on Mini LibriSpeech: how often strangers are given a name, beside the target.

`python benchmarks/identification.py CORPUS [--model MODEL] [--cache FILE.npz]`

CORPUS is mini_librispeech: 251 training readers with one recording each, six test readers with ten. What is known of
different speakers (mindvox.speakers.backgrounds) is fitted on the training readers alone: 3 s of each against the
centroids of the others. Then three test readers are enrolled among the 251, by three recordings each, in all 20 ways;
the other three are strangers. Pieces of 3 s of the seven other recordings of all six are identified.
"""

import argparse
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.corpus.audio import read_audio
from mindvox.corpus.walk import walk_audio
from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.speakers.backgrounds import background_of, fit_background
from mindvox.speakers.identification import IDENTIFIED, Candidates, identify_embeddings, name_threshold, naming_of
from mindvox.speakers.listening import Listener, UnfitRecording
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ModelIdentity, Sample, Speaker, unit_rows
from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector

PIECE = 3 * SAMPLE_RATE
MOST_PIECES = 3  # of a recording
NUM_ENROL = 3  # recordings of a test reader
RATES = (0.1, 0.01, 0.001)


def pieces_of(listener: Listener, folder: Path) -> tuple[list[str], list[int], np.ndarray]:
    """Return reader, number of the recording, and embedding of each piece that can be used."""
    readers, numbers, embeddings = [], [], []
    count: dict[str, int] = {}
    for name in walk_audio(folder).names:
        reader = name.split("/")[0]
        count[reader] = count.get(reader, -1) + 1
        waveform = read_audio(folder / name).waveform
        for first in range(0, min(len(waveform) - PIECE + 1, MOST_PIECES * PIECE), PIECE):
            try:
                embeddings.append(listener.hear(waveform[first : first + PIECE]).embedding)
            except UnfitRecording:
                continue
            readers.append(reader)
            numbers.append(count[reader])
    return readers, numbers, np.stack(embeddings)


def read_pieces(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    if arguments.cache is not None and arguments.cache.is_file():
        return dict(np.load(arguments.cache))
    listener = Listener(Embedder.open(arguments.model), SpeechDetector.open())
    found = {}
    for part, folder in (("train", "voxceleb12"), ("test", "voxceleb1")):
        readers, numbers, embeddings = pieces_of(listener, arguments.corpus / folder / "wav")
        found |= {f"{part}_readers": np.array(readers), f"{part}_numbers": np.array(numbers), part: embeddings}
    if arguments.cache is not None:
        np.savez(arguments.cache, **found)
    return found


def different_speakers(readers: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Return the cosine of each piece with the centroid of every other reader."""
    names = np.unique(readers)
    unit = unit_rows(embeddings)
    centroids = unit_rows(np.stack([unit[readers == name].mean(axis=0) for name in names]))
    return (unit @ centroids.T)[readers[:, None] != names[None, :]]


def interval(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.96, count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def measure(pieces: dict[str, np.ndarray], embedder: Embedder) -> None:
    identity = ModelIdentity.of(embedder)
    readers, numbers = pieces["test_readers"], pieces["test_numbers"]
    is_query = numbers >= NUM_ENROL
    names = sorted(set(readers.tolist()))
    counts = {rate: {"strangers": 0, "named": 0, "own": 0, "missed": 0, "wrong": 0} for rate in RATES}
    named_readers: dict[float, set[str]] = {rate: set() for rate in RATES}
    for chosen in combinations(names, len(names) // 2):
        with tempfile.TemporaryDirectory() as folder, SqliteStore.open(Path(folder, "s.db"), identity) as store:
            enrol(store, pieces["train_readers"], pieces["train"])
            is_enrolled = np.isin(readers, chosen)
            enrol(store, readers[is_enrolled & ~is_query], pieces["test"][is_enrolled & ~is_query])
            for rate in RATES:
                candidates = Candidates(target_rate=rate)
                naming = naming_of(store, embedder, candidates)
                unknown = [None] * int(is_query.sum())  # qualities: all readers are wide-band
                answers = identify_embeddings(store, pieces["test"][is_query], candidates, naming, unknown)
                for reader, found in zip(readers[is_query], answers, strict=True):
                    count = counts[rate]
                    is_named = found.answer == IDENTIFIED
                    if reader in chosen:
                        count["own"] += 1
                        count["missed"] += not is_named
                        count["wrong"] += is_named and found.name != reader
                    else:
                        count["strangers"] += 1
                        count["named"] += is_named
                        if is_named:
                            named_readers[rate].add(reader)
    print(f"{len(names)} readers, {is_query.sum()} pieces; {naming.threshold.num_speakers} candidates")
    print("| target | threshold | strangers named | 95 % interval | readers named | enrolled missed | wrong name |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, SqliteStore.open(Path(folder, "s.db"), identity) as store:
        enrol(store, pieces["train_readers"], pieces["train"])
        for rate, count in counts.items():
            value = name_threshold(store, embedder.model_file, Candidates(target_rate=rate)).value
            low, high = interval(count["named"], count["strangers"])
            print(
                f"| {rate:g} | {value:.3f} | {count['named']} of {count['strangers']} | {low:.4f} to {high:.4f} "
                f"| {len(named_readers[rate])} of {len(names)} | {count['missed']} of {count['own']} "
                f"| {count['wrong']} |"
            )


def enrol(store: SqliteStore, readers: np.ndarray, embeddings: np.ndarray) -> None:
    store.put_all(
        Speaker(name, tuple(Sample(vector) for vector in embeddings[readers == name])) for name in np.unique(readers)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--cache", type=Path, help="file that keeps the embeddings")
    arguments = parser.parse_args()
    pieces = read_pieces(arguments)
    embedder = Embedder.open(arguments.model)
    fitted = fit_background(different_speakers(pieces["train_readers"], pieces["train"]), "training readers")
    print(
        f"fitted: location {fitted.location:.4f}, scale {fitted.scale:.4f}; used: {background_of(embedder.model_file)}"
    )
    measure(pieces, embedder)


if __name__ == "__main__":
    main()
