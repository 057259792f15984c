"""A recording of hours: the real commands stay below 2 GiB (issue 12, B16).

Second variant: the recording has another sampling rate and two channels, and more than one is long.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import ROOT
from mindvox.data.eval_store import EvalStore
from mindvox.frontend.fbank import Fbank
from mindvox.models import create_model
from mindvox.models.checkpoint import checkpoint_path, write_checkpoint

LIMIT_KIB = 2 << 20


def write_recording(path: Path, seconds: int, rate: int = 16000, channels: int = 1) -> None:
    """Write noise whose loudness changes every second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seconds)
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for _ in range(seconds):
            loudness = 0.3 * 10 ** rng.uniform(-2, 0)
            file.write(loudness * rng.uniform(-1, 1, (rate, channels)))


def write_random_checkpoint(folder: Path, channels: int) -> Path:
    settings = {
        "name": "ecapa_tdnn",
        "in_channels": 80,
        "channels": channels,
        "emb_size": 192,
        "global_context": True,
    }
    np.random.seed(0)
    state = {f"model.{parameter.name}": parameter for parameter in create_model(settings).get_parameters()}
    meta = {"model": settings, "front_end": Fbank().to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    folder.mkdir()
    path = checkpoint_path(folder, "ecapa_tdnn", 1, 1)
    write_checkpoint(path, state, meta)
    return path


def peak_kib(folder: Path, program: str, *arguments: str) -> int:
    """Run a command of the project and return the peak resident memory of its largest process."""
    words = [sys.executable, str(ROOT / program), *arguments]
    with open(folder / "output.txt", "w") as output:
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (folder / "output.txt").read_text()
    print(f"{program}: {usage.ru_maxrss / 1024:.0f} MiB at most")
    return usage.ru_maxrss


def write_corpus(folder: Path, num_long: int, rate: int, num_channels: int) -> None:
    """Write recordings of two hours of one speaker, a short one of each of two, and trials of all."""
    for index in range(num_long):
        write_recording(folder / f"wav/a/s/long{index}.wav", 7200, rate, num_channels)
    for name in ("a", "b"):
        write_recording(folder / f"wav/{name}/s/short.wav", 4)
    trials = [f"{int(name == 'a')} a/s/long0.wav {name}/s/short.wav\n" for name in ("a", "b")]
    trials += [f"0 b/s/short.wav a/s/long{index}.wav\n" for index in range(1, num_long)]
    (folder / "veri_test2.txt").write_text("".join(trials))


def prepare(folder: Path) -> int:
    folders = [f"--feat_eval_folder={folder}/feats", f"--feat_norm_folder={folder}/norm"]
    return peak_kib(folder, "eval_data_prepare.py", f"--data_folder={folder}/corpus", *folders)


@pytest.mark.slow
def test_two_hours_of_48_khz_stereo_twice_are_prepared_below_two_gib(tmp_path):
    write_corpus(tmp_path / "corpus", num_long=2, rate=48000, num_channels=2)
    assert prepare(tmp_path) < LIMIT_KIB
    assert sorted(EvalStore.open(tmp_path / "feats").num_frames) == [401, 401, 720001, 720001]


@pytest.mark.slow
def test_two_hours_are_prepared_and_evaluated_at_full_size_below_two_gib(tmp_path):
    write_corpus(tmp_path / "corpus", num_long=1, rate=16000, num_channels=1)
    checkpoint = write_random_checkpoint(tmp_path / "ckpt", channels=1024)
    assert prepare(tmp_path) < LIMIT_KIB
    keys = [f"--model_path={checkpoint}", f"--eval_data_path={tmp_path}/feats", "--train_norm_path="]
    assert peak_kib(tmp_path, "eval.py", *keys) < LIMIT_KIB
    assert "eer baseline:" in (tmp_path / "output.txt").read_text()
    assert '"max_frames": 15000' in (tmp_path / "npys" / "eval" / "meta.json").read_text()


def test_a_long_recording_is_prepared_and_evaluated_in_windows(either_model, tmp_path):
    write_recording(tmp_path / "corpus/wav/a/s/long.wav", 9)
    for name in ("a", "b"):
        write_recording(tmp_path / f"corpus/wav/{name}/s/short.wav", 2)
    trials = "1 a/s/long.wav a/s/short.wav\n0 a/s/long.wav b/s/short.wav\n"
    (tmp_path / "corpus" / "veri_test2.txt").write_text(trials)
    checkpoint = write_random_checkpoint(tmp_path / "ckpt", channels=8)
    prepare(tmp_path)
    keys = [f"--model_path={checkpoint}", f"--eval_data_path={tmp_path}/feats", "--train_norm_path="]
    peak_kib(tmp_path, "eval.py", *keys)
    whole = np.load(tmp_path / "npys" / "eval" / "embeddings.npy")
    peak_kib(tmp_path, "eval.py", *keys, "--max_frames=300")
    assert "embeddings: those there have another max_frames" in (tmp_path / "output.txt").read_text()
    windowed = np.load(tmp_path / "npys" / "eval" / "embeddings.npy")
    changed = np.abs(windowed - whole).max(axis=1) > 1e-3
    assert changed.tolist() == [True, False, False]  # a's long one alone
