"""Exported models in Python where memory runs out, and where threads share them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mindvox.engines.engine import OUT_OF_MEMORY, load_engine
from tests.deploy.toy import NUM_MELS, make_checkpoint, write_toy

SHORT_THEN_LONG = f"""
import resource, sys
import numpy as np
from mindvox.engines.engine import load_engine

encode = load_engine(sys.argv[1]).encode
long = np.ones((1, 1_440_000, {NUM_MELS}), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for size in (200, 400):
    encode(np.ones((1, 50, {NUM_MELS}), np.float32))
    resource.setrlimit(resource.RLIMIT_AS, (used + size * 1_000_000, -1))
    try:
        print(encode(long))
    except (MemoryError, RuntimeError) as error:
        print(" ".join(str(error).split()))
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
"""


@pytest.mark.parametrize(("library", "suffix"), [("openvino", ".xml"), ("onnxruntime", ".onnx")])
def test_too_little_memory_is_an_error_not_the_result_before(tmp_path, library, suffix):
    """OpenVINO 2026.4.1 may return without an error then, with the embedding of the run before.

    The layers need 90 to 800 MB each for so many frames.
    """
    pytest.importorskip(library)
    model = write_toy(make_checkpoint(tmp_path), (tmp_path / "m").with_suffix(suffix), "--length=0", "--batch_size=0")
    done = subprocess.run([sys.executable, "-c", SHORT_THEN_LONG, model], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 2 and all(OUT_OF_MEMORY.search(line) for line in said), said


@pytest.mark.parametrize(
    ("library", "suffix"), [("openvino", ".xml"), ("onnxruntime", ".onnx"), ("mindspore", ".mindir")]
)
def test_threads_share_a_model(tmp_path, library, suffix):
    pytest.importorskip(library)
    model = write_toy(make_checkpoint(tmp_path), (tmp_path / "m").with_suffix(suffix), "--length=0", "--batch_size=0")
    engine = load_engine(model, library)
    random = np.random.default_rng(0)
    batches = [random.normal(size=(2, 40 + 50 * (n % 3), NUM_MELS)).astype(np.float32) for n in range(60)]
    alone = [engine.encode(batch) for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        for found, expected in zip(pool.map(engine.encode, batches), alone, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
