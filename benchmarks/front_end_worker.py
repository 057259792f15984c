"""One side of benchmarks/front_end.py: `python front_end_worker.py ours|speechbrain DATA`, on one thread.

DATA holds `wav.txt` (paths of 16 kHz recordings), `noise/`, `rooms/`, and for ours `waves/`, a store of samples.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Read when NumPy and torch are imported.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import soundfile
from workers import serve

NUM_SAMPLES, NUM_FRAMES = 48000, 301
BATCH = 32  # what the peer's recipe computes at once
OFFLINE = "clean,augment_wavedrop,augment_speed,add_rev,add_noise,add_rev_noise"
PREFETCHED = 40  # batches that MindSpore reads ahead; after them reading goes on as fast as batches are taken
ONLINE = "augment_wavedrop,speed,add_rev,add_noise"


class Ours:
    """This project."""

    def __init__(self, data: Path) -> None:
        from mindvox.config import Config, load_config
        from mindvox.data.augmentation import make_augmenter
        from mindvox.frontend.fbank import Fbank

        self.data = data
        self.fbank, self.single = Fbank(), Fbank(dtype=np.float32)
        folders = (f"--noise_folder={data / 'noise'}", f"--rir_folder={data / 'rooms'}")
        store = (f"--train_data_path={data / 'waves'}", f"--minibatch_size={BATCH}", f"--train_frames={NUM_FRAMES}")
        self.config = lambda stages: load_config(Config, [*folders, *store, f"--augmentations={stages}"])
        self.augmenter = make_augmenter(self.config(OFFLINE))
        self.streams: dict[str, tuple] = {}
        self.rng = np.random.default_rng(0)

    def features(self, waveforms: np.ndarray, single: bool = True) -> None:
        """Compute filterbanks."""
        fbank = self.single if single else self.fbank
        for waveform in waveforms:
            fbank(waveform)

    def copies(self, paths: list[str]) -> int:
        """Read each recording and compute the features of its six copies."""
        for path in paths:
            waveform = _crop(soundfile.read(path, dtype="float32")[0], self.rng)
            for stage in self.augmenter.stages:
                self.fbank(self.augmenter.apply(stage.name, waveform, self.rng))
        return len(paths)

    def online(self, num_utterances: int, stages: str = ONLINE) -> int:
        """Read a store of samples, crop, distort and transform, in this process: no time is hidden in another."""
        features, stream = self.streams[stages] = self.streams.get(stages) or self._open(stages)
        for _ in range(0, num_utterances, BATCH):
            features(next(stream))
        return num_utterances

    def _open(self, stages: str) -> tuple:
        from mindvox.data.online import OnlineFeatures
        from mindvox.data.pipeline import TrainBatches

        features = OnlineFeatures.from_config(self.config(stages), num_speakers=1)
        stream = TrainBatches(self.data / "waves", BATCH, NUM_FRAMES, 0, online=features).sample_crops()
        for _ in range(PREFETCHED):
            next(stream)
        return features, stream

    def pipeline(self, num_batches: int, batch_size: int, num_workers: int) -> dict:
        """Time whole batches as training gets them, worker processes and all, after the first."""
        from mindvox.data.pipeline import open_batches

        config = self.config(ONLINE)
        config.minibatch_size, config.num_workers = batch_size, num_workers
        batches = open_batches(config)
        epochs = batches.epochs()
        stream = (batch for epoch in epochs for batch in epoch)
        for _ in range(2 * num_workers + 1):  # what was made ahead while this process started
            next(stream)
        started = time.perf_counter()
        for _ in range(num_batches):
            next(stream)
        seconds = time.perf_counter() - started
        epochs.close()
        return {"seconds": seconds}


class SpeechBrain:
    """The peer: its modules, batches as in its recipe, its own reading of noises and rooms."""

    def __init__(self, data: Path) -> None:
        import torch
        from speechbrain.augment.augmenter import Augmenter
        from speechbrain.augment.preparation import prepare_csv
        from speechbrain.augment.time_domain import AddNoise, AddReverb, DropChunk, DropFreq, SpeedPerturb
        from speechbrain.lobes.features import Fbank

        torch.set_num_threads(1)
        self.torch = torch
        self.fbank = Fbank(n_mels=80)
        self.rng = np.random.default_rng(0)
        self.paths = (data / "wav.txt").read_text().split("\n")
        lists = {}
        for kind in ("noise", "rooms"):
            lists[kind] = str(data / f"{kind}.csv")
            prepare_csv(sorted(map(str, (data / kind).glob("*.wav"))), lists[kind])
        noise = AddNoise(lists["noise"], snr_low=0, snr_high=15, pad_noise=True)
        room = AddReverb(lists["rooms"])
        drops = [DropFreq(), DropChunk(1000, 2000, 1, 5)]
        speed = SpeedPerturb(16000, [95, 100, 105])
        self.stages = ([], drops, [speed, *drops], [room], [noise], [room, noise])
        # As in its recipe, but one distortion for each batch, since each of ours gets one.
        self.augment = Augmenter(
            min_augmentations=1,
            max_augmentations=1,
            shuffle_augmentations=True,
            augmentations=[*drops, speed, room, noise],
        )

    def features(self, waveforms: np.ndarray, batch: int = BATCH) -> None:
        """Compute filterbanks in batches."""
        with self.torch.no_grad():
            for first in range(0, len(waveforms), batch):
                self.fbank(self.torch.from_numpy(waveforms[first : first + batch]))

    def _read(self, paths: list[str]):
        waves = [_crop(soundfile.read(path, dtype="float32")[0], self.rng) for path in paths]
        return self.torch.from_numpy(np.stack(waves))

    def copies(self, paths: list[str]) -> int:
        """Read each recording and compute the features of its six copies."""
        with self.torch.no_grad():
            for first in range(0, len(paths), BATCH):
                waves = self._read(paths[first : first + BATCH])
                lengths = self.torch.ones(len(waves))
                for steps in self.stages:
                    copy = waves
                    for step in steps:
                        takes_lengths = type(step).__name__ in ("AddNoise", "DropChunk")
                        copy = step(copy, lengths) if takes_lengths else step(copy)
                    self.fbank(copy)
        return len(paths)

    def online(self, num_utterances: int) -> int:
        """Read pieces of recordings, distort and transform."""
        done = 0
        with self.torch.no_grad():
            while done < num_utterances:
                waves = self._read(list(self.rng.choice(self.paths, BATCH)))
                self.fbank(self.augment(waves, self.torch.ones(len(waves)))[0])
                done += len(waves)
        return done


def _crop(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    waveform = np.resize(waveform, max(len(waveform), NUM_SAMPLES))
    start = rng.integers(len(waveform) - NUM_SAMPLES + 1)
    return waveform[start : start + NUM_SAMPLES]


class Bench:
    """What the driver may ask for: seconds of processor time an utterance."""

    def __init__(self, side: Ours | SpeechBrain, data: Path) -> None:
        self.side = side
        self.paths = (data / "wav.txt").read_text().split("\n")
        self.waveforms = (0.1 * np.random.default_rng(0).standard_normal((64, NUM_SAMPLES))).astype(np.float32)

    def fbank(self, **values: int) -> dict:
        """Time filterbanks of 64 utterances of 3 s."""
        return self._time(lambda: self.side.features(self.waveforms, **values) or len(self.waveforms))

    def copies(self) -> dict:
        """Time reading and six copies."""
        return self._time(lambda: self.side.copies(self.paths))

    def online(self, **values: str) -> dict:
        """Time the online mode."""
        return self._time(lambda: self.side.online(4 * BATCH, **values))

    def pipeline(self, **values: int) -> dict:
        """Time batches from worker processes, wall clock."""
        return self.side.pipeline(**values)

    def profile(self) -> dict:
        """Print to standard error where the online mode spends its time."""
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(self.side.online, 8 * BATCH)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
        return {"seconds": 0.0}

    def _time(self, call: Callable[[], int]) -> dict:
        started = time.process_time()
        num_utterances = call()
        return {"seconds": (time.process_time() - started) / num_utterances}


if __name__ == "__main__":
    os.environ.setdefault("GLOG_v", "3")
    folder = Path(sys.argv[2])
    bench = Bench({"ours": Ours, "speechbrain": SpeechBrain}[sys.argv[1]](folder), folder)
    actions = (bench.fbank, bench.copies, bench.online, bench.pipeline, bench.profile)
    serve({action.__name__: action for action in actions})
