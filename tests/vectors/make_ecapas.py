"""Make stored/net_jv_ecapa_tiny.npz and net_ma_ecapa_tiny.npz: what two ECAPA-TDNNs compute, in double precision.

    python -m tests.vectors.make_ecapas        (numpy, torch 2.13.0)

Their public code gives no numbers (no weights to be had, or MindSpore 1.5 on Ascend alone), so the networks are written
here a second time, from their definition, in plain operations of torch. Weights follow from their names. The format is
that of the reference vectors.

- jv: Joovvhan/ECAPA-TDNN, main.py, in evaluation as its `infer` is. It computes a variance as E[x^2] - E[x]^2.
- ma: the model zoo's and mindaudio's ecapa_tdnn.py, under MindSpore's names: as SpeechBrain's, with zeros behind the
  edges (`pad_mode` "same" of nn.Conv1d) and without the context of the attention.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import batch_norm, conv1d, normalize

from tests.vectors import STORED, weights

Forward = Callable[["Net", torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
SCALE, DILATIONS, HIDDEN = 8, (2, 3, 4), 128
TORCH = ("weight", "bias", "running_mean", "running_var")
MINDSPORE = ("gamma", "beta", "moving_mean", "moving_variance")


class Net:
    """Parameters by name, and the two layers that hold them."""

    def __init__(self, norm_names: tuple[str, ...], has_height: bool) -> None:
        self.norm_names, self.has_height = norm_names, has_height
        self.entries: dict[str, tuple[list[int], str]] = {}
        self.values: dict[str, torch.Tensor] = {}
        self.dtype, self.training, self.calibrating = torch.float64, False, False

    def take(self, name: str, shape: list[int], rule: str) -> torch.Tensor:
        if self.calibrating and name not in self.entries:
            self.entries[name] = (shape, rule)
        if name not in self.values:
            array = weights.make_array(name, *self.entries[name])
            self.values[name] = torch.from_numpy(np.array(array)).to(self.dtype)
        return self.values[name]

    def conv(self, name: str, x: torch.Tensor, out: int, kernel: int = 1, dilation: int = 1, linear: bool = False):
        shape = [out, x.shape[1]] if linear else [out, x.shape[1], *([1] if self.has_height else []), kernel]
        weight = self.take(f"{name}.weight", shape, "matrix").reshape(out, x.shape[1], kernel)
        bias = self.take(f"{name}.bias", [out], "shift")
        return conv1d(x, weight, bias, padding=dilation * (kernel - 1) // 2, dilation=dilation)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        size, names = [x.shape[1]], [f"{name}.{leaf}" for leaf in self.norm_names]
        power = float(f"{float(x.detach().double().pow(2).mean()):.3g}") if self.calibrating else 0.0
        root = float(f"{power**0.5:.3g}")
        rules = ("scale", "shift", f"shift*{root}", f"var*{power}")
        gamma, beta, mean, variance = (self.take(one, size, rule) for one, rule in zip(names, rules, strict=True))
        return batch_norm(x, mean, variance, gamma, beta, self.training, momentum=0.1, eps=1e-5)


def se_res2(net: Net, x: torch.Tensor, dilation: int, inner: int, name: Callable[[str, int], str]) -> torch.Tensor:
    """1x1 layer, Res2Net block, 1x1 layer, squeeze-excitation; without the residual connection."""
    y = net.norm(name("norm1", 0), net.conv(name("conv1", 0), x, inner).relu())
    parts = list(y.split(inner // SCALE, dim=1))
    done = [parts[0]]
    for index in range(1, SCALE):
        seen = parts[index] if index == 1 else parts[index] + done[-1]
        z = net.conv(name("split", index - 1), seen, inner // SCALE, 3, dilation)
        done.append(net.norm(name("split_norm", index - 1), z.relu()))
    y = net.norm(name("norm2", 0), net.conv(name("conv2", 0), torch.cat(done, 1), x.shape[1]).relu())
    is_linear = not net.has_height
    gate = net.conv(name("squeeze", 0), y.mean(2, keepdim=True), HIDDEN, linear=is_linear).relu()
    return y * net.conv(name("excite", 0), gate, x.shape[1], linear=is_linear).sigmoid()


def jv(net: Net, feats: torch.Tensor, channels: int = 4, emb_size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    x0 = net.norm("batchnorm_in", net.conv("conv1d_in", feats.transpose(1, 2), channels, 5).relu())
    total, kept, x = torch.zeros_like(x0), [], x0
    for block, dilation in enumerate(DILATIONS, 1):
        leaves = {
            "conv1": "conv1d_expand",
            "norm1": "batchnorm_expand",
            "split": "res2conv1d_list.{}",
            "split_norm": "res2batch_norm_list.{}",
            "conv2": "conv1d_collapse",
            "norm2": "batchnorm_collapse",
            "squeeze": "fc_1",
            "excite": "fc_2",
        }

        def name(leaf: str, index: int, block: int = block, leaves: dict[str, str] = leaves) -> str:
            return f"se_res2block_{block}.{leaves[leaf].format(index)}"

        total = total + x
        x = se_res2(net, x, dilation, SCALE * channels, name) + total
        kept.append(x)
    h = net.conv("conv1d_out", torch.cat(kept, 1), 3 * channels).relu()
    hidden = net.conv("attentive_stat_pooling.linear1", h, HIDDEN, linear=True).relu()
    attention = net.conv("attentive_stat_pooling.linear2", hidden, 3 * channels, linear=True).softmax(2)
    mean = (attention * h).sum(2)
    variance = ((attention * h * h).sum(2) - mean * mean).clamp(min=1e-4)
    pooled = net.norm("batchnorm_2", torch.cat((mean, variance.sqrt()), 1))
    embedding = net.norm("batchnorm_3", net.conv("fc", pooled[:, :, None], emb_size, linear=True)[:, :, 0])
    return normalize(embedding, dim=1), attention.transpose(1, 2)


def ma(net: Net, feats: torch.Tensor, channels: int = 32, emb_size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    def tdnn(name: str, x: torch.Tensor, out: int, kernel: int = 1) -> torch.Tensor:
        return net.norm(f"{name}.norm.norm2d", net.conv(f"{name}.conv", x, out, kernel).relu())

    x = tdnn("blocks.0", feats.transpose(1, 2), channels, 5)
    kept = []
    for block, dilation in enumerate(DILATIONS, 1):
        leaves = {
            "conv1": "tdnn1.conv",
            "norm1": "tdnn1.norm.norm2d",
            "split": "res2net_block.blocks.{}.conv",
            "split_norm": "res2net_block.blocks.{}.norm.norm2d",
            "conv2": "tdnn2.conv",
            "norm2": "tdnn2.norm.norm2d",
            "squeeze": "se_block.conv1",
            "excite": "se_block.conv2",
        }

        def name(leaf: str, index: int, block: int = block, leaves: dict[str, str] = leaves) -> str:
            return f"blocks.{block}.{leaves[leaf].format(index)}"

        x = se_res2(net, x, dilation, channels, name) + x
        kept.append(x)
    h = tdnn("mfa", torch.cat(kept, 1), 3 * channels)
    attention = net.conv("asp.conv", tdnn("asp.tdnn", h, HIDDEN).tanh(), 3 * channels).softmax(2)
    mean = (attention * h).sum(2)
    variance = (attention * (h - mean[:, :, None]) ** 2).sum(2).clamp(min=1e-12)
    pooled = net.norm("asp_bn.norm2d", torch.cat((mean, variance.sqrt()), 1)[:, :, None])
    return net.conv("fc", pooled, emb_size)[:, :, 0], attention.transpose(1, 2)


CASES: dict[str, dict[str, Any]] = {
    "jv_ecapa_tiny": {
        "forward": jv,
        "net": (TORCH, False),
        "what": "Joovvhan/ECAPA-TDNN main.py (a51bde087b42af0e847bc9ef77a3c3ff1ada130e), 4 channels",
        "stats": ["batchnorm_in.running_mean", "se_res2block_2.res2batch_norm_list.3.running_var"],
        "grads": ["conv1d_in.weight", "se_res2block_1.res2conv1d_list.0.weight", "se_res2block_3.fc_1.weight"]
        + ["attentive_stat_pooling.linear1.weight", "batchnorm_3.weight"],
    },
    "ma_ecapa_tiny": {
        "forward": ma,
        "net": (MINDSPORE, True),
        "what": "mindspore-ai/models official/audio/EcapaTDNN/src/ecapa_tdnn.py and mindspore-lab/mindaudio "
        "mindaudio/models/ecapatdnn.py, 32 channels",
        "stats": ["blocks.0.norm.norm2d.moving_mean", "blocks.2.res2net_block.blocks.3.norm.norm2d.moving_variance"],
        "grads": [
            "blocks.0.conv.weight",
            "blocks.1.res2net_block.blocks.0.conv.weight",
            "blocks.3.se_block.conv1.weight",
        ]
        + ["asp.tdnn.conv.weight", "fc.weight"],
    },
}
LENGTHS, BINS = (9, 50, 200), 40
TRAIN_BATCH, TRAIN_FRAMES = 4, 24  # few numbers, of which none is so near 0 that rounding moves it over a ReLU


def results(net: Net, case: dict[str, Any], dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Return every array that is stored."""
    forward: Forward = case["forward"]
    net.dtype, net.training, net.values = dtype, False, {}
    found = {}
    for length in LENGTHS:
        embedding, attention = forward(net, torch.from_numpy(weights.features(f"x{length}", 2, length, BINS)).to(dtype))
        found[f"eval_{length}"] = embedding.numpy()
        if length == LENGTHS[0]:
            found[f"attention_{length}"] = attention.numpy()
    net.training, net.values = True, {}
    grads = [net.take(name, [], "").requires_grad_() for name in case["grads"]]
    embedding, _ = forward(net, torch.from_numpy(weights.features("xtrain", TRAIN_BATCH, TRAIN_FRAMES, BINS)).to(dtype))
    found["train"] = embedding.detach().numpy()
    found |= {f"after_train/{name}": net.values[name].numpy().copy() for name in case["stats"]}
    objective = (embedding * torch.from_numpy(weights.normal("grad_weight", tuple(embedding.shape))).to(dtype)).sum()
    for name, gradient in zip(case["grads"], torch.autograd.grad(objective, grads), strict=True):
        found[f"grad/{name}"] = gradient.numpy().astype(np.float32)
    return found


