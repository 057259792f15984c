"""Make stored/schedules.json: rates, margins and weights of PyTorch's and mvector's schedulers and of AMSGrad.

python tests/vectors/make_schedules.py MVECTOR    # needs PyTorch (2.13.0+cpu made the file) and NumPy

MVECTOR is the folder that the wheel mvector 1.1.7 of PyPI was unpacked into; its scheduler.py is run as it is.
A value is that of the update after so many: 7 updates make an epoch, and a run has 6 epochs.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler

UPDATES_PER_EPOCH, NUM_EPOCHS = 7, 6
NUM_UPDATES = UPDATES_PER_EPOCH * NUM_EPOCHS


class Criterion:
    """What mvector's margin scheduler asks of a loss."""

    def update(self, margin: float) -> None:
        self.margin = margin


def rates(optimizer: torch.optim.Optimizer, step, every: int = 1) -> list[float]:
    """Return the rates of a run whose scheduler steps after every so many updates."""
    found = []
    for update in range(1, NUM_UPDATES + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if update % every == 0:
            step()
    return found


def of_torch() -> dict[str, list[float]]:
    """Return the rates of PyTorch's schedulers, as the toolkits set them up."""

    def sgd(lrate: float) -> torch.optim.SGD:
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lrate, momentum=0.9)

    found = {}
    for name, lrate, every, make in (
        # voxceleb_trainer: test_interval 2, lr_decay 0.95, a step of the scheduler an epoch
        ("step", 1e-3, UPDATES_PER_EPOCH, lambda to: lr_scheduler.StepLR(to, step_size=2, gamma=0.95)),
        # RawNet2: keras_lr_decay, with a decay that shows in 42 updates
        ("inverse", 1e-3, 1, lambda to: lr_scheduler.LambdaLR(to, lambda update: 1.0 / (1.0 + 0.01 * update))),
        # wespeaker's TriAngular2 is this, where an epoch has an even number of updates
        ("triangular2", 1e-5, 1, lambda to: lr_scheduler.CyclicLR(to, 1e-5, 1e-3, 6, mode="triangular2")),
        # mvector before 1.1: T_max is 1.2 times the epochs, in updates
        ("cosine_annealing", 1e-3, 1, lambda to: lr_scheduler.CosineAnnealingLR(to, int(1.2 * NUM_EPOCHS) * 7)),
    ):
        optimizer = sgd(lrate)
        found[name] = rates(optimizer, make(optimizer).step, every)
    return found


def of_mvector(folder: str) -> dict[str, list[float]]:
    """Return the rates and margins of mvector's own schedulers."""
    spec = importlib.util.spec_from_file_location("scheduler", Path(folder) / "mvector" / "optimizer" / "scheduler.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    cosine = theirs.WarmupCosineSchedulerLR(optimizer, 1e-5, 1e-3, 2, NUM_EPOCHS, UPDATES_PER_EPOCH)
    found = {"warmup_cosine": [cosine.step() for _ in range(NUM_UPDATES)]}
    for kind in ("exp", "linear"):
        criterion = Criterion()
        margin = theirs.MarginScheduler(criterion, 1, 4, UPDATES_PER_EPOCH, 0.05, 0.3, kind)
        found[f"margin_{kind}"] = []
        for _ in range(NUM_UPDATES):
            margin.step()
            found[f"margin_{kind}"].append(criterion.margin)
    return found


def of_amsgrad() -> list[list[float]]:
    """Return weights after some updates, from 1: large gradients come first, whose squares the maximum remembers."""
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], 0.01, betas=(0.9, 0.999), weight_decay=1e-2, amsgrad=True)
    path = []
    for update in range(400):
        gradient = (4 if update < 20 else 0.1) * np.cos(update * np.array([0.01, 0.02, 0.03]))
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        if (update + 1) % 100 == 0:
            path.append(weight.detach().numpy().tolist())
    return path


if __name__ == "__main__":
    content = {**of_torch(), **of_mvector(sys.argv[1]), "amsgrad": of_amsgrad()}
    target = Path(__file__).with_name("stored") / "schedules.json"
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in content.items())
    target.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
