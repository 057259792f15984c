"""Masks of the valid frames in a batch of utterances padded to one length."""

import mindspore as ms
from mindspore import Tensor, ops


def length_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Return (B, 1, T), 1.0 where a frame belongs to its utterance and 0.0 where it is padding.

    Frame t of T is valid if t < length * T in float32, as in SpeechBrain's `length_to_mask`. If float32 rounds a length
    of n / T up, frame n can be valid too, as there.

    Args:
        lengths: share of the T frames that each utterance fills, (B,), float32, in (0, 1].
        num_frames: T.
    """
    frames = ops.arange(num_frames).astype(ms.float32)
    return (frames < (lengths * num_frames).expand_dims(1)).astype(ms.float32).expand_dims(1)
