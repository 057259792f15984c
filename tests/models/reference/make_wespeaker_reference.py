"""Make wespeaker_toy.npz: embeddings and gradients of wespeaker's ECAPA_TDNN, written anew from its definition.

usage: python make_wespeaker_reference.py   (needs torch 2.13.0 and speechbrain 1.1.2, for the objective)

wespeaker is not on PyPI, so this is not its code but its equations (wespeaker/models/ecapa_tdnn.py and
pooling_layers.py, ECAPA_TDNN_GLOB_c512 and ECAPA_TDNN_c512 of wespeaker 1.2), over a state with its names. In double
precision; weights and features follow from seeds, see make_reference.py.
"""

from pathlib import Path

import numpy as np
import torch
from seeded import digest, draw, features, weights
from speechbrain.lobes.models.ECAPA_TDNN import Classifier
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper
from torch.nn import functional

MELS, CHANNELS, MFA_CHANNELS, EMB_SIZE, NUM_SPEAKERS = 20, 16, 24, 12, 7
SIZES = ((3, 9), (3, 50), (3, 101))


def shapes(global_context: bool) -> dict[str, tuple[int, ...]]:
    """Return the entries of wespeaker's state and their shapes."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        found.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    def norm(name: str, size: int) -> None:
        found.update({f"{name}.{leaf}": (size,) for leaf in ("weight", "bias", "running_mean", "running_var")})

    layer("layer1.conv", CHANNELS, MELS, 5)
    norm("layer1.bn", CHANNELS)
    for block in ("layer2.se_res2block", "layer3.se_res2block", "layer4.se_res2block"):
        for index in (0, 2):
            layer(f"{block}.{index}.conv", CHANNELS, CHANNELS, 1)
            norm(f"{block}.{index}.bn", CHANNELS)
        for split in range(7):
            layer(f"{block}.1.convs.{split}", CHANNELS // 8, CHANNELS // 8, 3)
            norm(f"{block}.1.bns.{split}", CHANNELS // 8)
        layer(f"{block}.3.linear1", 128, CHANNELS)
        layer(f"{block}.3.linear2", CHANNELS, 128)
    layer("conv", MFA_CHANNELS, 3 * CHANNELS, 1)
    layer("pool.linear1", 128, (3 if global_context else 1) * MFA_CHANNELS, 1)
    layer("pool.linear2", MFA_CHANNELS, 128, 1)
    norm("bn", 2 * MFA_CHANNELS)
    layer("linear", EMB_SIZE, 2 * MFA_CHANNELS)
    return found


class Wespeaker:
    """The network over a state of tensors; `training` makes batch norms use and update the batch's statistics."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state
        self.training = False

    def layer(self, name: str, x: torch.Tensor, padding: int = 0, dilation: int = 1) -> torch.Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        if x.ndim == 2:
            return functional.linear(x, weight, bias)
        return functional.conv1d(x, weight, bias, padding=padding, dilation=dilation)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        entries = (self.state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *entries, training=self.training)

    def conv_relu_bn(self, name: str, x: torch.Tensor, padding: int = 0) -> torch.Tensor:
        return self.norm(f"{name}.bn", torch.relu(self.layer(f"{name}.conv", x, padding)))

    def block(self, name: str, x: torch.Tensor, dilation: int) -> torch.Tensor:
        parts = list(self.conv_relu_bn(f"{name}.0", x).chunk(8, dim=1))
        carried: torch.Tensor | float = 0.0
        for split in range(7):
            carried = self.layer(f"{name}.1.convs.{split}", parts[split] + carried, dilation, dilation)
            carried = parts[split] = self.norm(f"{name}.1.bns.{split}", torch.relu(carried))
        y = self.conv_relu_bn(f"{name}.2", torch.cat(parts, dim=1))
        gate = torch.relu(self.layer(f"{name}.3.linear1", y.mean(dim=2)))
        return x + y * torch.sigmoid(self.layer(f"{name}.3.linear2", gate)).unsqueeze(2)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        if self.state["pool.linear1.weight"].shape[1] > x.shape[1]:
            deviation = torch.sqrt(x.var(dim=2, keepdim=True, unbiased=True) + 1e-7)
            seen = torch.cat((x, x.mean(dim=2, keepdim=True).expand_as(x), deviation.expand_as(x)), dim=1)
        weight = torch.softmax(self.layer("pool.linear2", torch.tanh(self.layer("pool.linear1", seen))), dim=2)
        mean = (weight * x).sum(dim=2)
        variance = (weight * x.square()).sum(dim=2) - mean.square()
        return torch.cat((mean, variance.clamp(min=1e-7).sqrt()), dim=1)

    def __call__(self, feats: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D) of feats (B, T, F)."""
        out1 = self.conv_relu_bn("layer1", feats.transpose(1, 2), padding=2)
        out2 = self.block("layer2.se_res2block", out1, 2)
        out3 = self.block("layer3.se_res2block", out2, 3)
        out4 = self.block("layer4.se_res2block", out3, 4)
        x = torch.relu(self.layer("conv", torch.cat((out2, out3, out4), dim=1)))
        return self.layer("linear", self.norm("bn", self.pool(x)))


def trained(global_context: bool) -> tuple[Wespeaker, dict[str, np.ndarray]]:
    """Return the network in double precision with real statistics, and its drawn weights."""
    drawn = weights(shapes(global_context), seed=0)
    state = {key: torch.tensor(value).double() for key, value in drawn.items()}
    for key, shape in shapes(global_context).items():
        if "running_" in key:
            state[key] = torch.full(shape, float(key.endswith("var")), dtype=torch.float64)
    model = Wespeaker(state)
    model.training = True
    for seed in range(20):
        model(torch.tensor(features(100 + seed, 8, 100, MELS)).double())
    model.training = False
    for value in state.values():
        value.copy_(value.float())
    return model, drawn


def reference(global_context: bool) -> dict[str, np.ndarray]:
    """Return everything that is stored of one model."""
    model, drawn = trained(global_context)
    arrays = {"digest": np.array(digest(drawn))}
    arrays |= {f"statistics/{key}": value.numpy().copy() for key, value in model.state.items() if "running_" in key}
    for batch, num_frames in SIZES:
        feats = torch.tensor(features(2, batch, num_frames, MELS)).double()
        arrays[f"embedding/{batch}x{num_frames}"] = model(feats).numpy()
    classifier = Classifier(EMB_SIZE, out_neurons=NUM_SPEAKERS)
    classifier.weight.data = torch.tensor(draw(np.random.default_rng(1), (NUM_SPEAKERS, EMB_SIZE), 0.1)).double()
    model.training = True
    for key in drawn:
        model.state[key].requires_grad_()
    cosine = classifier(model(torch.tensor(features(4, 16, 40, MELS)).double()))
    loss = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(cosine, (torch.arange(16) % NUM_SPEAKERS).unsqueeze(1))
    loss.backward()
    arrays["train/loss"] = loss.detach().numpy()
    for key in drawn:
        arrays[f"train/gradient/{key}"] = model.state[key].grad.float().numpy()
    return arrays


def main() -> None:
    """Write the file beside this script."""
    arrays = {"versions": np.array(f"torch {torch.__version__}")}
    for kind, global_context in (("glob", True), ("plain", False)):
        arrays |= {f"{kind}/{key}": value for key, value in reference(global_context).items()}
    np.savez_compressed(Path(__file__).with_name("wespeaker_toy.npz"), **arrays)


if __name__ == "__main__":
    main()
