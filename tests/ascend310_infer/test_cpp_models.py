"""Every registered model in the C++ program, behind a front end that the program computes itself.

By default CAM++ behind Kaldi's front end, with transposed features; all others with --all. test_cpp_program.py has
ECAPA-TDNN by default.
"""

import json
import subprocess

import numpy as np
import pytest
import soundfile

import mindvox.deploy.export as export_module
from mindvox.config import Config, load_config
from mindvox.corpus.audio import read_audio
from mindvox.deploy.export import export
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import description_path
from mindvox.models import create_model
from mindvox.models.checkpoint import checkpoint_path, write_checkpoint
from mindvox.registry import FRONT_ENDS, MODELS
from mindvox.scoring.embeddings import EmbeddingStore
from tests.deploy.toy import uncompiled_encoder
from tests.model_sizes import model_keys, num_bins

ONLY_IN_PYTHON = {"mel_spectrogram", "mfcc", "samples", "spectrogram"}  # front ends that the program does not compute
IN_WINDOWS = {"ge2e_lstm", "rawnet2"}  # refused by name: ascend310_infer/tests/test_model.cc
BY_DEFAULT = ("campplus", "kaldi_fbank")
NAMES = [name for name in MODELS if name not in IN_WINDOWS]
PAIRS = [(name, front_end) for name in NAMES for front_end in FRONT_ENDS if front_end not in ONLY_IN_PYTHON]
BOUND = 2e-5  # of the greatest value: float32 sums in another order


@pytest.mark.parametrize(
    ("name", "front_end_name"),
    [pair if pair == BY_DEFAULT else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS],
)
def test_embeddings_are_those_of_python(program, name, front_end_name, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "cell_encoder", uncompiled_encoder)
    np.random.seed(0)
    settings = load_config(Config, ["--config_path=/dev/null", *model_keys(name)]).model.to_dict()
    model = create_model(settings)
    front_end = FRONT_ENDS.get(front_end_name)(n_mels=num_bins(name))
    checkpoint = checkpoint_path(tmp_path, name, 1, 1)
    meta = {"model": settings, "front_end": front_end.to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    write_checkpoint(checkpoint, {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}, meta)
    words = ["--config_path=/dev/null", f"--exp_ckpt_file={checkpoint}", f"--file_name={tmp_path / 'm'}"]
    words += ["--file_format=ONNX", "--length=0", "--batch_size=0", "--device_target=CPU"]
    words += ["--input_layout=BFT"] if (name, front_end_name) == BY_DEFAULT else []
    exported = export(load_config(Config, words))
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 20000).astype(np.float32)
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "a.wav", samples, front_end.sample_rate)

    infer = [program, "--model", exported, "--wav_list", "wav", "--output", "out"]
    done = subprocess.run(infer, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = EmbeddingStore.open(tmp_path / "out").embeddings[0]
    feats = front_end.finish(front_end(read_audio(tmp_path / "wav" / "a.wav").waveform))
    expected = load_engine(exported).encode(feats[None])[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=BOUND * np.abs(expected).max())

    path = description_path(exported)
    path.write_text(json.dumps({**json.loads(path.read_text()), "front_end": {"type": "no_such"}}))
    done = subprocess.run(infer, cwd=tmp_path, capture_output=True, text=True, check=False)
    in_cpp = sorted(set(FRONT_ENDS) - ONLY_IN_PYTHON)
    assert done.returncode == 1 and f"this program computes {' and '.join(in_cpp)}." in done.stderr
