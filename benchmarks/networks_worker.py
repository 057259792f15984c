"""One framework's side of benchmarks/networks.py: `python networks_worker.py mindspore|onnxruntime|torch`."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindspore_side import NUM_SPEAKERS, Trained, weights_of
from workers import serve, time_calls

SETTINGS: dict[str, dict[str, Any]] = {
    "resnet": {"in_channels": 80, "emb_size": 192, "depth": 34, "two_emb_layer": False, "pooling": "tstp"},
    "campplus": {"in_channels": 80, "emb_size": 512},
    "eres2netv2": {"in_channels": 80, "emb_size": 192},
    "resnetse34v2": {"in_channels": 64, "emb_size": 512},
    "rawnet2": {"in_channels": 1, "emb_size": 1024},
    "ge2e_lstm": {"in_channels": 40, "emb_size": 256},
}
NUM_FRAMES = {"rawnet2": 59049, "ge2e_lstm": 160}  # the others: 3 s


def input_shape(network: str, batch: int) -> tuple[int, int, int]:
    """Return (B, T, F)."""
    return batch, NUM_FRAMES.get(network, 301), SETTINGS[network]["in_channels"]


def settings_of(network: str) -> dict[str, Any]:
    """Return the section `model` of a checkpoint."""
    return {"name": network, **SETTINGS[network]}


class MindSpore(Trained):
    """This project, trained and evaluated in MindSpore."""

    def forward(self, network: str, batch: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return a call of the model, compiled for this shape."""
        from mindvox.models import create_model
        from mindvox.scoring.embeddings import cell_encoder

        model = create_model(settings_of(network)).set_train(False)
        return cell_encoder(model, SETTINGS[network]["in_channels"], batch)

    def step(self, network: str) -> Callable[[np.ndarray, np.ndarray], float]:
        """Return one optimiser step."""
        return self.step_of(settings_of(network))


class OnnxRuntime(MindSpore):
    """This project's exported model."""

    def forward(self, network: str, batch: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return a call of the model as it is exported for any batch and length."""
        from mindvox.deploy.in_memory import onnx_engine
        from mindvox.models import create_model

        settings = settings_of(network)
        return onnx_engine(settings, weights_of(create_model(settings))).encode


class Torch:
    """The peer."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(len(os.sched_getaffinity(0)))

    def _model(self, network: str):
        import torch_networks

        return torch_networks.NETWORKS[network]()

    def forward(self, network: str, batch: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return a call of the model."""
        model = self._model(network).eval()

        def call(feats: np.ndarray) -> np.ndarray:
            with self.torch.no_grad():
                return model(self.torch.from_numpy(feats)).numpy()

        return call

    def step(self, network: str) -> Callable[[np.ndarray, np.ndarray], float]:
        """Return one optimiser step."""
        import torch_networks

        model = self._model(network)
        loss = torch_networks.AamSoftmax(SETTINGS[network]["emb_size"], NUM_SPEAKERS)
        optimizer = self.torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=1e-4)

        def call(feats: np.ndarray, label: np.ndarray) -> float:
            optimizer.zero_grad()
            value = loss(model(self.torch.from_numpy(feats)), self.torch.from_numpy(label))
            value.backward()
            optimizer.step()
            return value.item()

        return call


class Bench:
    """What the driver may ask for."""

    def __init__(self, framework: MindSpore | Torch) -> None:
        self.framework = framework
        self.call: Callable[[], object] = lambda: None

    def prepare(self, network: str, what: str, batch: int) -> dict:
        """Build a case and run it twice, compilation included."""
        rng = np.random.default_rng(0)
        feats = rng.standard_normal(input_shape(network, batch)).astype(np.float32)
        if what == "forward":
            forward = self.framework.forward(network, batch)
            self.call = lambda: forward(feats)
        else:
            step, label = self.framework.step(network), rng.integers(NUM_SPEAKERS, size=batch)
            self.call = lambda: step(feats, label)
        self.time()
        return self.time()

    def time(self, calls: int = 1, clock: str = "wall") -> dict:
        """Time the case, seconds a call, by the clock on the wall or that of this process."""
        return time_calls(self.call, calls, time.perf_counter if clock == "wall" else time.process_time)


if __name__ == "__main__":
    bench = Bench({"mindspore": MindSpore, "onnxruntime": OnnxRuntime, "torch": Torch}[sys.argv[1]]())
    serve({action.__name__: action for action in (bench.prepare, bench.time)})
