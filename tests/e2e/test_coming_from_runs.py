"""The commands of docs/coming-from.md, section by section, on a small corpus and with small networks.

RawNet2's are in test_rawnet2_commands.py, the model zoo's in test_seed_commands.py.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import ROOT
from tests.deploy.toy import make_checkpoint
from tests.docs.shell_blocks import FENCED
from tests.e2e.corpus import SAMPLE_RATE, voice

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
TRAINED, TESTED = range(6), range(20, 24)
SHORT = "--num_epochs=1 --minibatch_size=4 --num_workers=1 --device_target=CPU --log_steps=1 --max_train_minutes=0"
RESNETSE = " ".join(f"--model.layer{layer}_blocks=1 --model.layer{layer}_channels=8" for layer in (1, 2, 3, 4))
CAMPPLUS = "--model.init_channels=8 --model.growth_rate=4 --model.bottleneck_factor=2 --model.emb_size=6 " + " ".join(
    f"--model.block{block}_layers=1" for block in (1, 2, 3)
)
# What is another than on the page, by the section and the beginning of a command.
SIZES = {
    "mvector": {"python train.py": f"{SHORT} --warmup_epochs=0.5 --train_frames=50 {CAMPPLUS}"},
    "voxceleb_trainer": {
        "python train.py": f"{SHORT} --train_frames=50 --model.emb_size=6 {RESNETSE}",
        "python eval.py": "--eval_frames=40",
    },
    "wespeaker": {
        "python train.py": f"{SHORT} --warmup_epochs=0 --train_frames=50 --model.emb_size=6 "
        "--model.m_channels=4 --model.depth=0 --model.block=basic "
        + " ".join(f"--model.layer{layer}_blocks=1" for layer in (1, 2, 3, 4)),
        "mindvox average-checkpoints": "--last 1",
    },
    "SpeechBrain": {"python train.py": f"{SHORT} --train_frames=50 --model.channels=16 --model.emb_size=6"},
}


def write_wav(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, SAMPLE_RATE)


def write_voices(folder: Path, speakers: range) -> list[str]:
    """Write four recordings of each speaker and return their names."""
    names = [f"id{speaker:05d}/session/{number:05d}.wav" for speaker in speakers for number in range(4)]
    for name in names:
        write_wav(folder / name, voice(int(name[2:7]), int(name[-9:-4])))
    return names


def pairs_of(names: list[str]) -> list[tuple[int, str, str]]:
    return [(int(a[:7] == b[:7]), a, b) for index, a in enumerate(names) for b in names[index + 1 :]]


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_distortions(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("musan/noise", "musan/music", "musan/speech", "rirs"):
        write_wav(folder / name / "a.wav", 0.1 * rng.standard_normal(4000) * np.exp(-np.arange(4000) / 700))


def guide_310p(folder: Path) -> None:
    """The guide's corpus, and a checkpoint in the place of its weights, which tests/deploy import."""
    write_voices(folder / "VoxCeleb1", TESTED)
    (folder / "joovvhan").mkdir()
    make_checkpoint(folder / "joovvhan").rename(folder / "joovvhan" / "ecapa.ckpt")


def mvector(folder: Path) -> None:
    trained, tested = (write_voices(folder / "dataset", speakers) for speakers in (TRAINED, TESTED))
    write_distortions(folder)
    for ours, theirs in (("musan/noise", "noise"), ("rirs", "reverb")):
        (folder / ours).rename(folder / "dataset" / theirs)
    compared = [name for name in tested if name not in tested[::4]]
    lists = {"train_list": trained, "enroll_list": tested[::4], "trials_list": compared, "test_list": tested}
    for name, names in lists.items():
        write_lines(folder / "dataset" / f"{name}.txt", [f"dataset/{each}\t{int(each[2:7])}" for each in names])


def voxceleb_trainer(folder: Path) -> None:
    trained = write_voices(folder / "data" / "voxceleb2", TRAINED)
    tested = write_voices(folder / "data" / "voxceleb1", TESTED)
    write_lines(folder / "data" / "train_list.txt", [f"{name[:7]} {name}" for name in trained])
    write_lines(folder / "data" / "test_list.txt", [f"{label} {a} {b}" for label, a, b in pairs_of(tested)])


def wespeaker(folder: Path) -> None:
    data = folder / "data"
    trained = write_voices(data / "voxceleb2", TRAINED)
    tested = write_voices(data / "voxceleb1", TESTED)
    write_lines(data / "vox2_dev" / "wav.scp", [f"{name} {data / 'voxceleb2' / name}" for name in trained])
    write_lines(data / "vox2_dev" / "utt2spk", [f"{name} {name[:7]}" for name in trained])
    kinds = ("nontarget", "target")
    write_lines(data / "vox1_O_cleaned.kaldi", [f"{a} {b} {kinds[label]}" for label, a, b in pairs_of(tested)])
    write_distortions(data)


def speechbrain(folder: Path) -> None:
    data = folder / "data"
    write_voices(data / "voxceleb2" / "wav", TRAINED)
    tested = write_voices(data / "voxceleb1" / "wav", TESTED)
    write_lines(data / "voxceleb1" / "veri_test2.txt", [f"{label} {a} {b}" for label, a, b in pairs_of(tested)])
    write_distortions(data)


CORPORA = {  # how to write it, and what the commands print
    "The Ascend 310P guide": (guide_310p, [r"origin roc_auc:\n\d\.\d{4}\n", r"\nroc_auc: \n\d\.\d{4}\n"]),
    "mvector": (mvector, [r"评估消耗时间：\d+s，threshold：-?\d\.\d\d，EER: \d\.\d{5}, MinDCF: \d\.\d{5}"]),
    "voxceleb_trainer": (voxceleb_trainer, [r" VEER \d+\.\d{4} MinDCF \d\.\d{5}", r"10 crops of 6640 samples"]),
    "wespeaker": (wespeaker, [r"EER = \d+\.\d{3}\nminDCF \(.*\) = \d\.\d{3}\n", "eer s-norm:"]),
    "SpeechBrain": (speechbrain, [r"EER\(%\)=\d+\.\d{6}\nminDCF=\d\.\d{6}", "eer s-norm:"]),
}


def commands_of(title: str) -> list[str]:
    """The commands in the block of a section, with the sizes of this test."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    lines = "\n".join(block["body"] for block in FENCED.finditer(section)).replace("\\\n", " ").splitlines()
    found = []
    for line in (line for line in lines if line and not line.startswith("#")):
        sizes = [words for start, words in SIZES.get(title, {}).items() if line.startswith(start)]
        found.append(" ".join([line, *sizes]))
    return found


def run(folder: Path, command: str) -> str:
    """Run a command of the page in a folder and return what it prints."""
    program, *words = shlex.split(command)
    start = [str(ROOT / words.pop(0))] if program == "python" else ["-m", "mindvox"]
    done = subprocess.run([sys.executable, *start, *words], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("title", CORPORA)
def test_commands_of_a_section_run(title, tmp_path):
    write, expected = CORPORA[title]
    write(tmp_path)
    (tmp_path / "hparams").symlink_to(ROOT / "hparams")
    commands = [command for command in commands_of(title) if not command.startswith("mindvox import")]
    assert len(commands) >= 4
    said = "\n".join(run(tmp_path, command) for command in commands)
    for pattern in expected:
        assert re.search(pattern, f"\n{said}"), f"{pattern}\n{said}"
