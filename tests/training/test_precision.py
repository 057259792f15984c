"""Mixed precision and loss scaling: what overflows is left out, what does not is the same."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindvox.config import Config, load_config
from mindvox.errors import InputError, UsageError
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models.checkpoint import read_checkpoint
from mindvox.models.ecapa_tdnn import EcapaTdnn
from mindvox.training.loop import _overflow, train
from mindvox.training.precision import loss_scaler, mixed_precision
from mindvox.training.schedule import Schedule
from mindvox.training.step import ModelWithLoss, ScaledTrainStep, TrainStep
from tests.deploy.toy import without_compiling
from tests.training.runs import settings, write_store

FEATS = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
LABEL = np.array([0, 1, 2, 0], np.int32)


class Linear(nn.Cell):
    """The smallest model: one product, with a factor that a test can make infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = Parameter(Tensor(np.random.default_rng(1).standard_normal((6, 5)), ms.float32), name="matrix")
        self.factor = Parameter(Tensor(1.0, ms.float32), name="factor", requires_grad=False)
        self.product = ms.ops.MatMul()

    def construct(self, feats: Tensor) -> Tensor:
        # The objective has unit length of embeddings, so that a great factor leaves the loss finite.
        return self.product(feats, self.matrix) * self.factor


def make_step(scaler=None, clip_grad_norm=0.0, optimizer=nn.SGD) -> TrainStep:
    np.random.seed(2)
    model, loss = Linear(), AamSoftmax(5, 3)
    parameters = [*model.trainable_params(), *loss.trainable_params()]
    parts = ModelWithLoss(model, loss), optimizer(parameters, 0.1)
    step = TrainStep(*parts, clip_grad_norm) if scaler is None else ScaledTrainStep(*parts, scaler, clip_grad_norm)
    step.set_train()
    return step


def run(step: TrainStep, feats: np.ndarray = FEATS) -> float:
    return float(step(Tensor(feats), Tensor(LABEL))[0])


def weights(step: TrainStep) -> dict[str, np.ndarray]:
    return {name: value.asnumpy().copy() for name, value in step.state().items() if not name.startswith("scale.")}


def test_scaled_step_changes_weights_as_the_plain_one_does():
    plain, scaled = make_step(), make_step(ms.amp.StaticLossScaler(1024.0))
    for _ in range(3):
        assert run(scaled) == run(plain)
    for name, value in weights(plain).items():
        np.testing.assert_array_equal(weights(scaled)[name], value, err_msg=name)  # a power of two loses no digit


def test_overflow_is_tested_before_clipping_and_changes_nothing_but_the_scale():
    """Clipping divides by the norm: it would turn an infinite gradient into NaN, or hide it."""
    step = make_step(ms.amp.DynamicLossScaler(2.0**16, 2, 3), clip_grad_norm=1.0, optimizer=nn.Adam)
    run(step)
    before = weights(step)
    assert step.num_updates == 1 and step.scale == 2**16
    step.loss_scaler.scale_value.set_data(Tensor(np.float32(3e38)))
    loss = run(step, FEATS * 1e-30)  # the gradient by a tiny embedding is great, times the scale infinite
    assert np.isfinite(loss)
    assert step.num_updates == 1
    assert step.scale == pytest.approx(1.5e38)
    for name, value in weights(step).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_scale_doubles_after_the_window_and_an_overflow_starts_it_anew():
    step = make_step(ms.amp.DynamicLossScaler(1024.0, 2, 3))
    scales = []
    for index in range(8):
        step.model_with_loss.model.factor.set_data(Tensor(np.float32("inf" if index == 4 else 1.0)))
        run(step)
        scales.append(step.scale)
    assert scales == [1024, 1024, 2048, 2048, 1024, 1024, 1024, 2048]
    assert step.num_updates == 7


def test_fixed_scale_leaves_out_an_overflowing_step_too():
    step = make_step(ms.amp.StaticLossScaler(8.0))
    before = weights(step)
    step.model_with_loss.model.factor.set_data(Tensor(np.float32("inf")))
    run(step)
    assert step.num_updates == 0 and step.scale == 8
    for name, value in weights(step).items():
        if not name.endswith("factor"):
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_state_of_a_dynamic_scale_is_in_the_checkpoint():
    step = make_step(ms.amp.DynamicLossScaler(1024.0, 2, 3))
    run(step)
    state = step.state()
    assert float(state["scale.scale_value"]) == 1024 and int(state["scale.counter"]) == 1
    assert not [name for name in make_step().state() if name.startswith("scale.")]


@pytest.mark.parametrize(
    ("loss_scale", "amp_level", "kind"),
    [
        ("auto", "O0", type(None)),
        (1.0, "O2", type(None)),
        ("auto", "O2", ms.amp.DynamicLossScaler),
        ("dynamic", "O0", ms.amp.DynamicLossScaler),
        (512.0, "O3", ms.amp.StaticLossScaler),
    ],
)
def test_loss_scale_chooses_the_scaler(loss_scale, amp_level, kind):
    assert type(loss_scaler(loss_scale, amp_level, 1024.0, 10)) is kind