def make(name: str, case: dict[str, Any]) -> None:
    net = Net(*case["net"])
    net.calibrating = True
    case["forward"](net, torch.from_numpy(weights.features("xtrain", TRAIN_BATCH, TRAIN_FRAMES, BINS)).double())
    net.calibrating = False
    exact, single = (results(net, case, dtype) for dtype in (torch.float64, torch.float32))
    deviations = {}
    for key, array in exact.items():
        scale = 1.0 if key.startswith(("eval", "train")) else float(np.abs(array).max())
        deviations[key] = float(f"{float(np.abs(single[key].astype(np.float64) - array).max()) / scale:.2g}")
    trained = [shape for entry, (shape, _) in net.entries.items() if not entry.endswith((*TORCH[2:], *MINDSPORE[2:]))]
    meta = {"name": name, "what": case["what"], "torch": torch.__version__.split("+")[0], "input": "feats"}
    meta |= {"bins": BINS, "lengths": LENGTHS, "float32_dev": deviations}
    meta |= {"train_batch": TRAIN_BATCH, "train_frames": TRAIN_FRAMES}
    meta |= {"params": sum(int(np.prod(shape)) for shape in trained)}
    entries = [[entry, shape, rule] for entry, (shape, rule) in net.entries.items()]
    arrays = {"meta": np.array(json.dumps(meta)), "state": np.array(json.dumps(entries)), **exact}
    np.savez_compressed(STORED / f"net_{name}.npz", **arrays)
    print(name, deviations)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case_name, case_values in CASES.items():
        make(case_name, case_values)
