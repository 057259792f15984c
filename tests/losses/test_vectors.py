"""Every objective and classifier head of the reference vectors: ours gives the numbers of its own code.

Losses may differ by 1e-5 and gradients by 5e-5 of their greatest entry: single precision, at scale 32.
"""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.deploy.toolkits.toolkit import BATCH_NORM
from mindvox.losses.functions import cosines, one_hot
from mindvox.registry import LOSSES
from tests.deploy.toy import without_compiling
from tests.losses.vector_cases import CASES, HEADS
from tests.vectors import load_vector, weights


class ByEmbedding(nn.Cell):
    """Loss and gradients of an embedding and the trained parameters."""

    def __init__(self, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.gradient = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)

    def construct(self, embedding: Tensor, label: Tensor) -> tuple:
        (value, _), (of_embedding, of_parameters) = self.gradient(embedding, label)
        return value, of_embedding, of_parameters


class ByCosine(nn.Cell):
    """Loss and gradients of cosines, of an embedding and of the trained parameters."""

    def __init__(self, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.loss = loss
        parameters = [parameter for parameter in loss.trainable_params() if parameter.name != "weight"]
        self.gradient = ms.value_and_grad(self.objective, (0, 1), parameters if parameters else None)

    def objective(self, cosine: Tensor, embedding: Tensor, label: Tensor) -> Tensor:
        nearest = self.loss.nearest(cosine)
        return self.loss.value(nearest, one_hot(label, nearest.shape[1]), embedding)

    def construct(self, cosine: Tensor, embedding: Tensor, label: Tensor) -> tuple:
        return self.gradient(cosine, embedding, label)


OURS_TO_THEIRS = {
    "weight": "weight",
    "bias": "bias",
    "linear.weight": "weight",
    "linear.bias": "bias",
    "softmax.linear.weight": "weight",
    "softmax.linear.bias": "bias",
    "prototypical.w": "w",
    "prototypical.b": "b",
    "w": "w",
    "b": "b",
}


def made(name: str, arrays: dict[str, np.ndarray]) -> nn.Cell:
    loss_name, keys = CASES[name]
    loss = LOSSES.get(loss_name)(24, 10, **keys).set_train()
    for parameter in loss.trainable_params():
        given = arrays.get(OURS_TO_THEIRS[parameter.name])
        if given is not None:
            given = given.T if name.startswith("vt_amsoftmax") else given
            parameter.set_data(Tensor(given.reshape(parameter.shape).astype(np.float32)))
    if loss_name == "sphere":
        updates = int(name.rpartition("step")[2]) - 1
        loss.plain_weight.set_data(Tensor(loss.schedule(0, updates)["plain_weight"], ms.float32))
    if loss_name == "triplet":
        loss.draws = Tensor(np.full(loss.draws.shape, 0.999), ms.float32)  # the greatest rank, hard for all
    return loss


def close(value: Tensor, expected: np.ndarray, bound: float, name: str) -> None:
    difference = np.abs(value.asnumpy().reshape(expected.shape) - expected).max()
    assert difference <= bound * np.abs(expected).max() + 1e-6, (name, difference)


def check(name: str, arrays: dict[str, np.ndarray], loss: nn.Cell, times: int) -> None:
    embedding = arrays.get("x", np.zeros((12, 24), np.float32))
    flat = Tensor(np.ascontiguousarray(embedding.reshape(-1, 24)), ms.float32)
    if loss.utterances_per_speaker and "cosine" not in arrays:
        rows = arrays.get("label", np.arange(len(embedding)))
        label = Tensor(np.repeat(rows, loss.utterances_per_speaker), ms.int32)
    else:
        label = Tensor(arrays["label"], ms.int32)
    cell = ByCosine(loss) if "cosine" in arrays else ByEmbedding(loss)
    cell.set_train()
    for _ in range(times):
        found = {}
        if "cosine" in arrays:
            value, gradients = cell(Tensor(arrays["cosine"]), flat, label)
            (of_cosine, of_x), of_parameters = gradients if isinstance(gradients[0], tuple) else (gradients, ())
            found["cosine"] = of_cosine
            parameters = [parameter for parameter in loss.trainable_params() if parameter.name != "weight"]
        else:
            value, of_x, of_parameters = cell(flat, label)
            parameters = loss.trainable_params()
        found |= {"x": of_x} if "grad_x" in arrays else {}
        for parameter, gradient in zip(parameters, of_parameters, strict=True):
            found[OURS_TO_THEIRS[parameter.name]] = gradient
        close(value, arrays["loss"], 1e-5, "loss")
        expected = {key.removeprefix("grad_"): array for key, array in arrays.items() if key.startswith("grad_")}
        assert found.keys() == expected.keys()
        for key, array in expected.items():
            array = array.T if name.startswith("vt_amsoftmax") and key == "weight" else array
            close(found[key], array, 5e-5, key)


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_equal_the_toolkits(name):
    arrays, _ = load_vector(f"loss_{name}")
    loss = made(name, arrays)
    with without_compiling():
        check(name, arrays, loss, times=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({loss_name: name for name, (loss_name, _) in CASES.items()}.values()))
def test_compiled_loss_and_its_gradients_are_right_three_times(name):
    arrays, _ = load_vector(f"loss_{name}")
    check(name, arrays, made(name, arrays), times=3)


HEAD_NAMES = {  # ours: theirs
    "weight": "weight",
    "linear.weight": "output.weight",
    "linear.bias": "output.bias",
    **{f"hidden.linears.{number}.weight": f"blocks.{number}.linear.weight" for number in range(2)},
    **{
        f"hidden.norms.{number}.{ours}": f"blocks.{number}.nonlinear.batchnorm.{theirs}"
        for number in range(2)
        for ours, theirs in BATCH_NORM.items()
    },
}
WESPEAKER_NAMES = {"linear.weight": "trans.2.weight", "linear.bias": "trans.2.bias"}
WESPEAKER_NAMES |= {f"norm.{ours}": f"trans.0.{theirs}" for ours, theirs in BATCH_NORM.items()}


class AllCenters(nn.Cell):
    """The cosines of embeddings with every centre."""

    def __init__(self, loss) -> None:
        super().__init__(auto_prefix=False)
        self.loss = loss

    def construct(self, embedding: Tensor) -> Tensor:
        return cosines(self.loss.hidden(embedding), self.loss.weight)


class OfHead(nn.Cell):
    """What a head makes of embeddings, and the gradient of a weighted sum of it."""

    def __init__(self, head) -> None:
        super().__init__(auto_prefix=False)
        self.head = head
        self.gradient = ms.value_and_grad(self.objective, 0, None, has_aux=True)

    def objective(self, embedding: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(embedding)
        return (logits * weight).sum(), logits

    def construct(self, embedding: Tensor, weight: Tensor) -> tuple:
        return self.gradient(embedding, weight)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", HEADS)
def test_classifier_heads_equal_the_toolkits(name, mode):
    arrays, _ = load_vector(f"loss_{name}")
    loss_name, keys = HEADS[name]
    loss = LOSSES.get(loss_name)(24, 10, **keys).set_train(mode == "train")
    state = weights.make_state(json.loads(str(arrays["state"])))
    names = WESPEAKER_NAMES if name == "ws_linear" else HEAD_NAMES
    for parameter in loss.get_parameters():
        if parameter.name not in loss.scheduled:
            parameter.set_data(Tensor(state[names[parameter.name]].reshape(parameter.shape)))
    cell = OfHead(loss.logits if loss_name == "softmax" else loss.cosine)
    if name == "mv_head_cosine_k3_blocks0":  # theirs leaves the nearest centre to the loss
        cell = OfHead(AllCenters(loss))
    embedding = Tensor(arrays["x"])
    if name == "ws_linear":
        label = Tensor(arrays["label"], ms.int32)
        with without_compiling():
            (value, logits), (of_x, _) = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)(
                embedding, label
            )
        close(value, arrays[f"{mode}_loss"], 1e-5, "loss")
    else:
        weight = Tensor(weights.normal("grad_weight", arrays[f"{mode}_logits"].shape).astype(np.float32))
        with without_compiling():
            (_, logits), of_x = cell(embedding, weight)
    close(logits, arrays[f"{mode}_logits"], 1e-5, "logits")
    close(of_x, arrays[f"{mode}_grad_x"], 5e-5, "x")
