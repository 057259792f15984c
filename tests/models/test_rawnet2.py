"""RawNet2: its training output, its windows, and what it refuses."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindvox.config import Config, load_config
from mindvox.deploy.export import describe
from mindvox.deploy.import_weights import main
from mindvox.errors import UsageError
from mindvox.frontend.samples import Samples
from mindvox.models import create_model
from mindvox.models.checkpoint import read_checkpoint
from mindvox.models.rawnet2 import RawNet2
from mindvox.training.loop import train
from mindvox.training.step import make_step
from tests.deploy.toy import without_compiling
from tests.deploy.weight_files import write_safetensors
from tests.training.runs import write_store
from tests.vectors import load_vector, weights
from tests.vectors.networks import Network, check_embeddings, check_gradients, check_training

NAMES = ["rn_rawnet2_logits", "rn_rawnet2_original_logits"]
SCALE = 10.0
SMALL = ["--model.name=rawnet2", "--model.in_channels=1", "--model.num_samples=3000", "--model.channels=2"]
SMALL += ["--model.wide_channels=2", "--model.gru_size=2", "--model.emb_size=2"]


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


@pytest.mark.parametrize(
    ("name", "form"), [("rn_rawnet2_tiny", "refactored"), ("rn_rawnet2_original_tiny", "published")]
)
def test_weights_of_both_forms_are_imported_with_their_front_end(name, form, tmp_path, capsys):
    state = weights.make_state(json.loads(str(load_vector(f"net_{name}")[0]["state"])))
    state = {key: array for key, array in state.items() if array.dtype == np.float32}
    source = write_safetensors(tmp_path / "x.safetensors", state)
    assert main([str(source), "--from", "rawnet2", "--to", str(tmp_path / "x.ckpt")]) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    sizes = {"in_channels": 1, "num_samples": 8000, "channels": 16, "wide_channels": 24, "gru_size": 32, "emb_size": 24}
    assert meta["model"] == {"name": "rawnet2", "form": form, **sizes}
    assert meta["front_end"] == {"type": "samples", "sample_rate": 16000, "peak": True}
    assert sum(array.size for array in arrays.values()) + 250 == sum(array.size for array in state.values())
    np.testing.assert_array_equal(arrays["model.gru.weight_hh"], state["gru.weight_hh_l0"])
    assert "left out: fc2_gru.weight, fc2_gru.bias" in capsys.readouterr().out


def test_training_on_another_length_is_refused(tmp_path):
    store = write_store(tmp_path / "store", front_end=Samples(), shortest=40)
    words = ["--config_path=/dev/null", *SMALL, f"--train_data_path={store}", f"--ckpt_save_dir={tmp_path / 'ckpt'}"]
    config = load_config(Config, [*words, "--minibatch_size=4", "--train_frames=301", "--device_target=CPU"])
    with pytest.raises(UsageError, match="train_frames: a rawnet2 of these settings takes 3000 frames alone, got 301"):
        train(config)


def test_a_step_takes_it_with_the_classifier_of_its_authors():
    # Both have a batch norm called norm.
    words = ["--config_path=/dev/null", *SMALL, "--loss.name=softmax", "--loss.norm_first=true"]
    config = load_config(Config, words)
    model, loss = create_model(config.model.to_dict()), config.loss.build(2, 3)
    optimizer = make_step(config, model, loss).optimizer
    assert len(optimizer.parameters) == len(model.trainable_params()) + len(loss.trainable_params())


def test_an_export_takes_windows_of_the_only_length_alone(tmp_path):
    settings = {"name": "rawnet2", "in_channels": 1, "emb_size": 2, "num_samples": 3000}
    meta = {"model": settings, "front_end": Samples().to_dict()}
    checkpoint = tmp_path / "x.ckpt"
    checkpoint.write_bytes(b"")
    for words in ((), ("--length=0",), ("--length=3000",)):
        found = describe(load_config(Config, ["--config_path=/dev/null", *words]), meta, checkpoint, "CPU")
        assert found.num_frames == 3000 and found.windows == RawNet2.windows(RawNet2.Options(num_samples=3000))
        assert found.num_samples == 3000 and found.cut_frames is None
    with pytest.raises(
        UsageError, match="length: a rawnet2 of these settings takes windows of 3000 frames alone, got 301"
    ):
        describe(load_config(Config, ["--config_path=/dev/null", "--length=301"]), meta, checkpoint, "CPU")


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
