"""The public model campplus_zh_en on real speech, by the commands of README's first section.

The model is fetched into the user's cache where it is not there yet.
"""

import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.scoring.metrics import eer

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT.parent / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
SHORT = 24000  # samples, 1.5 s
ONE_TARGET_TRIAL = 1 / 270

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RECORDINGS.exists(), reason="needs mini_librispeech, which is not part of the project"),
]


def mindvox(*words):
    command = [sys.executable, "-m", "mindvox", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def fetched():
    done = mindvox("fetch", DEFAULT_MODEL)
    if "cannot download" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """Names and embeddings of all recordings in each engine."""
    found = {}
    for engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
        out = tmp_path_factory.mktemp(engine) / "embeddings.npz"
        done = mindvox("embed", RECORDINGS, "--out", out, "--engine", engine)
        assert done.returncode == 0, done.stderr
        found[engine] = np.load(out, allow_pickle=False)
    return found


def error_rate(names, embeddings):
    """Return the equal error rate of all pairs."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    speakers = np.array([name.split("/")[0] for name in names])
    rows, columns = np.triu_indices(len(names), 1)
    return eer((unit @ unit.T)[rows, columns], speakers[rows] == speakers[columns])


def test_whole_recordings_are_told_apart_in_every_engine(embedded):
    for found in embedded.values():
        assert len(found["names"]) == 60
        assert error_rate(found["names"], found["embeddings"]).eer <= 0.001
    first, second = (found["embeddings"].astype(np.float64) for found in embedded.values())
    cosine = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert cosine.min() >= 0.99999


def test_short_recordings_have_the_error_rate_of_the_published_model(embedded):
    embedder = Embedder.open(DEFAULT_MODEL)
    names = embedded["onnxruntime"]["names"]
    starts = [soundfile.read(RECORDINGS / name, frames=SHORT)[0] for name in names]
    found = error_rate(names, np.stack([embedder.embed(start) for start in starts]))
    assert found.eer == pytest.approx(0.0074, abs=ONE_TARGET_TRIAL)


def test_the_commands_answer_and_take_little_time():
    speakers = sorted(RECORDINGS.iterdir())
    first, second, *_ = sorted(speakers[0].rglob("*.flac"))
    other = sorted(speakers[1].rglob("*.flac"))[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = mindvox("verify", first, second)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and re.match(r"same person, score 0\.\d{4}, log-likelihood ratio \d", done.stdout), done
    # Seconds of the processor, on however many cores; the clock depends on what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
    done = mindvox("verify", first, other)
    assert done.returncode == 3 and done.stdout.startswith("different people, score "), done
