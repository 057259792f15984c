"""Poolings of frames into one vector per utterance; `POOLINGS` in the registry has them by name.

Each is built from the number of its input channels: C, or C * F for maps (B, C, F, T). Its attribute `out_channels` is
the size of the vector. A pooling that needs more than one frame has the attribute `min_frames`.
"""

from mindspore import nn

from mindvox.registry import POOLINGS


def create_pooling(name: str, channels: int, eps: float = 0.0) -> nn.Cell:
    """Build a pooling.

    Args:
        name: in `POOLINGS`.
        channels: number of input channels.
        eps: floor of variances or constant added to them; 0: the pooling's default.
    """
    own = {"eps": eps} if eps > 0 else {}
    return POOLINGS.get(name)(channels, **own)


def min_pooled_frames(name: str) -> int:
    """Return the fewest frames that a pooling takes: 1, or 2 if it has an unbiased variance."""
    return getattr(POOLINGS.get(name), "min_frames", 1)
