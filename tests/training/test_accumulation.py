"""Groups of batches and the moving average of weights, on a small model with and without batch norm."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models import evaluation_weights
from mindvox.training.step import ModelWithLoss, ScaledTrainStep, TrainStep

RNG = np.random.default_rng(0)
FEATS = RNG.standard_normal((12, 4, 6)).astype(np.float32)  # 12 batches of 4
LABELS = RNG.integers(0, 3, (12, 4)).astype(np.int32)


class Small(nn.Cell):
    """A product, a batch norm, and a factor that a test can make infinite."""

    def __init__(self):
        super().__init__()
        self.matrix = Parameter(Tensor(np.random.default_rng(1).standard_normal((6, 5)), ms.float32), name="matrix")
        self.factor = Parameter(Tensor(1.0, ms.float32), name="factor", requires_grad=False)
        self.norm = nn.BatchNorm1d(5)
        self.product = ms.ops.MatMul()

    def construct(self, feats):
        return self.norm(self.product(feats, self.matrix)) * self.factor


def make(scaler=None, optimizer="sgd", frozen_norm=True, **options):
    np.random.seed(2)
    model, loss = Small(), AamSoftmax(5, 3)
    parameters = [*model.trainable_params(), *loss.trainable_params()]
    parts = ModelWithLoss(model, loss), nn.Adam(parameters, 0.01) if optimizer == "adam" else nn.SGD(parameters, 0.1)
    step = TrainStep(*parts, **options) if scaler is None else ScaledTrainStep(*parts, scaler, **options)
    step.set_train()
    model.norm.set_train(not frozen_norm)
    return step


def run(step, first=0, last=12, size=1):
    """Train on batches first to last, `size` of them together."""
    for index in range(first, last, size):
        feats, label = FEATS[index : index + size].reshape(-1, 6), LABELS[index : index + size].reshape(-1)
        step(Tensor(feats), Tensor(label))
    return step


def state(step):
    return {name: value.asnumpy().copy() for name, value in step.state().items()}


def assert_same(found, expected, prefixes=("",), atol=0.0):
    names = [name for name in expected if name.startswith(tuple(prefixes))]
    assert names
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize(("optimizer", "clip_grad_norm"), [("sgd", 0.0), ("sgd", 0.5), ("adam", 0.5)])
def test_group_of_batches_makes_the_update_of_one_batch_of_all(optimizer, clip_grad_norm):
    grouped = run(make(optimizer=optimizer, accumulate_steps=3, clip_grad_norm=clip_grad_norm))
    whole = run(make(optimizer=optimizer, clip_grad_norm=clip_grad_norm), size=3)
    assert grouped.num_updates == whole.num_updates == 4
    assert_same(state(grouped), state(whole), ("model.", "loss.", "opt."), atol=2e-6)


def test_weights_wait_for_the_end_of_their_group():
    step = make(accumulate_steps=3)
    before, seen = state(step), []
    for index in range(4):
        run(step, index, index + 1)
        changed = not np.array_equal(state(step)["model.matrix"], before["model.matrix"])
        seen.append((step.num_updates, step.num_gathered, changed))
    assert seen == [(0, 1, False), (0, 2, False), (1, 0, True), (1, 1, True)]


def test_run_goes_on_exactly_from_the_middle_of_a_group():
    options = {"optimizer": "adam", "accumulate_steps": 3, "ema_decay": 0.9, "frozen_norm": False}
    unbroken = run(make(**options))
    saved = state(run(make(**options), 0, 4))
    resumed = make(**options)
    for name, parameter in resumed.state().items():
        parameter.set_data(Tensor(saved[name]))
    run(resumed, 4)
    assert_same(state(resumed), state(unbroken))


def test_one_overflow_drops_its_group_and_nothing_else():
    step = make(ms.amp.DynamicLossScaler(1024.0, 2, 100), accumulate_steps=3)
    run(step, 0, 3)
    before = state(step)
    factor = step.model_with_loss.model.factor
    for index, value in ((3, 1.0), (4, np.inf), (5, 1.0)):
        factor.set_data(Tensor(np.float32(value)))
        run(step, index, index + 1)
    after = state(step)
    assert (step.num_updates, step.num_gathered, step.scale) == (1, 0, 512)
    assert_same(after, before, ("model.", "loss.", "opt.", "sum."))
    run(step, 6, 9)
    assert step.num_updates == 2 and np.isfinite(state(step)["model.matrix"]).all()


def test_scale_of_a_group_changes_no_update():
    scaled = run(make(ms.amp.StaticLossScaler(1024.0), accumulate_steps=3))
    assert_same(state(scaled), state(run(make(accumulate_steps=3))), ("model.", "loss."), atol=1e-7)


def test_state_has_sums_and_averages_only_where_they_are_used():
    assert {name.split(".")[0] for name in make().state()} == {"model", "loss", "opt"}
    names = make(accumulate_steps=2, ema_decay=0.9).state()
    assert {"sum.matrix", "sum.weight", "sum.count", "ema.matrix", "ema.norm.moving_mean"} <= set(names)


def test_average_moves_towards_the_weights_and_batch_norm_statistics():
    step = make(ema_decay=0.5, frozen_norm=False)
    names = ("matrix", "norm.moving_mean", "norm.moving_variance", "norm.gamma")
    expected = {name: state(step)[f"model.{name}"].astype(float) for name in names}
    for index in range(12):
        run(step, index, index + 1)
        decay = min(0.5, (2 + index) / (11 + index))
        for name in names:
            expected[name] = decay * expected[name] + (1 - decay) * state(step)[f"model.{name}"]
    assert_same(state(step), {f"ema.{name}": value for name, value in expected.items()}, atol=2e-6)


def test_average_waits_for_the_end_of_a_group():
    step = make(ema_decay=0.7, accumulate_steps=2)
    before = state(step)
    run(step, 0, 1)
    assert_same(state(step), before, ("ema.",))
    run(step, 1, 2)
    assert not np.array_equal(state(step)["ema.matrix"], before["ema.matrix"])


def test_average_changes_nothing_in_training():
    assert_same(state(run(make(ema_decay=0.9))), state(run(make())), ("model.", "loss.", "opt."))


def test_model_has_the_average_for_a_while_and_its_weights_again_after_it():
    step = run(make(ema_decay=0.9), 0, 4)
    before = state(step)
    with step.averaged_weights():
        inside = state(step)
        assert_same(inside, {f"model.{name[4:]}": value for name, value in before.items() if name.startswith("ema.")})
    assert_same(state(step), before)
    run(step, 4, 8)
    assert_same(state(step), state(run(make(ema_decay=0.9), 0, 8)))
    with make().averaged_weights():
        pass  # without an average: nothing to do


def test_evaluation_takes_the_average_where_there_is_one():
    arrays = {"model.a": np.zeros(2), "loss.weight": np.ones(3), "ema.a": np.full(2, 5.0)}
    assert {name: value.tolist() for name, value in evaluation_weights(arrays).items()} == {"model.a": [5, 5]}
    del arrays["ema.a"]
    assert {name: value.tolist() for name, value in evaluation_weights(arrays).items()} == {"model.a": [0, 0]}
