"""Classifiers by cosine, shared by objectives over the training speakers."""

import math
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvox.config.option import checked, option
from mindvox.errors import InputError
from mindvox.layers.norm import batch_norm
from mindvox.losses.functions import cosines, one_hot
from mindvox.losses.objective import Objective

GROWTH_END = 1e-3  # remaining share of an exponential growth at its end, where the margin is set to its last value


class HiddenLayers(nn.Cell):
    """Linear layers with batch norms between an embedding and a classifier, as in mvector.

    Args:
        in_size: embedding size.
        num_layers: number of layers; 0: embeddings pass unchanged.
        size: output size of each layer.

    Inputs:
        - **x** - (B, in_size).

    Outputs:
        (B, out_size).
    """

    def __init__(self, in_size: int, num_layers: int, size: int) -> None:
        super().__init__()
        sizes = [in_size] + [size] * num_layers
        self.out_size = sizes[-1]
        self.linears = nn.CellList(
            [nn.Dense(first, second, has_bias=False) for first, second in zip(sizes[:-1], sizes[1:], strict=True)]
        )
        self.norms = nn.CellList([batch_norm(size) for _ in range(num_layers)])

    def construct(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms):  # noqa: B905 - compiled to a graph, which has no strict
            x = norm(linear(x))
        return x


class CosineClassifier(Objective):
    """An objective over the cosines between an embedding and a vector per training speaker; subclasses define the loss.

    Args:
        emb_size: embedding size.
        num_classes: number of training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the cosines without margin, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        sub_centers: int = option(1, "number of centres per speaker; the nearest counts", minimum=1)
        hidden_layers: int = option(
            0, "number of linear layers with batch norm before the classifier (mvector)", minimum=0
        )
        hidden_size: int = option(192, "output size of the hidden_layers", minimum=1)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        self.options: Any = checked(self.Options(**keys))
        self.hidden = HiddenLayers(emb_size, self.options.hidden_layers, self.options.hidden_size)
        self.num_classes = num_classes
        self.sub_centers = self.options.sub_centers
        num_centers, size = num_classes * self.sub_centers, self.hidden.out_size
        bound = math.sqrt(6 / (size + num_centers))  # Xavier
        weight = np.random.uniform(-bound, bound, (num_centers, size))
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        embedding = embedding.astype(ms.float32)
        cosine = self.cosine(embedding)
        return self.value(cosine, one_hot(label, self.num_classes), embedding), cosine

    def cosine(self, embedding: Tensor) -> Tensor:
        """Return the cosine of each embedding (B, emb_size) with the nearest centre of each speaker, (B, K)."""
        return self.nearest(cosines(self.hidden(embedding), self.weight))

    def nearest(self, cosine: Tensor) -> Tensor:
        """Return the cosines with the nearest centre of each speaker, (B, K), and those with all centres, (B, K *
        sub_centers).

        The centres of a speaker are consecutive.
        """
        if self.sub_centers == 1:
            return cosine
        return cosine.reshape(-1, self.num_classes, self.sub_centers).max(axis=2)

    def value(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        """Return the mean loss.

        Args:
            cosine: (B, K).
            target: (B, K), 1 at the row's speaker, 0 elsewhere.
            embedding: (B, emb_size), float32.
        """
        raise NotImplementedError

    def speaker_vectors(self) -> Parameter:
        """Return the vectors of the classes.

        Raises:
            InputError: there are hidden layers, or several centres for each speaker.
        """
        if self.options.hidden_layers or self.sub_centers > 1:
            key = "hidden_layers: 0" if self.options.hidden_layers else "sub_centers: 1"
            raise InputError(
                "imprint_utterances: expected a classifier of embeddings with one vector for each speaker: set "
                f"loss.{key}, or imprint_utterances: 0."
            )
        return self.weight

    def adapt(self, arrays: dict[str, np.ndarray], before: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays "loss.*" for this objective, cut to its number of classes.

        Training with speed_classes appends the speakers at other speeds; fine-tuning without it keeps the first
        classes. If the checkpoint's number of classes is not a multiple of this objective's, nothing is cut.

        Args:
            arrays: arrays of a checkpoint with the same speakers.
            before: section `loss` of that checkpoint.

        Raises:
            InputError: the checkpoint has another number of sub-centres, or no classifier by cosine.
        """
        if "sub_centers" not in before:
            raise InputError(
                f"loss: the checkpoint was trained with {before.get('name')}, which has no classifier by cosine: set "
                f"loss.name: {before.get('name')}, or start from a checkpoint of another objective."
            )
        if before["sub_centers"] != self.sub_centers:
            raise InputError(
                f"sub_centers: the checkpoint's classifier has {before['sub_centers']} for each speaker, the "
                f"configuration says {self.sub_centers}: set sub_centers: {before['sub_centers']}."
            )
        weight, num_rows = arrays["loss.weight"], len(self.weight)
        return {**arrays, "loss.weight": weight[:num_rows]} if len(weight) % num_rows == 0 else arrays


class MarginClassifier(CosineClassifier):
    """A classifier by cosine with a scale and a margin that may grow during the run.

    Args, inputs and outputs are those of `CosineClassifier`.
    """

    @dataclass
    class Options(CosineClassifier.Options):
        """Keys of the section `loss`."""

        margin: float = option(0.2, "margin, radians for angles", minimum=0, below=1.5)
        margin_start: float = option(0.0, "margin before margin_from_epoch", minimum=0, below=1.5)
        margin_from_epoch: float = option(1.0, "epoch, from 1, at whose start the margin begins to grow", minimum=1)
        margin_to_epoch: float = option(1.0, "epoch at whose start the margin is reached; 1: from the start", minimum=1)
        margin_from_share: float = option(
            0.0, "share of the run after which the margin begins to grow, in place of epochs", minimum=0, below=1
        )
        margin_to_share: float = option(
            0.0, "share of the run after which the margin is reached; 0: use the epochs", minimum=0
        )
        margin_growth: str = option(
            "exponential", "growth of the margin: fast at first, or linear", choices=("exponential", "linear")
        )
        scale: float = option(30.0, "factor on the cosines", above=0)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            found = [
                f"{first}: expected at most {last} {getattr(self, last):g}, got {getattr(self, first):g}."
                for first, last in (("margin_from_epoch", "margin_to_epoch"), ("margin_from_share", "margin_to_share"))
                if getattr(self, first) > getattr(self, last)
            ]
            if self.margin_to_share > 1:
                found.append(f"margin_to_share: expected at most 1, got {self.margin_to_share:g}.")
            if self.margin_to_share and (self.margin_from_epoch, self.margin_to_epoch) != (1, 1):
                found.append(
                    "margin_to_share: the margin grows either by epochs or by shares of the run: set only one of them."
                )
            return found

    scheduled = ("margin",)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        self.margin = Parameter(Tensor(self.options.margin, ms.float32), name="margin", requires_grad=False)
        self.scale = self.options.scale

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        """Return the margin after this many epochs, at this share of the run."""
        options = self.options
        done, first, last = epochs, options.margin_from_epoch - 1, options.margin_to_epoch - 1
        if options.margin_to_share > 0:
            done, first, last = share, options.margin_from_share, options.margin_to_share
        if done >= last:
            return {"margin": options.margin}
        position = max(0.0, (done - first) / (last - first)) if last > first else 0.0
        grown = 1 - GROWTH_END**position if options.margin_growth == "exponential" else position
        return {"margin": options.margin_start + (options.margin - options.margin_start) * grown}
