"""Train ECAPA-TDNN with mvector's own trainer: `training_mvector.py CORPUS OUT.npz SECONDS SEED`, run by training.py.

Needs an environment with torch, torchaudio and mvector 1.1.7; VisualDL is not needed. The configuration is mvector's
ecapa_tdnn.yml, apart from what some minutes on a CPU ask for: batches of 32, crops of 2 s, no augmentation, and as many
epochs as fit the time, which are found by timing some first. OUT.npz has the embeddings of the trial list's recordings.
"""

import random
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import soundfile
import torch


class Silent:
    """In place of VisualDL's log."""

    def __init__(self, **_: object) -> None: ...

    def add_scalar(self, *_: object) -> None: ...


sys.modules["visualdl"] = types.ModuleType("visualdl")
sys.modules["visualdl"].LogWriter = Silent
from mvector import trainer as mvector_trainer  # noqa: E402
from mvector.data_utils.featurizer import AudioFeaturizer  # noqa: E402
from yeaudio.audio import AudioSegment  # noqa: E402

CUT_S = 1.5
TIMED_EPOCHS = 3  # the first of which is not counted


def main() -> None:
    """Train, and write the embeddings."""
    corpus, out, seconds, seed = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as work:
        files = sorted((corpus / "voxceleb12" / "wav").rglob("*.flac"))
        speakers = sorted({file.parts[-3] for file in files})
        lines = [f"{file}\t{speakers.index(file.parts[-3])}\n" for file in files]
        Path(work, "train.txt").write_text("".join(lines))
        epoch_s = train(work, len(speakers), TIMED_EPOCHS, seed)[1]
        num_epochs = max(1, int(seconds / epoch_s))
        print(f"{epoch_s:.2f} s an epoch: {num_epochs} epochs", flush=True)
        started = time.monotonic()
        trained, _ = train(work, len(speakers), num_epochs, seed)
        print(f"steps {trained.train_step}  seconds {time.monotonic() - started:.0f}", flush=True)
    names = sorted({name for line in (corpus / "voxceleb1" / "veri_test2.txt").open() for name in line.split()[1:]})
    paths = [corpus / "voxceleb1" / "wav" / name for name in names]
    np.savez(out, names=names, full=embedded(trained, paths, None), cut=embedded(trained, paths, CUT_S))


def train(work: str, num_speakers: int, num_epochs: int, seed: int) -> tuple[object, float]:
    """Return a trainer that has trained, and the seconds of its epochs after the first."""
    for module in (random, np.random, torch):
        (module.manual_seed if module is torch else module.seed)(seed)
    config = {
        "dataset_conf.train_list": f"{work}/train.txt",
        "dataset_conf.enroll_list": f"{work}/train.txt",  # not evaluated: its own evaluation is no trial list
        "dataset_conf.trials_list": f"{work}/train.txt",
        "dataset_conf.sampler.batch_size": 32,
        "dataset_conf.dataset.max_duration": 2,
        "dataset_conf.dataLoader.num_workers": 0,
        "train_conf.max_epoch": num_epochs,
        "train_conf.log_interval": 7,
    }
    none = {name: {"prob": 0.0} for name in ("speed", "volume", "noise", "reverb", "spec_aug")}
    none["speed"]["speed_perturb_3_class"] = False
    none["noise"]["noise_dir"] = none["reverb"]["reverb_dir"] = work
    made = mvector_trainer.MVectorTrainer(
        "ecapa_tdnn",
        use_gpu=False,
        data_augment_configs=none,
        num_speakers=num_speakers,
        overwrites=",".join(f"{key}={value}" for key, value in config.items()),
        log_level="info",
    )
    ends = []
    mvector_trainer.save_checkpoint = lambda **_: ends.append(time.monotonic())  # called at the end of each epoch
    made.train(save_model_path=f"{work}/models", log_dir=f"{work}/log", do_eval=False)
    return made, (ends[-1] - ends[0]) / max(1, len(ends) - 1)


def embedded(trained: object, paths: list[Path], cut_s: float | None) -> np.ndarray:
    """Return embeddings (U, D) as mvector's predictor makes them: levelled, its features, evaluation mode."""
    configs = trained.configs
    featurizer = AudioFeaturizer(
        feature_method=configs.preprocess_conf.feature_method, method_args=configs.preprocess_conf.method_args
    )
    network, rows = trained.backbone.eval(), []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        segment = AudioSegment.from_ndarray(samples[: int(cut_s * rate)] if cut_s else samples, rate)
        segment.normalize(target_db=configs.dataset_conf.dataset.target_dB)
        feats = featurizer(torch.tensor(segment.samples, dtype=torch.float32)[None])
        with torch.no_grad():
            rows.append(network(feats)[0].numpy())
    return np.stack(rows)


if __name__ == "__main__":
    main()
