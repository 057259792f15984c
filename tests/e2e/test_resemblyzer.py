"""The public model resemblyzer on real speech: the numbers of Resemblyzer itself at every stage, and its error rates.

The model is fetched into the user's cache where it is not there yet.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mindspore import Tensor

from mindvox.embedder import Embedder
from mindvox.models import load_model, windows_of
from mindvox.scoring.metrics import eer
from tests.deploy.toy import without_compiling
from tests.vectors.resemblyzer import RECORDINGS, utterances

ROOT = Path(__file__).resolve().parents[2]
NAME = "resemblyzer"
EVALUATION = RECORDINGS / "voxceleb1"
SHORT = 24000  # samples, 1.5 s
ONE_TARGET_TRIAL = 1 / 270

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RECORDINGS.exists(), reason="needs mini_librispeech, which is not part of the project"),
]


def run(*words):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def fetched():
    pytest.importorskip("webrtcvad", reason="needs the extra webrtc")
    done = run("-m", "mindvox", "fetch", NAME)
    if "cannot download" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def embedder():
    return Embedder.open(NAME)


def unit(embeddings):
    return embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)


def error_rate(names, embeddings):
    """Return the equal error rate of all pairs."""
    speakers = np.array([name.split("/")[0] for name in names])
    rows, columns = np.triu_indices(len(names), 1)
    scores = unit(embeddings) @ unit(embeddings).T
    return eer(scores[rows, columns], speakers[rows] == speakers[columns]).eer


def test_windows_and_embeddings_are_resemblyzers(embedder):
    model, meta = load_model(NAME)
    windows, front_end = windows_of(meta["model"]), embedder.front_end
    for utterance in utterances():
        waveform = utterance.waveform()
        feats = front_end.finish(front_end(front_end.prepare(waveform)))
        starts = windows.starts(len(feats))
        assert starts == utterance["mel_starts"].tolist()
        batch = np.stack([windows.cut(feats, start) for start in starts])
        with without_compiling():
            partials = model(Tensor(batch)).asnumpy()
        for found in (partials, embedder.engine.encode(batch)):
            np.testing.assert_allclose(found, utterance["partial"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(unit(embedder.embed(waveform)), utterance["embedding"], rtol=0, atol=2e-6)


def test_whole_recordings_have_resemblyzers_error_rate(tmp_path):
    out = tmp_path / "embeddings.npz"
    done = run("-m", "mindvox", "embed", EVALUATION / "wav", "--out", out, "--model", NAME)
    assert done.returncode == 0, done.stderr
    found = np.load(out, allow_pickle=False)
    assert len(found["names"]) == 60
    assert error_rate(found["names"], found["embeddings"]) == pytest.approx(0.0074, abs=ONE_TARGET_TRIAL)


def test_short_recordings_have_resemblyzers_error_rate(embedder):
    paths = sorted((EVALUATION / "wav").rglob("*.flac"))
    embeddings = [embedder.embed(soundfile.read(path, frames=SHORT)[0]) for path in paths]
    names = [str(path.relative_to(EVALUATION / "wav")) for path in paths]
    assert error_rate(names, np.stack(embeddings)) == pytest.approx(0.0407, abs=ONE_TARGET_TRIAL)


@pytest.mark.parametrize("kind", ["features", "waveform"])
def test_evaluation_of_stores_of_both_kinds_has_resemblyzers_error_rate(kind, tmp_path):
    words = [f"--data_folder={EVALUATION}", f"--output_folder={tmp_path}", f"--feat_eval_folder={tmp_path / 'eval'}"]
    words += [f"--feat_norm_folder={tmp_path / 'norm'}", f"--store_kind={kind}", "--front_end=mel_spectrogram"]
    words += ["--n_mels=40", "--front_end.hop_length_ms=10", "--front_end.padding=zero", "--front_end.mel_scale=slaney"]
    words += ["--front_end.mel_norm=slaney", "--front_end.normalisation=none", "--front_end.trim=webrtc"]
    words += ["--front_end.raise_level_db=-30", "--front_end.zeros_after_ms=20"]
    done = run(ROOT / "eval_data_prepare.py", *(words if kind == "features" else words[:5]))
    assert done.returncode == 0, done.stderr
    words = [f"--model_path={NAME}", f"--eval_data_path={tmp_path / 'eval'}", f"--npy_file_path={tmp_path / 'npy'}"]
    done = run(ROOT / "eval.py", *words, "--device_target=CPU")
    assert done.returncode == 0, done.stderr
    found = float(re.search(r"^eer baseline:([0-9.]+)", done.stdout, re.MULTILINE)[1])
    assert found == pytest.approx(0.0074, abs=ONE_TARGET_TRIAL)


def test_the_commands_answer():
    speakers = sorted((EVALUATION / "wav").iterdir())
    first, second, *_ = sorted(speakers[0].rglob("*.flac"))
    other = sorted(speakers[1].rglob("*.flac"))[0]
    done = run("-m", "mindvox", "verify", first, second, "--model", NAME, "--no_quality")
    assert done.returncode in (0, 4) and re.search(r"score 0\.[7-9]", done.stdout), done
    done = run("-m", "mindvox", "verify", first, other, "--model", NAME, "--no_quality")
    assert done.returncode == 3 and done.stdout.startswith("different people, score "), done
