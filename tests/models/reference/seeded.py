"""Weights and features that torch's world and ours draw alike, so that none of them is stored."""

import hashlib
import math
from collections.abc import Callable, Mapping

import numpy as np

FC_GAIN = 20.0  # embeddings get a standard deviation between 1 and 30, as those of trained models
NORM_SPREAD = 0.4  # batch norms' factors lie within 1 +- 0.2, their offsets within +- 0.2


def draw(rng: np.random.Generator, shape: tuple[int, ...], half_width: float) -> np.ndarray:
    """Return uniform float32 in +-half_width, from the generator's bits alone and so the same in every NumPy."""
    return (half_width * (2 * rng.random(shape, dtype=np.float32) - 1)).astype(np.float32)


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Return an array for each entry of a torch state, running statistics and counters of batch norms excepted."""
    arrays = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng([seed, seed_of(name)])
        leaf = name.rsplit(".", 1)[-1]
        if leaf.startswith(("running_", "num_batches")):
            continue
        if len(shape) > 1:
            gain = FC_GAIN if name in ("fc.conv.weight", "linear.weight") else 1.0
            arrays[name] = draw(rng, shape, gain / math.sqrt(math.prod(shape[1:])))
        else:
            is_factor = leaf == "weight"
            arrays[name] = np.float32(is_factor) + draw(rng, shape, NORM_SPREAD / 2)
    return arrays


def features(seed: int, batch: int, num_frames: int, num_mels: int = 80) -> np.ndarray:
    """Return feats (B, T, F): slow and fast noise, each utterance with strengths of its own for each mel bin."""
    rng = np.random.default_rng([seed, batch, num_frames])
    fast = draw(rng, (batch, num_frames, num_mels), 10.0) * rng.random((batch, 1, num_mels), dtype=np.float32)
    slow = draw(rng, (batch, num_frames // 10 + 1, num_mels), 10.0) * rng.random((batch, 1, num_mels), dtype=np.float32)
    return fast + np.repeat(slow, 10, axis=1)[:, :num_frames]


def seed_of(name: str) -> int:
    """Return a number that follows from a name, in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of all arrays, which tells whether two worlds drew the same."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(arrays[name]).tobytes())
    return sha.hexdigest()


def summary(gradient: np.ndarray, name: str) -> np.ndarray:
    """Return greatest magnitude, norm and 16 entries of a gradient, at places that follow from its name."""
    flat = np.asarray(gradient, np.float64).ravel()
    places = (np.random.default_rng(seed_of(name)).random(16) * flat.size).astype(int)
    return np.array([np.abs(flat).max(), np.linalg.norm(flat), *flat[places]])


def fill(model, arrays: Mapping[str, np.ndarray], name: Callable[[str], str]) -> None:
    """Set every parameter of a Cell from the array of its other name."""
    from mindspore import Tensor

    for parameter in model.get_parameters():
        parameter.set_data(Tensor(arrays[name(parameter.name)].reshape(parameter.shape), parameter.dtype))
