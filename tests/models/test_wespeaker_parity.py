"""Wespeaker's ECAPA-TDNN against its equations in double precision (reference/make_wespeaker_reference.py).

For the bounds see test_ecapa_parity.py.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.deploy.toolkits.wespeaker import ecapa_name as wespeaker_name
from mindvox.layers.building import building_for
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models.wespeaker_ecapa import WespeakerBlock, WespeakerEcapa
from tests.gradients import AamGradients
from tests.models.reference import seeded

MELS = 20
KINDS = {"glob": True, "plain": False}


def load(kind: str) -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("reference") / "wespeaker_toy.npz") as stored:
        return {key.removeprefix(f"{kind}/"): stored[key] for key in stored if key.startswith(kind)}


def reference_model(kind: str, reference: dict[str, np.ndarray], device: str = "CPU") -> WespeakerEcapa:
    with building_for(device):
        model = WespeakerEcapa(in_channels=MELS, channels=16, emb_size=12, global_context=KINDS[kind], mfa_channels=24)
    linear = ("linear.weight", ".linear1.weight", ".linear2.weight")
    shapes = {wespeaker_name(parameter.name): parameter.shape for parameter in model.get_parameters()}
    shapes = {
        name: shape[:2] if name.endswith(linear) and "pool" not in name else shape for name, shape in shapes.items()
    }
    drawn = seeded.weights(shapes, seed=0)
    assert seeded.digest(drawn) == str(reference["digest"]), "this NumPy draws other weights than the reference's"
    statistics = {key.removeprefix("statistics/"): value for key, value in reference.items() if "running_" in key}
    seeded.fill(model, drawn | statistics, wespeaker_name)
    return model


SLOW = pytest.mark.slow  # each case compiles a graph


@pytest.mark.parametrize(
    ("kind", "device"),
    [("glob", "CPU"), *(pytest.param(*case, marks=SLOW) for case in (("plain", "CPU"), ("glob", "Ascend")))],
)
def test_embeddings_equal_wespeakers(kind, device):
    reference = load(kind)
    model = reference_model(kind, reference, device)
    model.set_train(False)
    model.set_inputs(Tensor(shape=[None, None, MELS], dtype=ms.float32))  # compiled once
    for size in ("3x9", "3x50", "3x101"):
        expected = reference[f"embedding/{size}"]
        embedding = model(Tensor(seeded.features(2, *map(int, size.split("x")), MELS))).asnumpy()
        assert 1 < expected.std() < 30
        assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()


@SLOW
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_third_aam_step_equal_wespeakers(kind):
    reference = load(kind)
    model, loss = reference_model(kind, reference), AamSoftmax(12, 7, margin=0.2, scale=30)
    loss.weight.set_data(Tensor(seeded.draw(np.random.default_rng(1), (7, 12), 0.1)))
    parameters = model.trainable_params()
    step = AamGradients(model, loss, parameters)
    step.set_train()
    for _ in range(3):
        value, gradients = step(Tensor(seeded.features(4, 16, 40, MELS)), Tensor(np.arange(16) % 7, ms.int32))
    assert float(value) == pytest.approx(float(reference["train/loss"]), rel=1e-5)
    expected = {p.name: reference[f"train/gradient/{wespeaker_name(p.name)}"].reshape(p.shape) for p in parameters}
    norm = np.sqrt(sum(np.square(array).sum() for array in expected.values()))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        wanted = expected[parameter.name]
        bound = max(1e-4 * np.abs(wanted).max(), 1e-7 * norm)
        assert np.abs(gradient.asnumpy().reshape(wanted.shape) - wanted).max() <= bound, parameter.name


def test_full_sizes_have_wespeakers_numbers_of_parameters():
    sizes = {channels: WespeakerEcapa(channels=channels) for channels in (512, 1024)}
    counts = {channels: sum(p.size for p in model.trainable_params()) for channels, model in sizes.items()}
    assert counts == {512: 6_194_048 - 2 * 1536 - 2 * 128, 1024: 14_657_088}  # its README: 6.19 M and 14.65 M


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 8, got 12"):
        WespeakerBlock(12, 2)
