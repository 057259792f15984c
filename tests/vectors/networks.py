"""Networks of the reference vectors: ours with their weights, and comparisons with their results.

Single precision may differ by ten times what PyTorch's own does in each number, which the vectors state: outputs
absolutely, gradients and running statistics relative to their greatest entry; statistics by STATISTICS_BOUND at least,
because MindSpore 2.10 sums a batch with fewer digits than PyTorch. Gradients are so sensitive because
rounding flips ReLUs; those of full networks are not compared.
"""

import json
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindvox.deploy.import_weights import build
from mindvox.models import create_model
from mindvox.registry import TOOLKITS
from tests.deploy.toy import without_compiling
from tests.vectors import load_vector, weights

TOOLKIT = {"3d": "3dspeaker", "jv": "joovvhan", "ma": "mindaudio", "mv": "mvector", "rn": "rawnet2"}
TOOLKIT |= {"rs": "resemblyzer", "vt": "voxceleb_trainer", "ws": "wespeaker"}

STATISTICS_BOUND = 2e-6
NUM_ATTEMPTS = 8
MODEL_KEYS = {"vt_vggvox40_max": {"pooling": "max"}, "vt_vggvox40_tap": {"pooling": "tap"}}  # what no file tells
MODEL_KEYS |= {f"mv_res2net_{kind}_tiny": {"pooling": kind} for kind in ("tap", "tsp")}
MODEL_KEYS["mv_resnetse_tsp_tiny"] = {"pooling": "tsp"}


def made_input(meta: dict[str, Any], key: str) -> np.ndarray:
    """Return the input "x<length>" or "xtrain" of a network, which follows from its name."""
    if meta["input"] == "feats":
        if key == "xtrain":
            return weights.features(key, meta.get("train_batch", 6), meta.get("train_frames", 64), meta["bins"])
        num_frames = int(key[1:])
        return weights.features(key, 2 if num_frames <= 200 else 1, num_frames, meta["bins"])
    if key == "xtrain":
        return weights.waveform(key, meta.get("train_batch", 4), meta["train_samples"])
    return weights.waveform(key, 2, int(key[1:]))


class Network:
    """A network of the vectors.

    Args:
        name: of its file, without "net_".

    Attributes:
        toolkit: whose it is.
        state: the model's weights, by their names in the toolkit.
        num_left_out: parameters of the toolkit's model that belong to training, and are not in ours.
        model_keys: keys of the section `model` that the weights do not tell.
        arrays, meta: see the vectors' README.
    """

    def __init__(self, name: str) -> None:
        self.arrays, self.meta = load_vector(f"net_{name}")
        self.toolkit = TOOLKIT[name.split("_")[0]]
        self.model_keys = MODEL_KEYS.get(name, {})
        state = weights.make_state(json.loads(str(self.arrays["state"])))
        self.state, left_out = TOOLKITS.get(self.toolkit).split(state)
        self.num_left_out = sum(state[name].size for name in left_out)

    def model(self, device_target: str = "CPU") -> nn.Cell:
        """Return our model with these weights."""
        settings, model = build(self.toolkit, self.state, "reference", self.model_keys)
        if device_target == "CPU":
            return model
        native = create_model(settings, device_target)
        for source, target in zip(model.get_parameters(), native.get_parameters(), strict=True):
            target.set_data(source.value())
        return native

    def names(self, model: nn.Cell) -> dict[str, ms.Parameter]:
        """Return the model's parameters by their names in the toolkit."""
        name_of = TOOLKITS.get(self.toolkit).architecture_of(self.state, "reference").name
        named = ((name_of(parameter.name), parameter) for parameter in model.get_parameters())
        return {name: parameter for name, parameter in named if name is not None}

    def feats(self, key: str) -> Tensor:
        """Return what our model is given, (B, T, F): "x<length>", "xtrain" or "loud"."""
        if key == "loud":
            return Tensor(made_input(self.meta, self.meta["loud"]) * np.float32(self.meta["loud_gain"]))
        front = f"front_{key[1:]}"
        if front in self.arrays:  # the network's own front end has been run
            return Tensor(np.ascontiguousarray(self.arrays[front].swapaxes(1, 2)))
        values = made_input(self.meta, key)
        return Tensor(values if values.ndim == 3 else values[:, :, None])  # a sample is a frame of one number

    def check(self, key: str, value: np.ndarray) -> None:
        """Compare one result."""
        expected = self.arrays[key]
        scale = 1.0 if key.startswith(("eval", "train")) else np.abs(expected).max()
        bound = 10 * self.meta["float32_dev"][key]
        if key.startswith("after_train/"):
            bound = max(bound, STATISTICS_BOUND)
        difference = np.abs(value.reshape(expected.shape) - expected).max()
        assert difference <= bound * scale, (key, difference)

    def check_statistics(self, model: nn.Cell) -> None:
        """Compare the running statistics after one batch in training mode."""
        own, prefix = self.names(model), TOOLKITS.get(self.toolkit).prefix
        names = [key for key in self.arrays if key.startswith("after_train/")]
        assert bool(names) == any(name.endswith(("running_mean", "moving_mean")) for name in self.state)
        for key in names:
            self.check(key, own[key.removeprefix("after_train/").removeprefix(prefix)].asnumpy())


