"""Recording through PortAudio and ALSA, from a microphone that plays a file: ALSA's plugin `file`."""

import ctypes.util
import importlib.util
import sys

import numpy as np
import pytest

from tests.processes import call, must, skip_or_fail

RECORD = """
import numpy as np
from mindvox.speech.microphone import Microphone
np.save("heard.npy", Microphone(1.0).record())
"""
DEVICE = """
pcm.!default {{ type file slave.pcm "silent" file "/dev/null" infile "{spoken}" format "raw" }}
pcm.silent {{ type null }}
"""


@pytest.fixture(scope="module", autouse=True)
def portaudio():
    """Skip where the libraries are missing; where CI_REQUIRE_CPP=1 that is a failure."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the stand-in for a microphone is a plugin of ALSA, which only Linux has")
    if importlib.util.find_spec("sounddevice") is None:
        pytest.skip("needs sounddevice: pip install -e '.[microphone]'")
    if ctypes.util.find_library("portaudio") is None:
        skip_or_fail("no libportaudio2: bash scripts/install_system_packages.sh --tests")


def test_what_the_device_delivers_is_what_is_recorded(tmp_path):
    spoken = np.random.default_rng(1).uniform(-0.5, 0.5, 20000).astype(np.float32)
    spoken.tofile(tmp_path / "spoken.raw")
    (tmp_path / "asound.conf").write_text(DEVICE.format(spoken=tmp_path / "spoken.raw"))
    must(tmp_path, sys.executable, "-c", RECORD, ALSA_CONFIG_PATH=str(tmp_path / "asound.conf"))
    np.testing.assert_array_equal(np.load(tmp_path / "heard.npy"), spoken[:16000])


def test_a_machine_without_a_device_gives_one_line(tmp_path):
    (tmp_path / "asound.conf").write_text("pcm.!default { type hw card 99 }")
    done = call(tmp_path, sys.executable, "-c", RECORD, ALSA_CONFIG_PATH=str(tmp_path / "asound.conf"))
    assert done.returncode == 1 and "no microphone can be opened" in done.stderr
