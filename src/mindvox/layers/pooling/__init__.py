"""Poolings of frames into one vector an utterance; `POOLINGS` in the registry has them by name.

Each is built from the number of its input's channels, C, or C * F for maps (B, C, F, T), and says in `out_channels`
how many numbers an utterance gets. One that needs more than one frame says so in `min_frames`.
"""

from mindspore import nn

from mindvox.registry import POOLINGS


def create_pooling(name: str, channels: int, eps: float = 0.0) -> nn.Cell:
    """Build a pooling.

    Args:
        name: in `POOLINGS`.
        channels: channels of its input.
        eps: keeps variances above 0; 0: the pooling's own.
    """
    own = {"eps": eps} if eps > 0 else {}
    return POOLINGS.get(name)(channels, **own)


def min_pooled_frames(name: str) -> int:
    """Return the fewest frames that a pooling takes: 1, or 2 where it has an unbiased variance."""
    return getattr(POOLINGS.get(name), "min_frames", 1)
