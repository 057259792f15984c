"""Softmax over a linear classifier: no angles, no margin."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.norm import batch_norm
from mindvox.layers.unit_length import unit
from mindvox.losses.classifier import HiddenLayers
from mindvox.losses.functions import cross_entropy, one_hot, smoothed
from mindvox.losses.objective import Objective


class Softmax(Objective):
    """Cross entropy over a linear layer's outputs.

    Args:
        emb_size: embedding size.
        num_classes: training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the linear layer's outputs, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        input_length: float = option(
            0.0, "norm of embeddings before the linear layer: 10 in RawNet2; 0: unchanged", minimum=0
        )
        norm_first: bool = option(False, "apply batch norm and ReLU before the linear layer, as in wespeaker")
        hidden_layers: int = option(
            0, "number of linear layers with batch norm before the classifier (mvector)", minimum=0
        )
        hidden_size: int = option(192, "output size of the hidden_layers", minimum=1)
        label_smoothing: float = option(
            0.0, "label smoothing: share of the target that is spread over all speakers", minimum=0, below=1
        )

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.input_length = options.input_length
        self.norm = batch_norm(emb_size) if options.norm_first else None
        self.hidden = HiddenLayers(emb_size, options.hidden_layers, options.hidden_size)
        self.linear = nn.Dense(self.hidden.out_size, num_classes)
        self.num_classes = num_classes
        self.label_smoothing = options.label_smoothing

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(embedding.astype(ms.float32))
        target = one_hot(label, self.num_classes)
        return cross_entropy(logits, smoothed(target, self.label_smoothing)), logits

    def logits(self, embedding: Tensor) -> Tensor:
        """Return the linear layer's outputs (B, K) for embeddings (B, emb_size), float32."""
        if self.input_length > 0:
            embedding = self.input_length * unit(embedding)
        if self.norm is not None:
            embedding = ops.relu(self.norm(embedding))
        return self.linear(self.hidden(embedding))
