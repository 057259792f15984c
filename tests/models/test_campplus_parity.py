"""CAM++ against the public code of three toolkits in double precision (reference/make_campplus_reference.py).

Single precision may differ by ten times what PyTorch's own does in each number, which the reference states: outputs
absolutely, gradients and running statistics relative to their greatest entry. Gradients are so sensitive because
rounding flips ReLUs.
"""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.deploy.import_weights import build
from mindvox.deploy.toolkits.campplus import name_of
from mindvox.layers.building import building_for
from mindvox.models import create_model
from mindvox.models.campplus import CamPlusPlus, Segments
from mindvox.registry import TOOLKITS
from tests.deploy.toy import without_compiling
from tests.models.reference import named_weights

SLOW = pytest.mark.slow  # compiles the whole depth of the network
TINY = "3d_campplus_tiny"
TOOLKIT = {"3d": "3dspeaker", "mv": "mvector", "ws": "wespeaker"}


class Case:
    """A network of the reference: its weights, inputs and results."""

    def __init__(self, name: str) -> None:
        with np.load(Path(__file__).with_name("reference") / "campplus.npz") as stored:
            self.arrays = {key.removeprefix(f"{name}/"): stored[key] for key in stored if key.startswith(f"{name}/")}
        self.meta = json.loads(str(self.arrays["meta"]))
        self.toolkit = TOOLKIT[name.split("_")[0]]
        state = named_weights.make_state(json.loads(str(self.arrays["state"])))
        self.state, _ = TOOLKITS.get(self.toolkit).split(state)

    def model(self) -> CamPlusPlus:
        return build(self.toolkit, self.state, "reference")[1]

    def feats(self, num_frames: int) -> np.ndarray:
        return named_weights.features(f"x{num_frames}", 2 if num_frames <= 200 else 1, num_frames, self.meta["bins"])

    def train_feats(self) -> np.ndarray:
        return named_weights.features("xtrain", 6, self.meta["train_frames"], self.meta["bins"])

    def check(self, key: str, value: np.ndarray) -> None:
        """Compare one result."""
        expected = self.arrays[key]
        scale = 1.0 if key.startswith(("eval", "train")) else np.abs(expected).max()
        difference = np.abs(value.reshape(expected.shape) - expected).max()
        assert difference <= 10 * self.meta["float32_dev"][key] * scale, key

    def check_statistics(self, model: CamPlusPlus) -> None:
        """Compare the running statistics after one batch in training mode."""
        own = {name_of(parameter.name): parameter for parameter in model.get_parameters()}
        names = [key for key in self.arrays if key.startswith("after_train/")]
        assert len(names) == 4
        for key in names:
            self.check(key, own[key.removeprefix("after_train/")].asnumpy())


def check_embeddings(case: Case, model: nn.Cell) -> None:
    model.set_train(False)
    for num_frames in case.meta["lengths"]:
        case.check(f"eval_{num_frames}", model(Tensor(case.feats(num_frames))).asnumpy())


LATER = [pytest.param(name, marks=pytest.mark.slow) for name in ("mv_campplus", "ws_campplus")]


@pytest.mark.parametrize("name", ["3d_campplus", pytest.param("3d_campplus_192", marks=pytest.mark.slow), *LATER])
def test_embeddings_of_every_length_equal_the_toolkits(name):
    case = Case(name)
    model = case.model()
    assert sum(parameter.size for parameter in model.trainable_params()) == case.meta["params"]
    with without_compiling():
        check_embeddings(case, model)


@pytest.mark.parametrize("name", ["3d_campplus", *LATER])
def test_training_outputs_and_statistics_equal_the_toolkits(name):
    case = Case(name)
    model = case.model().set_train()
    with without_compiling():
        case.check("train", model(Tensor(case.train_feats())).asnumpy())
    case.check_statistics(model)


