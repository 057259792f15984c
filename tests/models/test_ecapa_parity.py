"""ECAPA-TDNN against SpeechBrain 1.1.2 in double precision (reference/make_reference.py made the numbers).

Embeddings may differ by 1e-5 of the greatest value: float32 through 20 layers. A parameter's gradient may differ by
1e-4 of its greatest entry: sums over all frames of the batch. Where the exact gradient is 0, only rounding is left, and
1e-7 of the norm over all parameters is allowed; that is the attention's last bias, which softmax ignores.
"""

from contextlib import nullcontext
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.deploy.toolkits.speechbrain import ecapa_name as speechbrain_name
from mindvox.layers.building import building_for
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models.ecapa_tdnn import EcapaTdnn
from tests.deploy.toy import without_compiling
from tests.gradients import AamGradients
from tests.models.reference import seeded

SLOW = pytest.mark.slow  # compiles a graph of its own
FOLDER = Path(__file__).with_name("reference")
SIZES = {"toy": (16, 12, 7, (16, 40)), "c512": (512, 192, 16, (6, 24)), "c1024": (1024, 192, 16, (6, 24))}


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"ecapa_{name}.npz") as stored:
        return {key: stored[key] for key in stored}


def part(reference: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): value for key, value in reference.items() if key.startswith(prefix)}


def reference_model(name: str, reference: dict[str, np.ndarray], device: str = "CPU") -> EcapaTdnn:
    channels, emb_size, *_ = SIZES[name]
    with building_for(device):
        model = EcapaTdnn(channels=channels, emb_size=emb_size)
    shapes = {speechbrain_name(parameter.name): parameter.shape for parameter in model.get_parameters()}
    drawn = seeded.weights(shapes, seed=0)
    assert seeded.digest(drawn) == str(reference["digest"]), "this NumPy draws other weights than the reference's"
    seeded.fill(model, drawn | part(reference, "statistics/"), speechbrain_name)
    return model


def assert_close(embedding: np.ndarray, expected: np.ndarray) -> None:
    assert embedding.shape == expected.shape
    assert 1 < expected.std() < 30
    assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=SLOW)])
@pytest.mark.parametrize("device", ["CPU", "Ascend"])
def test_toy_embeddings_equal_speechbrains_together_and_alone(device, compiled):
    reference = load("toy")
    model = reference_model("toy", reference, device)
    model.set_train(False)
    if compiled:
        model.set_inputs(Tensor(shape=[None, None, 80], dtype=ms.float32))  # one graph for all sizes
    sizes = part(reference, "embedding/")
    if not compiled:
        sizes = {"3x50": sizes["3x50"]}  # each takes seconds
    with nullcontext() if compiled else without_compiling():
        for size, expected in sizes.items():
            feats = seeded.features(2, *map(int, size.split("x")))
            assert_close(model(Tensor(feats)).asnumpy(), expected)
            assert_close(np.concatenate([model(Tensor(one[None])).asnumpy() for one in feats]), expected)


@pytest.mark.parametrize("kind", ["not compiled", *(pytest.param(kind, marks=SLOW) for kind in ("fixed", "dynamic"))])
def test_toy_embeddings_of_a_padded_batch_equal_speechbrains(kind):
    reference = load("toy")
    model = reference_model("toy", reference)
    model.set_train(False)
    if kind == "dynamic":
        model.set_inputs(Tensor(shape=[None, None, 80], dtype=ms.float32), Tensor(shape=[None], dtype=ms.float32))
    feats, lengths = seeded.features(3, 3, 200), Tensor(reference["padded/lengths"])
    with without_compiling() if kind == "not compiled" else nullcontext():
        assert_close(model(Tensor(feats), lengths).asnumpy(), reference["padded/embedding"])

        feats[2, 100:] += 50  # behind its 62 frames and what the convolutions see around them
        assert_close(model(Tensor(feats), lengths).asnumpy(), reference["padded/embedding"])


@pytest.mark.parametrize("name", ["c512", pytest.param("c1024", marks=pytest.mark.slow)])
def test_full_size_embeddings_equal_speechbrains_at_every_length(name):
    reference = load(name)
    model = reference_model(name, reference)
    model.set_train(False)
    for size, expected in part(reference, "embedding/").items():
        feats = seeded.features(2, *map(int, size.split("x")))
        with without_compiling():  # the graph of a toy is compiled above
            assert_close(model(Tensor(feats)).asnumpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c512", "c1024"])
def test_full_size_embeddings_of_a_padded_batch_equal_speechbrains(name):
    reference = load(name)
    model = reference_model(name, reference)
    model.set_train(False)
    with without_compiling():
        embedding = model(Tensor(seeded.features(3, 3, 200)), Tensor(reference["padded/lengths"]))
    assert_close(embedding.asnumpy(), reference["padded/embedding"])


def check_third_step(name: str, device: str, padded: bool) -> None:
    reference = load(name)
    _, emb_size, num_speakers, (batch, num_frames) = SIZES[name]
    model, loss = reference_model(name, reference, device), AamSoftmax(emb_size, num_speakers, margin=0.2, scale=30)
    loss.weight.set_data(Tensor(seeded.draw(np.random.default_rng(1), (num_speakers, emb_size), 0.1)))
    kind = "train_padded" if padded else "train"
    feats = seeded.features(int(reference[f"{kind}/seed"]), batch, num_frames)
    inputs = [Tensor(feats), Tensor(np.arange(batch) % num_speakers, ms.int32)]
    if padded:
        inputs.append(Tensor(np.linspace(0.25, 1.0, batch, dtype=np.float32)))
    step = AamGradients(model, loss, [*model.trainable_params(), *loss.trainable_params()])
    step.set_train()
    for _ in range(3):
        value, gradients = step(*inputs)

    assert float(value) == pytest.approx(float(reference[f"{kind}/loss"]), rel=1e-5)
    names = [speechbrain_name(p.name) for p in model.trainable_params()] + ["classifier"]
    expected = part(reference, f"{kind}/gradient/")
    assert set(names) == set(expected)
    summaries = {key: value if name != "toy" else seeded.summary(value, key) for key, value in expected.items()}
    norm = np.sqrt(sum(value[1] ** 2 for value in summaries.values()))
    for key, gradient in zip(names, gradients, strict=True):
        gradient = gradient.asnumpy()
        gradient = gradient.reshape(expected[key].shape) if name == "toy" else seeded.summary(gradient, key)
        bound = max(1e-4 * summaries[key][0], 1e-7 * norm)
        difference = np.abs(gradient - expected[key])
        if name != "toy":
            difference[1] *= summaries[key][0] / max(summaries[key][1], 1e-30)  # the norm's own, by the norm
        assert difference.max() <= bound, key


@pytest.mark.parametrize(
    ("device", "padded"),
    [
        ("CPU", True),
        *(pytest.param(*case, marks=SLOW) for case in (("CPU", False), ("Ascend", False), ("Ascend", True))),
    ],
)
def test_toy_gradients_of_the_third_aam_step_equal_speechbrains(device, padded):
    check_third_step("toy", device, padded)


@SLOW
@pytest.mark.parametrize(("name", "padded"), [("c512", True), ("c1024", False)])
def test_full_size_gradients_of_the_third_aam_step_equal_speechbrains(name, padded):
    check_third_step(name, "CPU", padded)


def test_full_size_has_speechbrains_number_of_parameters():
    assert sum(parameter.size for parameter in EcapaTdnn().trainable_params()) == 20_767_552