def check_embeddings(network: Network, model: nn.Cell, every_length: bool = True) -> None:
    """Compare the embeddings of every length, or of the one in the middle of the vectors' list."""
    model.set_train(False)
    lengths = network.meta["lengths"]
    for length in lengths if every_length else [lengths[len(lengths) // 2]]:
        network.check(f"eval_{length}", model(network.feats(f"x{length}")).asnumpy())
    if every_length and "eval_loud" in network.arrays:
        network.check("eval_loud", model(network.feats("loud")).asnumpy())


def check_attention(network: Network, model: nn.Cell) -> None:
    """Compare the weights of the frames, and the embeddings that are returned with them."""
    model.set_train(False).return_further(["attention"])
    lengths = [key.removeprefix("attention_") for key in network.arrays if key.startswith("attention_")]
    assert lengths
    for length in lengths:
        embedding, attention = model(network.feats(f"x{length}"))
        network.check(f"eval_{length}", embedding.asnumpy())
        network.check(f"attention_{length}", attention.asnumpy())


def check_training(network: Network) -> None:
    """Compare the output of one batch in training mode, and the running statistics after it."""
    model = network.model().set_train()
    with without_compiling():
        network.check("train", model(network.feats("xtrain")).asnumpy())
    network.check_statistics(model)


def check_gradients(network: Network) -> None:
    """Compare outputs and gradients of a compiled graph in training mode, three times, and its first statistics."""
    model, prefix = network.model(), TOOLKITS.get(network.toolkit).prefix
    names = [key.removeprefix("grad/").removeprefix(prefix) for key in network.arrays if key.startswith("grad/")]
    assert names
    own = network.names(model)
    step = _Gradient(model, [own[name] for name in names])
    step.set_train()
    feats = network.feats("xtrain")
    weight = Tensor(weights.normal("grad_weight", network.arrays["train"].shape).astype(np.float32))
    step(feats, weight)
    network.check_statistics(model)
    # The derivative of a ReLU whose input is zero but for rounding may be that of either side, a matter of the order of
    # sums. Then the inputs are moved by their last bit, which makes such a zero positive or negative.
    random = np.random.default_rng(0)
    for attempt in range(NUM_ATTEMPTS):
        away = random.choice(np.float32([-np.inf, np.inf]), feats.shape)
        moved = np.nextafter(feats.asnumpy(), away) if attempt else feats.asnumpy()
        try:
            for _ in range(3):  # MindSpore 2.10 has gradients that go wrong from the second execution on
                (_, embedding), gradients = step(Tensor(moved), weight)
                network.check("train", embedding.asnumpy())
                for name, gradient in zip(names, gradients, strict=True):
                    network.check(f"grad/{name}", gradient.asnumpy())
            return
        except AssertionError:
            if attempt == NUM_ATTEMPTS - 1:
                raise


class _Gradient(nn.Cell):
    """Embeddings, and the gradients of their sum with weights."""

    def __init__(self, model: nn.Cell, parameters: list) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        self.gradient = ms.value_and_grad(self.objective, None, ms.ParameterTuple(parameters), has_aux=True)

    def objective(self, feats: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.model(feats)
        return (embedding * weight).sum(), embedding

    def construct(self, feats: Tensor, weight: Tensor) -> tuple:
        return self.gradient(feats, weight)
