"""Generalised end-to-end loss (Wan et al. 2018, arXiv:1710.10467), its softmax form."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindvox.layers.unit_length import unit
from mindvox.losses.batch import ScaledCosines
from mindvox.losses.functions import cosines, one_hot, share_of_hits

LEAST_COSINE = 1e-6  # as in voxceleb_trainer


class Ge2e(ScaledCosines):
    """Classify an utterance of the batch by the nearest speaker centroid, by cosine.

    Every utterance is compared with each speaker's mean; its own speaker's mean excludes it. Args, inputs and
    outputs are those of `ScaledCosines`; the scores are the cosines, (B, N).
    """

    def compare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        num_speakers, num_utterances, emb_size = x.shape
        rows = x.reshape(-1, emb_size)
        cosine = cosines(rows, x.mean(axis=1))
        without = (x.sum(axis=1, keepdims=True) - x) * (1 / (num_utterances - 1))
        own = (unit(rows) * unit(without.reshape(-1, emb_size))).sum(axis=1, keepdims=True)
        target = one_hot(self._speakers(num_speakers, num_utterances), num_speakers)
        cosine = target * own + (1 - target) * cosine
        cosine = ops.maximum(cosine, LEAST_COSINE)
        return self.loss_of(cosine, target), cosine

    def accuracy(self, score: Tensor, label: Tensor) -> Tensor:
        """Return the share of utterances (B, N) whose nearest centroid is their own speaker's."""
        num_speakers = score.shape[1]
        return share_of_hits(score, self._speakers(num_speakers, score.shape[0] // num_speakers))

    def _speakers(self, num_speakers: int, num_utterances: int) -> Tensor:
        """Return the speaker index of each utterance, (B,)."""
        return Tensor(np.repeat(np.arange(num_speakers), num_utterances), ms.int32)
