"""A classifier that starts from the embeddings of its speakers (Qi et al. 2018, Low-shot learning with imprinted
weights, CVPR), for fine-tuning.

A classifier with random vectors would change good embeddings before it has learned who is who.
"""

import time
from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import nn

from mindvox.config import Config
from mindvox.data.pipeline import TrainBatches, random_crop
from mindvox.engines.engine import fill_batches
from mindvox.errors import InputError
from mindvox.losses.objective import Objective
from mindvox.progress import quantity


def imprint(config: Config, batches: TrainBatches, model: nn.Cell, loss: Objective) -> None:
    """Start each speaker's vector of a classifier as the mean of unit embeddings of the speaker's recordings.

    Of each recording a random crop of `train_frames` frames is embedded, undistorted.

    Args:
        config: settings of the training.
        batches: batches of the training.
        model: feats (B, T, F) to embeddings (B, D); in evaluation mode.
        loss: the objective whose classifier is changed.

    Raises:
        InputError: the objective has no vector for each speaker, or the model's embeddings are not finite.
    """
    begin = time.monotonic()
    encode = fill_batches(lambda feats: model(ms.Tensor(feats)).asnumpy(), config.minibatch_size)
    sums, num_records = None, 0
    for labels, feats in _crops(config, batches):
        embeddings = encode(feats).astype(np.float64)
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise InputError(
                "imprint_utterances: the model of checkpoint_path gives embeddings of zero, NaN or infinity."
            )
        sums = np.zeros((batches.manifest.num_speakers, embeddings.shape[1])) if sums is None else sums
        np.add.at(sums, labels, embeddings / norms)
        num_records += len(labels)
    assert sums is not None, "a store has records"
    loss.imprint((sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32))
    print(
        f"classifier: {quantity(len(sums), 'speaker')} start at the means of {quantity(num_records, 'embedding')}, "
        f"{time.monotonic() - begin:.0f} s"
    )


def _crops(config: Config, batches: TrainBatches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield labels (B,) and features (B, T, F) of at most minibatch_size recordings at once."""
    rng = np.random.default_rng(config.seed)
    labels: list[int] = []
    crops: list[np.ndarray] = []
    for _, label, feats in batches.feats_of_speakers(config.imprint_utterances):
        labels.append(label)
        crops.append(batches.front_end.finish(random_crop(feats, config.train_frames, rng)))
        if len(crops) == config.minibatch_size:
            yield np.array(labels), np.stack(crops)
            labels, crops = [], []
    if crops:
        yield np.array(labels), np.stack(crops)
