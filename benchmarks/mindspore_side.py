"""What the workers of model.py and networks.py share of MindSpore's side."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

NUM_SPEAKERS = 1211  # of VoxCeleb1


class Trained:
    """Networks in MindSpore's graph mode on a CPU."""

    def __init__(self) -> None:
        os.environ.setdefault("GLOG_v", "3")
        import mindspore as ms

        self.ms = ms
        ms.set_context(mode=ms.GRAPH_MODE)
        ms.set_device("CPU")

    def step_of(self, settings: Mapping[str, Any]) -> Callable[[np.ndarray, np.ndarray], float]:
        """Return one optimiser step of a section `model`, with AAM-softmax."""
        from mindspore import nn

        from mindvox.losses.aam_softmax import AamSoftmax
        from mindvox.models import create_model
        from mindvox.training.step import ModelWithLoss, TrainStep

        model, loss = create_model(settings), AamSoftmax(settings["emb_size"], NUM_SPEAKERS)
        optimizer = nn.Adam([*model.trainable_params(), *loss.trainable_params()], learning_rate=1e-4)
        step = TrainStep(ModelWithLoss(model, loss), optimizer)
        step.set_train()
        return lambda feats, label: float(step(self.ms.Tensor(feats), self.ms.Tensor(label, self.ms.int32))[0])


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """Return a model's weights by the names of a checkpoint."""
    return {f"model.{parameter.name}": parameter.asnumpy() for parameter in model.get_parameters()}