def test_keys_reach_the_configuration_and_wrong_values_are_refused():
    config = load_config(Config, ["--amp_level=O2", "--loss_scale=16384"])
    assert (config.amp_level, config.loss_scale) == ("O2", 16384.0)
    assert load_config(Config, ["--loss_scale=dynamic"]).loss_scale == "dynamic"
    for wrong in ("--amp_level=O1", "--amp_level=bf16", "--loss_scale=0.5", "--loss_scale=great"):
        with pytest.raises(UsageError, match=wrong.split("=")[0].lstrip("-")):
            load_config(Config, [wrong])


def test_overflow_at_the_least_scale_ends_the_run():
    step = make_step(ms.amp.DynamicLossScaler(1.0, 2, 3))
    with pytest.raises(InputError, match="gradients of step 7 are not finite"):
        _overflow(step, 7)
    step = make_step(ms.amp.DynamicLossScaler(4.0, 2, 3))
    assert _overflow(step, 7) == "step 7: gradients overflowed, the weights stay; loss scale 4"


@pytest.mark.slow  # compiles the whole step
def test_run_says_which_steps_it_leaves_out_and_its_learning_rate_waits(tmp_path, capsys):
    scale = ("--loss_scale=dynamic", "--loss_scale_start=3e37")
    config = settings(write_store(tmp_path / "store"), tmp_path, *scale, "--log_steps=1")
    path = train(config)
    said = capsys.readouterr().out
    skipped = [
        int(step) for step in re.findall(r"step (\d+): gradients overflowed, the weights stay; loss scale", said)
    ]
    assert 1 in skipped and len(skipped) < 12
    rates = [float(rate) for rate in re.findall(r"lr:(\S+),", said)]
    before = [sum(earlier not in skipped for earlier in range(1, step)) for step in range(1, 13)]  # updates before each
    schedule = Schedule(config, num_batches=3)
    assert rates == pytest.approx([schedule.lrate(updates, 0.0) for updates in before], rel=1e-3)
    arrays, _ = read_checkpoint(path)
    assert arrays["scale.scale_value"] == np.float32(3e37) / 2 ** len(skipped)
    assert arrays["opt.global_step"] == 12 - len(skipped)


def test_half_precision_embeds_nearly_what_single_does():
    feats = Tensor(8 * np.random.default_rng(0).standard_normal((3, 20, 8)), ms.float32)
    embeddings = {}
    for amp_level in ("O0", "O2"):
        np.random.seed(0)
        model = mixed_precision(EcapaTdnn(in_channels=8, channels=16, emb_size=6), amp_level).set_train(False)
        with without_compiling():
            embedding = model(feats)
        assert embedding.dtype == ms.float32
        embeddings[amp_level] = embedding.asnumpy()
    difference = np.abs(embeddings["O2"] - embeddings["O0"]).max() / np.abs(embeddings["O0"]).max()
    assert 1e-5 < difference < 1e-2  # more than single precision's rounding: something is half


@pytest.mark.slow  # compiles two whole steps
@pytest.mark.parametrize("level", ["O2", "O3"])
def test_half_precision_trains_like_single(level):
    """Weights keep name and type; loss and update are off by no more than half precision's digits."""
    losses, updates, names = {}, {}, {}
    for amp_level in ("O0", level):
        np.random.seed(0)
        model, loss = EcapaTdnn(in_channels=8, channels=16, emb_size=6), AamSoftmax(6, 3)
        names[amp_level] = [parameter.name for parameter in model.get_parameters()]
        model = mixed_precision(model, amp_level)
        assert [parameter.name for parameter in model.get_parameters()] == names[amp_level]
        assert {parameter.dtype for parameter in model.get_parameters()} == {ms.float32}
        optimizer = nn.SGD([*model.trainable_params(), *loss.trainable_params()], 1e-3)
        before = np.concatenate([parameter.asnumpy().ravel() for parameter in optimizer.parameters])
        step = ScaledTrainStep(ModelWithLoss(model, loss), optimizer, ms.amp.DynamicLossScaler(1024.0, 2, 100))
        step.set_train()
        rng = np.random.default_rng(0)
        feats = Tensor(8 * rng.standard_normal((6, 20, 8)), ms.float32)
        losses[amp_level] = float(step(feats, Tensor(np.arange(6) % 3, ms.int32))[0])
        after = np.concatenate([parameter.asnumpy().ravel() for parameter in optimizer.parameters])
        updates[amp_level] = after - before
        assert step.num_updates == 1
    single, half = updates["O0"], updates[level]
    assert losses[level] != losses["O0"]  # something is half
    assert losses[level] == pytest.approx(losses["O0"], rel=5e-3)
    assert single @ half / np.linalg.norm(single) / np.linalg.norm(half) > 0.99
