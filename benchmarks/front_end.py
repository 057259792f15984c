"""Features and augmentation, utterances of 3 s a second and core, beside SpeechBrain on the same recordings.

`python benchmarks/front_end.py CORPUS --peer_python PYTHON [--rounds 7] [--utterances 256] [--profile]
[--pipeline CHANNELS BATCH WORKERS]`

CORPUS holds `voxceleb12/wav`, `noise/` and `rir/`; PYTHON belongs to an environment with SpeechBrain. Both sides run in
turn, each in a process of its own on one thread; what counts is processor time, the median of the rounds. Recordings,
noises and rooms are first written as 16 kHz wav files, which both read. `--pipeline` also times batches from WORKERS
processes against a training step of that size.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from workers import Worker, alternate

from mindvox.corpus.audio import SAMPLE_RATE, read_audio
from mindvox.corpus.noises import NoiseFolder, RoomFolder
from mindvox.data.train_store import TrainStoreWriter, to_int16
from mindvox.frontend.fbank import Fbank

FOLDER = Path(__file__).resolve().parent
STAGES = ("clean", "drop_freq", "drop_chunk", "speed", "add_rev", "add_noise", "add_rev_noise")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--utterances", type=int, default=256)
    parser.add_argument("--profile", action="store_true", help="where the online mode spends its time, to stderr")
    parser.add_argument("--pipeline", type=int, nargs=3, metavar=("CHANNELS", "BATCH", "WORKERS"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_data(given.corpus, data, given.utterances)
        print_sizes(data)
        with Worker(sys.executable, FOLDER / "front_end_worker.py", "ours", folder) as ours:
            with Worker(given.peer_python, FOLDER / "front_end_worker.py", "speechbrain", folder) as peer:
                print_rates(ours, peer, given.rounds)
            print_stages(ours, given.rounds)
            if given.profile:
                ours.ask("profile")
            if given.pipeline:
                print_pipeline(ours, given.rounds, *given.pipeline)
    return 0


def write_data(corpus: Path, data: Path, num_utterances: int) -> None:
    """Write recordings, noises and rooms as 16 kHz wav files, and the recordings as a store of samples."""
    paths = sorted((corpus / "voxceleb12" / "wav").rglob("*.flac"))[:num_utterances]
    noises, rooms = NoiseFolder.open(corpus / "noise"), RoomFolder.open(corpus / "rir")
    recordings = {
        "wav": [read_audio(path).waveform for path in paths],
        "noise": [noises.segment(index, 0, noises.num_samples(index)) for index in range(len(noises))],
        "rooms": [rooms.response(index) for index in range(len(rooms))],
    }
    for kind, waveforms in recordings.items():
        (data / kind).mkdir()
        for index, waveform in enumerate(waveforms):
            soundfile.write(data / kind / f"{index:05d}.wav", waveform, SAMPLE_RATE, subtype="PCM_16")
    names = sorted(map(str, (data / "wav").glob("*.wav")))
    (data / "wav.txt").write_text("\n".join(names))
    fbank = Fbank()
    for kind, front_end, encode in (("waves", None, to_int16), ("feats", Fbank().to_dict(), fbank)):
        with TrainStoreWriter(data / kind, front_end, {"speaker": 0}) as writer:
            for index, waveform in enumerate(recordings["wav"]):
                writer.add(f"{index}.wav", 0, encode(waveform))


def print_sizes(data: Path) -> None:
    """Print what an hour of speech takes in each kind of store."""
    hours = sum(soundfile.info(path).duration for path in (data / "wav").iterdir()) / 3600
    print(f"{hours * 60:.1f} minutes of speech\n")
    print("| on disk, MB for an hour of speech | records | files |")
    print("|---|---|---|")
    samples, feats = 2 * SAMPLE_RATE * 3600 / 1e6, 4 * 80 * 100 * 3600 / 1e6
    kinds = (("online: samples", "waves", samples), ("offline: features, each copy", "feats", feats))
    for name, folder, records in kinds:
        files = sum(path.stat().st_size for path in (data / folder).iterdir()) / 1e6 / hours
        print(f"| {name} | {records:.0f} | {files:.0f} |")
    print(f"| offline: six copies | {6 * feats:.0f} | |\n")


def print_rates(ours: Worker, peer: Worker, rounds: int) -> None:
    """Print our rates and the peer's."""
    print("| utterances of 3 s a second and core | ours | SpeechBrain | ratio |")
    print("|---|---|---|---|", flush=True)
    for name, do, our_values, peer_values in (
        ("filterbanks, single precision; the peer in batches of 32", "fbank", {}, {}),
        ("filterbanks, ours in double precision; the peer one by one", "fbank", {"single": False}, {"batch": 1}),
        ("offline: reading, six copies", "copies", {}, {}),
        ("online: reading, crop, one distortion, filterbanks", "online", {}, {}),
    ):
        seconds = [
            [worker.ask(do, **values)["seconds"] for worker, values in ((ours, our_values), (peer, peer_values))]
            for _ in range(rounds + 1)
        ]
        our_s, peer_s = np.median(seconds[1:], axis=0)
        print(f"| {name} | {1 / our_s:.0f} | {1 / peer_s:.0f} | {peer_s / our_s:.2f} |", flush=True)


def print_stages(ours: Worker, rounds: int) -> None:
    """Print what each distortion takes online."""
    print("\n| online, only with | ms an utterance | utterances a second and core |")
    print("|---|---|---|", flush=True)
    for stage in STAGES:
        seconds = np.median([ours.ask("online", stages=stage)["seconds"] for _ in range(rounds)])
        print(f"| {stage} | {1000 * seconds:.2f} | {1 / seconds:.0f} |", flush=True)


def print_pipeline(ours: Worker, rounds: int, channels: int, batch: int, workers: int) -> None:
    """Print the time of a batch from worker processes and of a training step, one after the other."""
    seconds = ours.ask("pipeline", num_batches=rounds, batch_size=batch, num_workers=workers)["seconds"] / rounds
    with Worker(sys.executable, FOLDER / "model_worker.py", "mindspore") as model:
        model.ask("prepare", what="step", channels=channels, batch=batch, num_frames=301)
        (step_s,) = alternate([model], rounds, "time")
    print(f"\nbatch of {batch} from {workers} processes: {seconds:.3f} s ({batch / seconds:.0f} utterances/s)")
    print(f"training step, C = {channels}: {step_s:.3f} s ({batch / step_s:.1f} utterances/s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
