"""Every test runs as the product does: graph mode, on the CPU."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

# For the processes that tests start: this checkout, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(__file__).resolve().parents[1] / name) for name in ("src", "."))
os.environ.setdefault("GLOG_v", "3")

import mindspore as ms  # its log level is read at import
import pytest

from mindvox.deploy import export
from tests.deploy import toy
from tests.small_model import in_place_of_ecapa

# Where the modules are that take a minute or more. Begun last, one of them would leave all but one worker idle.
LONG = ("e2e/", "ascend310_infer/", "test_registry", "models/", "layers/", "deploy/", "training/", "service/")
LONG += ("test_surroundings", "docs/", "embedder/", "speakers/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long modules come first; scripts/run_tests.sh hands whole modules to its workers in this order."""
    items.sort(key=lambda item: next((place for place, name in enumerate(LONG) if name in item.nodeid), len(LONG)))


@pytest.fixture(scope="module")
def small_model() -> Iterator[None]:
    """The small model in ECAPA-TDNN's place, in one module."""
    with in_place_of_ecapa():
        yield


@pytest.fixture(params=["small", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def either_model(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `model: ecapa_tdnn` is: by default the small model, with --all ECAPA-TDNN too."""
    with in_place_of_ecapa() if request.param == "small" else nullcontext():
        yield request.param


@pytest.fixture(autouse=True, scope="session")
def graph_mode() -> None:
    """MindSpore starts in PyNative mode."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")


@pytest.fixture(autouse=True, scope="session")
def shared_toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all workers of a run export each toy once, and compile each graph that is exported once."""
    base = tmp_path_factory.getbasetemp()
    toy.SHARED = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toys"
    toy.SHARED.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_write_mindspore", toy.compiled_once(export._write_mindspore))
        yield


@pytest.fixture
def graphs_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MindSpore write each graph that this test exports, as it does without `shared_toys`."""
    monkeypatch.setattr(export, "_write_mindspore", export._write_mindspore.__wrapped__)
