"""A small store of separable speakers, settings of short runs on it, and a validation that takes no time."""

import signal
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.config import Config, load_config
from mindvox.data.train_store import TrainStoreWriter
from mindvox.frontend import FrontEnd
from mindvox.frontend.fbank import Fbank
from mindvox.scoring.validation import ValidationResult

NUM_MELS, NUM_SPEAKERS, UTTERANCES = 8, 6, 4


def write_store(
    folder: Path,
    num_speakers: int = NUM_SPEAKERS,
    num_mels: int = NUM_MELS,
    shortest: int = 15,
    front_end: Optional[FrontEnd] = None,
) -> Path:
    """Each speaker has a spectral shape of its own; utterances have up to 30 frames more than the shortest."""
    rng = np.random.default_rng(0)
    speakers = {f"id{label:02d}": label for label in range(num_speakers)}
    front_end = front_end or Fbank(n_mels=num_mels)
    with TrainStoreWriter(folder, front_end.to_dict(), speakers) as writer:
        for spk_id, label in speakers.items():
            shape = rng.standard_normal((2, front_end.size))
            for index in range(UTTERANCES):
                phase = np.sin(np.arange(shortest + 10 * index))[:, None]
                feats = 10 * (shape[0] + phase * shape[1]) + rng.standard_normal((len(phase), front_end.size))
                writer.add(f"{spk_id}/s/{index}.wav", label, feats.astype(np.float32))
    return folder


def settings(store: Path, folder: Path, *options: str) -> Config:
    small = (f"--train_data_path={store}", f"--ckpt_save_dir={folder / 'ckpt'}", f"--inChannels={NUM_MELS}")
    sizes = ("--channels=8", "--emb_size=6", "--minibatch_size=8", "--train_frames=20", "--max_lrate=0.01")
    rest = ("--base_lrate=0.001", "--step_size=6", "--num_epochs=4", "--log_steps=2", "--device_target=CPU")
    given = {option.split("=")[0] for option in options}
    return load_config(
        Config, [*(word for word in (*small, *sizes, *rest) if word.split("=")[0] not in given), *options]
    )


EERS = {2: 0.3, 4: 0.2, 6: 0.25, 8: 0.1, 10: 0.4, 12: 0.15}  # after these steps


class FakeValidation:
    """Give the EERs of a run, and call the handler of Ctrl-C after a step; test_kill_and_resume sends a real one."""

    def __init__(self, after: int, stop_at: int = 0) -> None:
        self.calls = sorted(step for step in EERS if step > after)
        self.stop_at = stop_at

    def __call__(self, model) -> ValidationResult:
        step = self.calls.pop(0)
        if step == self.stop_at:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)
        return ValidationResult(EERS[step], 0.3, 0.5)
