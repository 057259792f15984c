"""RawNet2: its training output, its windows, and what it refuses."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindvox.models.rawnet2 import RawNet2
from tests.deploy.toy import without_compiling
from tests.vectors import weights
from tests.vectors.networks import Network, check_embeddings, check_gradients, check_training

NAMES = ["rn_rawnet2_logits", "rn_rawnet2_original_logits"]
SCALE = 10.0


class Classifier(nn.Cell):
    """RawNet2 and what the authors train it with: a linear layer on the embedding at a length of 10."""

    def __init__(self, model: nn.Cell, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        self.weight = Parameter(Tensor(weight), name="fc2_gru.weight")
        self.bias = Parameter(Tensor(bias), name="fc2_gru.bias")
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, feats: Tensor) -> Tensor:
        code = self.model(feats)
        code = code / ops.sqrt(ops.square(code).sum(axis=1, keepdims=True)) * SCALE
        return self.product(code, self.weight) + self.bias


class ClassifierNetwork(Network):
    """A network of the vectors whose outputs are the classifier's."""

    def model(self, device_target: str = "CPU") -> nn.Cell:
        arrays = (weights.make_array(f"fc2_gru.{name}", shape, rule) for name, shape, rule in self.classifier())
        return Classifier(super().model(device_target), *arrays)

    def classifier(self) -> list[tuple[str, tuple[int, ...], str]]:
        return [("weight", (10, 24), "matrix"), ("bias", (10,), "shift")]

    def names(self, model: nn.Cell) -> dict[str, ms.Parameter]:
        own = {"fc2_gru.weight": model.weight, "fc2_gru.bias": model.bias}
        return {**super().names(model.model), **own}


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_a_linear_layer_on_the_embedding_at_a_length_of_10_are_the_authors(name):
    network = ClassifierNetwork(name)
    assert network.num_left_out == 250
    with without_compiling():
        check_embeddings(network, network.model())
    check_training(network)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradients_through_that_layer_are_the_authors(name):
    check_gradients(ClassifierNetwork(name))


def test_windows_are_those_that_the_authors_test_on():
    windows = RawNet2.windows(RawNet2.Options())
    assert (windows.num_frames, windows.step, windows.last) == (59049, 47239, "aligned")
    assert windows.starts(60000) == [0, 951]
    assert windows.starts(59049 + 47239) == [0, 47239]  # the authors count the last one twice


def test_another_length_is_refused():
    with without_compiling(), pytest.raises(ValueError, match="expected waveforms of 3000 samples, got 6000"):
        RawNet2(num_samples=3000, channels=2, wide_channels=2, gru_size=2, emb_size=2)(Tensor(np.zeros((1, 6000, 1))))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"in_channels": 80}, "in_channels: expected 1, got 80"),
        ({"num_samples": 2436}, "num_samples"),
        ({"form": "x"}, "form"),
    ],
)
def test_options_that_no_rawnet2_has_are_refused(keys, said):
    with pytest.raises(ValueError, match=said):
        RawNet2(**keys)
