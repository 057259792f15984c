"""ECAPA-TDNN against SpeechBrain 1.1.2 (reference/make_reference.py made the numbers)."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.deploy.import_weights import from_speechbrain
from src.losses.aam_softmax import AamSoftmax
from src.models.checkpoint import assign
from src.models.ecapa_tdnn import EcapaTdnn
from src.training.step import ModelWithLoss

REFERENCE = np.load(Path(__file__).with_name("reference") / "ecapa_toy.npz")
LENGTHS = sorted(int(name.split("/")[1]) for name in REFERENCE if name.startswith("feats/"))


def part(prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): REFERENCE[name] for name in REFERENCE if name.startswith(prefix)}


def reference_model(form: str = "product") -> EcapaTdnn:
    model = EcapaTdnn(80, 16, 12, form=form)
    arrays = from_speechbrain(part("model/"))
    assign(model, {f"model.{name}": value for name, value in arrays.items()}, "model.", "ecapa_toy.npz")
    return model


@pytest.mark.parametrize("form", ["product", "native"])
@pytest.mark.parametrize("length", LENGTHS)
def test_embeddings_equal_speechbrains(length, form):
    model = reference_model(form)
    model.set_train(False)
    expected = REFERENCE[f"embedding/{length}"]
    embedding = model(Tensor(REFERENCE[f"feats/{length}"])).asnumpy()
    assert 1 < expected.std() < 30
    assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()  # float32 through 20 layers


def test_batch_and_single_embeddings_agree():
    model = reference_model()
    model.set_train(False)
    feats = REFERENCE["feats/50"]
    together = model(Tensor(feats)).asnumpy()
    single = np.concatenate([model(Tensor(one[None])).asnumpy() for one in feats])
    assert np.abs(together - single).max() <= 1e-5 * np.abs(together).max()


class Gradients(nn.Cell):
    def __init__(self, model_with_loss, parameters):
        super().__init__(auto_prefix=False)
        self.model_with_loss = model_with_loss
        self.gradient = ms.value_and_grad(model_with_loss, None, parameters, has_aux=True)

    def construct(self, feats, label):
        return self.gradient(feats, label)


@pytest.mark.parametrize("form", ["product", "native"])
def test_gradients_of_an_aam_step_equal_speechbrains_at_the_third_execution(form):
    model, loss = reference_model(form), AamSoftmax(12, 7, margin=0.2, scale=30)
    loss.weight.set_data(Tensor(REFERENCE["loss/weight"]))
    parameters = ms.ParameterTuple([*model.trainable_params(), *loss.trainable_params()])
    step = Gradients(ModelWithLoss(model, loss), parameters)
    step.set_train()
    feats, label = Tensor(REFERENCE["train/feats"]), Tensor(REFERENCE["train/label"].astype(np.int32))
    for _ in range(3):
        (value, _), gradients = step(feats, label)
    assert float(value) == pytest.approx(float(REFERENCE["train/loss"]), rel=1e-5)

    expected = from_speechbrain(part("gradient/model/")) | {"weight": REFERENCE["gradient/loss/weight"]}
    norm = np.sqrt(sum(np.square(array).sum() for array in expected.values()))
    assert {parameter.name for parameter in parameters} == set(expected)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        wanted = expected[parameter.name]
        # Where the exact gradient is 0 (the attention's last bias: softmax ignores it) only rounding is left.
        bound = max(1e-4 * np.abs(wanted).max(), 1e-7 * norm)
        assert np.abs(gradient.asnumpy() - wanted).max() <= bound, parameter.name


def test_full_size_has_speechbrains_number_of_parameters():
    assert sum(parameter.size for parameter in EcapaTdnn(80, 1024, 192).trainable_params()) == 20_767_552
