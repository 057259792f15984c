"""A model that compiles in a second, in ECAPA-TDNN's place where not the model is tested but what is done with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mindspore import Tensor, nn, ops

from mindvox.models.ecapa_tdnn import EcapaTdnn
from mindvox.registry import MODELS

SITE = Path(__file__).with_name("toys") / "in_place_of_ecapa"


class SmallModel(nn.Cell):
    """Mean over time of one normalised layer, and a product, with the keys of ECAPA-TDNN."""

    Options = EcapaTdnn.Options
    min_frames = EcapaTdnn.min_frames
    checkpoint_prefix = EcapaTdnn.checkpoint_prefix

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = self.Options(**keys)
        self.layer = nn.Dense(options.in_channels, options.channels)
        self.norm = nn.BatchNorm1d(options.channels)
        self.fc = nn.Dense(options.channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        return self.fc(self.norm(ops.relu(self.layer(feats)).mean(axis=1)))


@contextmanager
def in_place_of_ecapa() -> Iterator[None]:
    """Let `model: ecapa_tdnn` be the small model, in this process and in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._entries, "ecapa_tdnn", f"{__name__}:SmallModel")
        patch.setenv("PYTHONPATH", os.pathsep.join((str(SITE), os.environ["PYTHONPATH"])))
        yield


def real_ecapa(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a process has ECAPA-TDNN in its own place."""
    paths = environment["PYTHONPATH"].split(os.pathsep)
    return {**environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path != str(SITE))}
