"""A small corpus in VoxCeleb's folders, and the configuration files of the README's commands for it."""

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16000
NUM_SPEAKERS, UTTERANCES = 6, 4
YAML = {
    "prepare_train.yaml": """
data_folder: corpus/voxceleb12
output_folder: tables/train
feat_folder: features/train
verification_file: corpus/voxceleb1/veri_test2.txt
whole_utterance: true
n_mels: 16
""",
    "prepare_eval.yaml": """
data_folder: corpus/voxceleb1
output_folder: tables/eval
feat_eval_folder: features/eval
feat_norm_folder: features/norm
train_annotation: tables/train/save/train.csv
train_data_folder: corpus/voxceleb12
n_mels: 16
sentence_len: 1.0
""",
    "ecapa-tdnn_config.yaml": """
inChannels: 16
channel: 16
channels: 16
emb_size: 8
minibatch_size: 8
train_frames: 60
num_epochs: 2
max_lrate: 0.005
log_steps: 1
train_data_path: features/train
ckpt_save_dir: ckpt
eval_data_path: features/eval
train_norm_path: features/norm
model_path: ckpt
cut_frames: 100
length: 100
device_target: CPU
""",
}


def voice(speaker: int, utterance: int) -> np.ndarray:
    """A harmonic tone of the speaker's own pitch and timbre in noise, 0.8 to 1.7 s."""
    rng = np.random.default_rng([speaker, utterance])
    time = np.arange(int((0.8 + 0.3 * utterance) * SAMPLE_RATE)) / SAMPLE_RATE
    timbre = np.random.default_rng(speaker).random(20)
    pitch = 90 + 17 * speaker + 5 * np.sin(2 * np.pi * 3 * time)
    tone = sum(level * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE * (n + 1)) for n, level in enumerate(timbre))
    return (0.05 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def write_corpus(folder: Path) -> None:
    for part, speakers in (("voxceleb12", range(NUM_SPEAKERS)), ("voxceleb1", range(50, 53))):
        names = []
        for speaker in speakers:
            for utterance in range(UTTERANCES):
                name = f"id{speaker:05d}/session/{utterance:05d}.wav"
                path = folder / part / "wav" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, voice(speaker, utterance), SAMPLE_RATE)
                names.append(name)
        pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
        lines = [f"{int(a.split('/')[0] == b.split('/')[0])} {a} {b}\n" for a, b in pairs]
        (folder / part / "veri_test2.txt").write_text("".join(lines))
