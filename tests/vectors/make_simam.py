"""Make stored/net_ws_simam_resnet*.npz with wespeaker's own code, in the form of the reference vectors.

usage: python -m tests.vectors.make_simam   (needs torch 2.13.0, and wespeaker/models/ of the PyPI wheel
wespeaker-unofficial 0.0.2, unpacked into a folder that is in PYTHONPATH)

../shared has no vectors of this network. Weights and inputs follow from names, as there: see weights.py. What the
numbers mean, and why running statistics have factors: ../shared/reference/vectors/README.md.
"""

import importlib
import json
import sys
import types
from collections.abc import Sequence

import numpy as np
import torch

from tests.vectors import STORED, weights

BINS = 40
STATISTICS = ["front.bn1.running_mean", "front.bn1.running_var"]
STATISTICS += ["pooling.attention.2.running_mean", "pooling.attention.2.running_var"]
GRADIENTS = ["front.conv1.weight", "front.layer2.0.conv2.weight", "front.layer2.0.downsample.0.weight"]
GRADIENTS += ["front.layer4.0.bn2.weight", "pooling.attention.0.weight", "bottleneck.weight"]


def public_models(module: str = "samresnet") -> types.ModuleType:
    """Import one file of wespeaker's models without the rest of wespeaker, which needs far more than torch."""
    for name in ("wespeaker", "wespeaker.models"):
        package = types.ModuleType(name)
        package.__path__ = [f"{folder}/{name.replace('.', '/')}" for folder in sys.path]
        sys.modules[name] = package
    sys.modules["wespeaker"].models = sys.modules["wespeaker.models"]
    return importlib.import_module(f"wespeaker.models.{module}")


def tiny() -> torch.nn.Module:
    """Return wespeaker's network with few blocks and channels."""
    public = public_models()
    model = public.SimAM_ResNet34_ASP(in_planes=4, embed_dim=16, acoustic_dim=BINS)
    model.front = public.ResNet(4, public.SimAMBasicBlock, [1, 2, 1, 1])
    return model


def calibrated(model: torch.nn.Module, feats: torch.Tensor) -> list[list]:
    """Fill the model with weights of their names, and return the entries of its state with their rules."""
    entries = [
        [name, list(value.shape), "shift*10" if name.endswith(".w") else weights.rule_of(name, tuple(value.shape))]
        for name, value in model.state_dict().items()
    ]
    fill(model, entries)
    factors = {}

    def watch(name: str, norm: torch.nn.Module) -> None:
        def hook(module: torch.nn.Module, inputs: tuple) -> None:
            power = float(f"{float(inputs[0].pow(2).mean()):.3g}")
            factors[f"{name}.running_mean"] = f"shift*{float(f'{power**0.5:.3g}')}"
            factors[f"{name}.running_var"] = f"var*{power}"
            for leaf in ("running_mean", "running_var"):
                key = f"{name}.{leaf}"
                value = weights.make_array(key, getattr(module, leaf).shape, factors[key])
                getattr(module, leaf).copy_(torch.from_numpy(value))

        norm.register_forward_pre_hook(hook)

    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            watch(name, module)
    with torch.no_grad():
        model.eval()(feats)
    return [[name, shape, factors.get(name, rule)] for name, shape, rule in entries]


def fill(model: torch.nn.Module, entries: list[list]) -> None:
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.make_state(entries).items()}
    model.load_state_dict(state, strict=True)


def results(
    make,
    entries: list[list],
    lengths: list[int],
    bins: int,
    statistics: Sequence[str],
    gradients: Sequence[str],
    dtype: torch.dtype,
) -> dict:
    """Return outputs, and those running statistics after one batch and gradients; without gradients, no training."""
    model = make()
    fill(model, entries)
    model.to(dtype).eval()
    arrays = {}
    for length in lengths:
        feats = torch.from_numpy(weights.features(f"x{length}", 2, length, bins)).to(dtype)
        with torch.no_grad():
            arrays[f"eval_{length}"] = model(feats).numpy()
    if gradients:
        feats = torch.from_numpy(weights.features("xtrain", 6, 64, bins)).to(dtype)
        embedding = model.train()(feats)
        arrays["train"] = embedding.detach().numpy()
        state, parameters = model.state_dict(), dict(model.named_parameters())
        arrays |= {f"after_train/{name}": state[name].numpy().copy() for name in statistics}
        weight = torch.from_numpy(weights.normal("grad_weight", tuple(embedding.shape))).to(dtype)
        values = torch.autograd.grad((embedding * weight).sum(), [parameters[name] for name in gradients])
        arrays |= {
            f"grad/{name}": value.numpy().astype(np.float32) for name, value in zip(gradients, values, strict=True)
        }
    return arrays


def count_trained(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def write(
    name: str,
    make,
    lengths: list[int],
    bins: int,
    statistics: Sequence[str] = (),
    gradients: Sequence[str] = (),
    module: str = "samresnet",
) -> None:
    """Write one file of vectors: of evaluation, and of training where there are names of gradients."""
    feats = torch.from_numpy(weights.features("xtrain", 6, 64, bins)).double()
    model = make().double()
    entries = calibrated(model, feats)
    exact = results(make, entries, lengths, bins, statistics, gradients, torch.float64)
    single = results(make, entries, lengths, bins, statistics, gradients, torch.float32)
    deviation = {}
    for key, value in exact.items():
        scale = 1.0 if key.startswith(("eval", "train")) else np.abs(value).max()
        deviation[key] = float(f"{np.abs(single[key].astype(np.float64) - value).max() / scale:.2g}")
    meta = {"name": name, "repo": "PyPI wespeaker-unofficial 0.0.2", "module": f"wespeaker.models.{module}"}
    meta |= {"input": "feats", "bins": bins, "lengths": lengths, "train_frames": 64, "train_batch": 6}
    meta |= {"float32_dev": deviation, "params": count_trained(model)}
    print(name, meta["params"], {key: f"{value.std():.3g}" for key, value in exact.items() if "eval" in key}, deviation)
    texts = {"meta": np.array(json.dumps(meta)), "state": np.array(json.dumps(entries))}
    np.savez_compressed(STORED / f"net_{name}.npz", **texts, **exact)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("ws_simam_resnet_tiny", tiny, [137, 50, 9], BINS, STATISTICS, GRADIENTS)
    write("ws_simam_resnet34", lambda: public_models().SimAM_ResNet34_ASP(), [50], 80)
    big = public_models().SimAM_ResNet100_ASP()
    print("SimAM_ResNet100_ASP", count_trained(big))
