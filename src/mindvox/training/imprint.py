"""A new classifier that starts from the embeddings of its speakers, for fine-tuning.

Qi et al. 2018, Low-shot learning with imprinted weights, CVPR. With random vectors, the first steps would change good
embeddings before the classifier has learned who is who.
"""

import time
from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn

from mindvox.config import Config
from mindvox.data.pipeline import TrainBatches, random_crop
from mindvox.engines.engine import fill_batches
from mindvox.errors import InputError
from mindvox.losses.objective import Objective
from mindvox.progress import quantity

SHORTEST = 1e-12  # length below which a vector has no direction


def imprint(config: Config, batches: TrainBatches, model: nn.Cell, loss: Objective) -> None:
    """Start each speaker's vector of a classifier as the mean of unit embeddings of the speaker's recordings.

    A random crop of `train_frames` frames of each recording is embedded, undistorted.

    Args:
        config: settings of the training.
        batches: batches of the training.
        model: feats (B, T, F) to embeddings (B, D); in evaluation mode.
        loss: the objective whose classifier is changed.

    Raises:
        InputError: the objective has no vector for each speaker, or the model's embeddings are not finite.
    """
    begin = time.monotonic()
    vectors = loss.speaker_vectors()
    encode = fill_batches(lambda feats: model(ms.Tensor(feats)).asnumpy(), config.minibatch_size)
    found = [(labels, encode(feats)) for labels, feats in _crops(config, batches)]
    labels = np.concatenate([each for each, _ in found])
    embeddings = np.concatenate([each for _, each in found]).astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError("imprint_utterances: the model of checkpoint_path gives embeddings of zero, NaN or infinity.")
    sums = np.zeros((batches.manifest.num_speakers, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings / lengths)
    start_vectors(vectors, sums)
    print(
        f"classifier: {quantity(len(np.unique(labels)), 'speaker')} start at the means of "
        f"{quantity(len(labels), 'embedding')}, {time.monotonic() - begin:.0f} s"
    )


def start_vectors(vectors: Parameter, directions: np.ndarray) -> None:
    """Set each speaker's vector to length 1 in a direction; a speaker without recordings, all zeros, keeps its vector.

    Args:
        vectors: of the classes, (classes, emb_size): the speakers, or the speakers at each speed.
        directions: (speakers, emb_size).
    """
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    units = directions / np.maximum(lengths, SHORTEST)
    copies = (len(vectors) // len(directions), 1)
    is_known = np.tile(lengths > SHORTEST, copies)
    vectors.set_data(ms.Tensor(np.where(is_known, np.tile(units, copies), vectors.asnumpy()), ms.float32))


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
