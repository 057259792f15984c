"""Make stored/net_rs_ge2e_tiny.npz: Resemblyzer's encoder at a toy size, in PyTorch, with gradients.

python tests/vectors/make_ge2e.py    # needs PyTorch (2.13.0 made the file) and NumPy, nothing of this project

The real size with the real weights is in resemblyzer.npz of the reference vectors, whose format this file has.
"""

import json
from pathlib import Path

import numpy as np
import torch
import weights  # beside this file

BINS, HIDDEN, EMB = 12, 10, 8
LENGTHS = (40, 13, 1)
NAME = "rs_ge2e_tiny"
LEAST = 1e-6  # deviation that is stated: MindSpore's sigmoid is off by up to 8e-7 on a CPU (2.10), PyTorch's by 1e-7
TRAIN = {"train_batch": 6, "train_frames": 20}
GAIN = 2  # of all matrices: states far from 0, which single precision hits to more digits


class Encoder(torch.nn.Module):
    """Three LSTM layers, a linear layer of the last hidden state, ReLU, unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(BINS, HIDDEN, 3, batch_first=True)
        self.linear = torch.nn.Linear(HIDDEN, EMB)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(x)
        x = torch.relu(self.linear(hidden[-1]))
        return x / torch.norm(x, dim=1, keepdim=True)


def results(model: Encoder, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Return outputs and gradients in a precision."""
    model = model.to(dtype)
    found = {}
    for length in LENGTHS:
        x = torch.from_numpy(weights.features(f"x{length}", 2, length, BINS)).to(dtype)
        found[f"eval_{length}"] = model(x).detach().double().numpy()
    x = torch.from_numpy(weights.features("xtrain", *TRAIN.values(), BINS)).to(dtype)
    model.zero_grad()
    out = model(x)
    (out * torch.from_numpy(weights.normal("grad_weight", tuple(out.shape))).to(dtype)).sum().backward()
    found["train"] = out.detach().double().numpy()
    for name, parameter in model.named_parameters():
        found[f"grad/{name}"] = parameter.grad.double().numpy()
    return found


def main() -> None:
    """Write the file."""
    model = Encoder()
    entries = [
        [name, list(value.shape), "shift" if value.ndim == 1 else f"matrix*{GAIN}"]
        for name, value in model.state_dict().items()
    ]
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.make_state(entries).items()})
    single, exact = results(model, torch.float32), results(model, torch.float64)
    deviation = {}
    for key, array in exact.items():
        assert np.isfinite(array).all() and np.abs(array).max() > 0, key
        scale = np.abs(array).max() if key.startswith("grad/") else 1.0
        deviation[key] = max(float(f"{np.abs(single[key] - array).max() / scale:.1e}"), LEAST)
    meta = {
        "name": NAME,
        "repo": "resemble-ai/Resemblyzer",
        "input": "feats",
        "bins": BINS,
        "lengths": LENGTHS,
        **TRAIN,
    }
    meta |= {"params": sum(parameter.numel() for parameter in model.parameters()), "float32_dev": deviation}
    arrays = {key: array.astype(np.float32) if key.startswith("grad/") else array for key, array in exact.items()}
    target = Path(__file__).with_name("stored") / f"net_{NAME}.npz"
    np.savez_compressed(target, meta=json.dumps(meta), state=json.dumps(entries), **arrays)
    print(target, target.stat().st_size, deviation)


if __name__ == "__main__":
    main()
