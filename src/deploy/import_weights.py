"""Weights of other toolkits under this project's names."""

from collections.abc import Mapping

import numpy as np

BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def from_speechbrain(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename the entries of SpeechBrain's ECAPA_TDNN (1.1.2) to those of `EcapaTdnn`; shapes are the same.

    SpeechBrain wraps each convolution and batch norm in a module of its own, whose name goes:
    `blocks.0.norm.norm.running_var` is `blocks.0.norm.moving_variance` here.
    """
    renamed = {}
    for name, value in state.items():
        *path, wrapped, leaf = name.split(".")
        if leaf != "num_batches_tracked":
            renamed[".".join((*path, BATCH_NORM[leaf] if wrapped == "norm" else leaf))] = value
    return renamed
