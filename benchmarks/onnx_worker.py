"""One process of benchmarks/onnx_versions.py: `python onnx_worker.py checkpoint CHECKOUT | engine FILE LIBRARY`."""

import importlib
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from workers import serve, time_calls

NUM_MELS, EMB_SIZE = 80, 192


class Checkpoints:
    """Checkpoints in the form of a checkout: this one, or one from before the package `mindvox`."""

    def __init__(self, checkout: str) -> None:
        os.environ.setdefault("GLOG_v", "3")
        folder = Path(checkout)
        package = "mindvox" if (folder / "src" / "mindvox").is_dir() else "src"
        sys.path.insert(0, str(folder / "src" if package == "mindvox" else folder))
        self.models = importlib.import_module(f"{package}.models")
        self.checkpoint = importlib.import_module(f"{package}.models.checkpoint")
        self.front_end = importlib.import_module(f"{package}.frontend.fbank")

    def write(self, path: str, channels: int) -> dict:
        """Write random weights; the time of a model does not depend on them."""
        np.random.seed(0)
        settings = {"in_channels": NUM_MELS, "channels": channels, "emb_size": EMB_SIZE, "global_context": True}
        settings = {"name": "ecapa_tdnn", **settings}
        model = self.models.create_model(settings)
        front_end = getattr(self.front_end, "FbankConfig", None) or self.front_end.Fbank
        meta = {"model": settings, "front_end": front_end().to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
        parameters = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
        self.checkpoint.write_checkpoint(path, parameters, meta)
        return {}


class Engine:
    """An ONNX file in a library, as this checkout loads it."""

    def __init__(self, file: str, library: str) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
        from mindvox.engines.engine import load_engine

        self.run = load_engine(file, library).run

    def prepare(self, batch: int, num_frames: int) -> dict:
        """Choose the input, run it twice, and return the first embedding."""
        rng = np.random.default_rng(0)
        self.feats = rng.standard_normal((batch, num_frames, NUM_MELS)).astype(np.float32)
        self.run(self.feats)
        return {"embedding": self.run(self.feats)[0][0].tolist()}

    def time(self, calls: int) -> dict:
        """Time the model, seconds a call."""
        return time_calls(lambda: self.run(self.feats), calls)


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    worker = {"checkpoint": Checkpoints, "engine": Engine}[kind](*arguments)
    names = ("write",) if kind == "checkpoint" else ("prepare", "time")
    serve({name: getattr(worker, name) for name in names})
