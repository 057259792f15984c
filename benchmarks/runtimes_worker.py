"""One side of benchmarks/runtimes.py: `python runtimes_worker.py embedder|onnxruntime|openvino|eager|compiled FILE`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from workers import serve, time_calls

NUM_MELS = 80
Embed = Callable[[np.ndarray], np.ndarray]


def embedder(file: str, _: str, threads: int) -> Embed:
    """Return Embedder's engine."""
    from mindvox.embedder import Embedder

    return Embedder.open(file, num_threads=threads).engine.encode


def onnx_runtime(file: str, _: str, threads: int) -> Embed:
    """Return ONNX Runtime alone."""
    from int8 import in_onnxruntime

    return in_onnxruntime(Path(file), threads)


def openvino(file: str, _: str, threads: int) -> Embed:
    """Return OpenVINO alone."""
    from int8 import in_openvino

    return in_openvino(Path(file), threads=threads)


def torch_model(model: str):
    """Return the network of PyTorch."""
    import torch_networks

    return torch_networks.NETWORKS[model]().eval()


def eager(_: str, model: str, threads: int) -> Embed:
    """Return PyTorch, operator by operator."""
    return _torch_call(torch_model(model), threads)


def compiled(_: str, model: str, threads: int) -> Embed:
    """Return PyTorch's compiled graph."""
    import torch

    return _torch_call(torch.compile(torch_model(model)), threads)


def _torch_call(network, threads: int) -> Embed:
    import torch

    torch.set_num_threads(threads)

    def call(feats: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(feats)).numpy()

    return call


SIDES = {
    "embedder": embedder,
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "eager": eager,
    "compiled": compiled,
}


class Bench:
    """What the driver may ask for."""

    def __init__(self, side: str, file: str) -> None:
        self.side, self.file = side, file

    def export(self, model: str, batch: int, num_frames: int, path: str) -> dict:
        """Write PyTorch's own export, of fixed sizes."""
        import torch

        feats = torch.from_numpy(self._feats(batch, num_frames))
        torch.onnx.export(torch_model(model), (feats,), path, dynamo=False, opset_version=17)
        return {}

    def prepare(self, model: str, batch: int, num_frames: int) -> dict:
        """Load the model, and run it twice, compilation included."""
        self.feats = self._feats(batch, num_frames)
        self.embed = SIDES[self.side](self.file, model, len(os.sched_getaffinity(0)))
        self.embed(self.feats)
        return self.time()

    def time(self, calls: int = 1) -> dict:
        """Time the case, seconds a call."""
        return time_calls(lambda: self.embed(self.feats), calls)

    def _feats(self, batch: int, num_frames: int) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((batch, num_frames, NUM_MELS)).astype(np.float32)


if __name__ == "__main__":
    bench = Bench(sys.argv[1], sys.argv[2])
    serve({action.__name__: action for action in (bench.export, bench.prepare, bench.time)})
