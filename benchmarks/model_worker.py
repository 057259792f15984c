"""One framework's side of benchmarks/model.py: `python model_worker.py mindspore|speechbrain|compiled`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindspore_side import NUM_SPEAKERS, Trained, weights_of
from workers import peak_memory_gib, serve, time_calls

NUM_MELS = 80
EMB_SIZE = 192


def settings_of(channels: int) -> dict[str, Any]:
    """Return the section `model` of a checkpoint."""
    settings = {"in_channels": NUM_MELS, "channels": channels, "emb_size": EMB_SIZE, "global_context": True}
    return {"name": "ecapa_tdnn", **settings}


class MindSpore(Trained):
    """This project."""

    def forward(self, channels: int) -> Callable[[np.ndarray], None]:
        """Return a call of the model, folded, of one compiled graph for all lengths, as eval.py uses it."""
        from mindvox.models import create_model
        from mindvox.models.ecapa_tdnn import EcapaTdnn
        from mindvox.models.fold import fold_ecapa
        from mindvox.models.folded_cell import FoldedEcapaCell
        from mindvox.scoring.embeddings import cell_encoder

        arrays = weights_of(create_model(settings_of(channels)))
        folded = FoldedEcapaCell(fold_ecapa(arrays, EcapaTdnn.Options(channels=channels)))
        return cell_encoder(folded.set_train(False), NUM_MELS)

    def step(self, channels: int) -> Callable[[np.ndarray, np.ndarray], None]:
        """Return one optimiser step."""
        return self.step_of(settings_of(channels))

    def product(self, left: np.ndarray, right: np.ndarray) -> Callable[[], None]:
        """Return a matrix product."""
        left, right = self.ms.Tensor(left), self.ms.Tensor(right)
        return lambda: self.ms.ops.matmul(left, right).asnumpy()


class SpeechBrain:
    """The peer, on PyTorch, operator by operator."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(2)

    def _model(self, channels: int):
        import torch_networks

        return torch_networks.ecapa_tdnn(channels)

    def forward(self, channels: int) -> Callable[[np.ndarray], None]:
        """Return a call of the model."""
        model = self.graph(self._model(channels).eval())

        def call(feats: np.ndarray) -> np.ndarray:
            with self.torch.no_grad():
                return model(self.torch.from_numpy(feats)).numpy()

        return call

    def step(self, channels: int) -> Callable[[np.ndarray, np.ndarray], None]:
        """Return one optimiser step."""
        from speechbrain.lobes.models.ECAPA_TDNN import Classifier
        from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

        model, classifier = self._model(channels), Classifier(EMB_SIZE, out_neurons=NUM_SPEAKERS)
        loss = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))
        optimizer = self.torch.optim.Adam([*model.parameters(), *classifier.parameters()], lr=1e-4)
        loss_of = self.graph(lambda feats, label: loss(classifier(model(feats)), label))

        def call(feats: np.ndarray, label: np.ndarray) -> float:
            optimizer.zero_grad()
            value = loss_of(self.torch.from_numpy(feats), self.torch.from_numpy(label).unsqueeze(1))
            value.backward()
            optimizer.step()
            return value.item()

        return call

    def graph(self, function: Callable) -> Callable:
        """Return a function as it is to be run."""
        return function

    def product(self, left: np.ndarray, right: np.ndarray) -> Callable[[], None]:
        """Return a matrix product."""
        left, right = self.torch.from_numpy(left), self.torch.from_numpy(right)
        return lambda: left @ right


class Compiled(SpeechBrain):
    """The peer, compiled by PyTorch."""

    def graph(self, function: Callable) -> Callable:
        """Return the compiled function."""
        return self.torch.compile(function)


class Bench:
    """What the driver may ask for."""

    def __init__(self, framework: MindSpore | SpeechBrain) -> None:
        self.framework = framework
        self.rng = np.random.default_rng(0)
        self.call: Callable[[], object] = lambda: None

    def prepare(self, what: str, channels: int, batch: int, num_frames: int) -> dict:
        """Build a case and run it twice, compilation included."""
        feats = self._feats(batch, num_frames)
        if what == "forward":
            forward = self.framework.forward(channels)
            self.call = lambda: forward(feats)
        else:
            step, label = self.framework.step(channels), self.rng.integers(NUM_SPEAKERS, size=batch)
            self.call = lambda: step(feats, label)
        seconds = self.time()["seconds"]
        self.time()
        return {"seconds": seconds}

    def prepare_product(self, kind: str) -> dict:
        """Build the product that gives the machine's peak: (1024, 1024) by (1024, 2408)."""
        left = self.rng.standard_normal((1024, 1024)).astype(np.float32)
        right = self.rng.standard_normal((1024, 2408)).astype(np.float32)
        self.call = self.framework.product(left, right) if kind == "framework" else lambda: left @ right
        self.time()
        return {}

    def time(self, calls: int = 1) -> dict:
        """Time the case, seconds a call."""
        return time_calls(self.call, calls)

    def prepare_lengths(self, channels: int) -> dict:
        """Build an evaluation of utterances of many lengths."""
        self.forward = self.framework.forward(channels)
        self.forward(self._feats(1, 300))
        return {"memory_gib": peak_memory_gib()}

    def embed(self, lengths: list[int]) -> dict:
        """Embed one utterance of each length, one by one: no two need be equal."""
        utterances = [self._feats(1, num_frames) for num_frames in lengths]
        start = time.perf_counter()
        for feats in utterances:
            self.forward(feats)
        return {"seconds": time.perf_counter() - start}

    def memory(self) -> dict:
        """Return the largest resident memory so far."""
        return {"memory_gib": peak_memory_gib()}

    def _feats(self, batch: int, num_frames: int) -> np.ndarray:
        return self.rng.standard_normal((batch, num_frames, NUM_MELS)).astype(np.float32)


if __name__ == "__main__":
    bench = Bench({"mindspore": MindSpore, "speechbrain": SpeechBrain, "compiled": Compiled}[sys.argv[1]]())
    actions = (bench.prepare, bench.prepare_product, bench.time, bench.prepare_lengths, bench.embed, bench.memory)
    serve({action.__name__: action for action in actions})