@SLOW
def test_one_compiled_graph_serves_every_length():
    case = Case(TINY)
    model = case.model()
    model.set_inputs(Tensor(shape=[None, None, case.meta["bins"]], dtype=ms.float32))
    check_embeddings(case, model)


def test_form_for_ascend_equals_3dspeakers():
    case = Case(TINY)
    settings, product = build(case.toolkit, case.state, "reference")
    native = create_model(settings, "Ascend")
    for source, target in zip(product.get_parameters(), native.get_parameters(), strict=True):
        target.set_data(source.value())
    with without_compiling():
        check_embeddings(case, native)


class Gradient(nn.Cell):
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


@SLOW
def test_training_outputs_statistics_and_gradients_equal_3dspeakers():
    case = Case(TINY)
    model = case.model()
    names = [key.removeprefix("grad/") for key in case.arrays if key.startswith("grad/")]
    assert len(names) == 7
    own = {name_of(parameter.name): parameter for parameter in model.trainable_params()}
    step = Gradient(model, [own[name] for name in names])
    step.set_train()
    feats = Tensor(case.train_feats())
    weight = Tensor(named_weights.normal("grad_weight", case.arrays["train"].shape).astype(np.float32))
    for execution in range(3):  # MindSpore 2.10 has gradients that go wrong from the second one on
        (_, embedding), gradients = step(feats, weight)
        case.check("train", embedding.asnumpy())
        for name, gradient in zip(names, gradients, strict=True):
            case.check(f"grad/{name}", gradient.asnumpy())
        if execution == 0:
            case.check_statistics(model)


SMALL = {"in_channels": 12, "emb_size": 6, "init_channels": 6, "growth_rate": 3, "bottleneck_factor": 2}
SMALL |= {"block1_layers": 2, "block2_layers": 1, "block3_layers": 1}


def small_model(**keys) -> CamPlusPlus:
    np.random.seed(2)
    return CamPlusPlus(**{**SMALL, **keys}).set_train(False)


def test_shortest_utterance_has_a_finite_embedding():
    feats = np.random.default_rng(0).standard_normal((1, CamPlusPlus.min_frames, 12)).astype(np.float32)
    with without_compiling():
        embedding = small_model()(Tensor(feats)).asnumpy()
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


def test_forms_of_both_devices_agree():
    product = small_model()
    with building_for("Ascend"):
        native = small_model()
    feats = Tensor(np.random.default_rng(0).standard_normal((2, 230, 12)).astype(np.float32))
    with without_compiling():
        np.testing.assert_allclose(product(feats).asnumpy(), native(feats).asnumpy(), rtol=1e-4, atol=1e-5)


def test_pooling_is_chosen_by_name():
    model = small_model(pooling="astp")
    assert type(model.pool).__name__ == "Astp" and model.pool.eps == 1e-7
    assert small_model(pooling="astp", pooling_eps=1e-10).pool.eps == 1e-10
    with pytest.raises(ValueError, match="pooling: expected one of asp, astp, statistics, got 'max'"):
        small_model(pooling="max")


def test_segments_average_the_frames_that_they_have():
    cell = Segments(4)
    cell.set_inputs(Tensor(shape=[None, None, 1, None], dtype=ms.float32))  # one graph for every length
    for num_frames in (1, 3, 4, 5, 11, 12):
        x = np.random.default_rng(num_frames).standard_normal((2, 3, 1, num_frames)).astype(np.float32)
        members, averages = (output.asnumpy() for output in cell(Tensor(x)))
        segment = np.arange(num_frames) // 4
        np.testing.assert_array_equal(members, np.arange(segment[-1] + 1)[:, None] == segment)
        means = [
            (x[..., segment == index].mean(axis=-1) + x.mean(axis=-1))[:, :, 0] for index in range(segment[-1] + 1)
        ]
        np.testing.assert_allclose((x @ averages)[:, :, 0], np.stack(means, axis=-1), rtol=1e-5, atol=1e-6)
