"""Exporting a checkpoint, and testing what was written."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.config import Config
from src.deploy.engine import load_engine
from src.deploy.exported import ExportedModel
from src.errors import InputError, UsageError
from src.files import atomic_path, sha256_file
from src.models import check_settings, load_model, model_settings
from src.models.checkpoint import find_checkpoint

TOLERANCE = 1e-5  # of the greatest embedding value; both run the same kernels
TEST_FRAMES = (301, 157)


def export(config: Config, device_target: str) -> Path:
    """Export the checkpoint that `config` names, load the file again and compare embeddings.

    Returns:
        The exported file.

    Raises:
        UsageError: no checkpoint is named.
        InputError: the checkpoint does not fit, or the exported model gives other embeddings.
    """
    named = config.exp_ckpt_file or config.model_path
    if not named:
        raise UsageError("not set: exp_ckpt_file. Give --exp_ckpt_file=CHECKPOINT.")
    checkpoint = find_checkpoint(named)
    model, meta = load_model(checkpoint, device_target)
    check_settings(meta, model_settings(config), checkpoint)
    num_mels = meta["model"]["in_channels"]
    if config.channel != num_mels:
        raise InputError(f"channel: the configuration says {config.channel}, {checkpoint} takes frames of {num_mels}.")
    path = Path(config.file_name)
    if path.suffix != ".mindir":
        path = path.with_name(f"{path.name}.mindir")
    shape = [config.batch_size or None, config.length or None, num_mels]
    with atomic_path(path) as temporary:
        example = Tensor(np.zeros(shape, np.float32)) if None not in shape else Tensor(shape=shape, dtype=ms.float32)
        ms.export(model, example, file_name=str(temporary), file_format=config.file_format)
        temporary.chmod(0o600)  # MindSpore makes its files read-only
    ExportedModel(
        file_format=config.file_format,
        batch_size=shape[0],
        num_frames=shape[1],
        num_mels=num_mels,
        emb_size=meta["model"]["emb_size"],
        front_end=meta["front_end"],
        model=meta["model"],
        checkpoint_sha256=sha256_file(checkpoint),
        file_sha256=sha256_file(path),
    ).save(path)
    difference, bound = _difference(path, checkpoint, device_target)
    print(
        f"exported {path}: input {_describe(shape)}, max difference from the checkpoint's embeddings {difference:.3g}"
    )
    if not difference <= bound:
        raise InputError(f"{path}: the exported model's embeddings differ by {difference:.3g}, more than {bound:.3g}.")
    return path


def _difference(path: Path, checkpoint: Path, device_target: str) -> tuple[float, float]:
    """Return the greatest difference of embeddings on random features, and the greatest that is allowed."""
    encode, exported = load_engine(path)
    model, _ = load_model(checkpoint, device_target)
    rng = np.random.default_rng(0)
    difference, largest = 0.0, 0.0
    for num_frames in (exported.num_frames,) if exported.num_frames else TEST_FRAMES:
        feats = (10 * rng.standard_normal((exported.batch_size or 2, num_frames, exported.num_mels))).astype(np.float32)
        expected = model(Tensor(feats)).asnumpy()
        difference = max(difference, float(np.abs(encode(feats) - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    return difference, TOLERANCE * largest


def _describe(shape: list) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
