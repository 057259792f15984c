"""Every test runs as the product does: graph mode, on the CPU."""

import os
from pathlib import Path

# For the processes that tests start: this checkout, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(__file__).resolve().parents[1] / name) for name in ("src", "."))
os.environ.setdefault("GLOG_v", "3")

import mindspore as ms  # its log level is read at import
import pytest


@pytest.fixture(autouse=True, scope="session")
def graph_mode() -> None:
    """MindSpore starts in PyNative mode."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
