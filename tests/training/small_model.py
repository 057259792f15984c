"""A model that compiles in a second, in ECAPA-TDNN's place where training itself is tested."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mindspore import nn, ops

from src.models import MODELS


class SmallModel(nn.Cell):
    """Mean over time of one normalised layer, and a product, for the arguments of ECAPA-TDNN."""

    def __init__(self, in_channels: int, channels: int, emb_size: int, global_context: bool, form: str) -> None:
        super().__init__()
        self.global_context = global_context
        self.layer = nn.Dense(in_channels, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.fc = nn.Dense(channels, emb_size)

    def construct(self, feats):
        return self.fc(self.norm(ops.relu(self.layer(feats)).mean(axis=1)))


@contextmanager
def in_place_of_ecapa() -> Iterator[None]:
    """Let `model: ecapa_tdnn` be the small model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "ecapa_tdnn", SmallModel)
        yield
