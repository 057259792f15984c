"""A small trained-looking checkpoint for the tests of this folder."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindvox.config import Config, load_config
from mindvox.deploy.export import describe, write_model
from mindvox.engines.exported import ExportedModel, weights_path
from mindvox.files import sha256_file
from mindvox.frontend import FrontEnd
from mindvox.frontend.fbank import Fbank
from mindvox.models import create_model, load_model
from mindvox.models.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from mindvox.registry import MODELS

NUM_MELS = 16
FRONT_END = Fbank(n_mels=NUM_MELS)
SETTINGS = {"name": "ecapa_tdnn", "in_channels": NUM_MELS, "channels": 16, "emb_size": 6, "global_context": True}
SHARED: Path | None = None  # tests/conftest.py sets it: a folder of what several tests of one run export
META = {"model": SETTINGS, "front_end": FRONT_END.to_dict(), "speakers_sha256": "0", "epoch": 1, "step": 2}


def make_checkpoint(folder: Path, front_end: FrontEnd = FRONT_END, **settings: Any) -> Path:
    """Write a checkpoint with batch norms of every kind: scales above, below and at zero, shifts, real statistics.

    Args:
        settings: keys of the model beside or instead of SETTINGS; None leaves one out.
    """
    settings = {key: value for key, value in {**SETTINGS, **settings}.items() if value is not None}
    path = checkpoint_path(folder, "ecapa_tdnn", 1, 2)
    what = (MODELS.get(settings["name"]), settings, front_end.to_dict())
    _made_once(path, what, lambda staged: _make_checkpoint(staged, settings, front_end))
    return path


def _make_checkpoint(path: Path, settings: dict[str, Any], front_end: FrontEnd) -> None:
    rng = np.random.default_rng(0)
    np.random.seed(0)
    model = create_model(settings)
    for parameter in model.get_parameters():
        kind = parameter.name.rsplit(".", 1)[-1]
        values = {
            "gamma": lambda shape: rng.uniform(0.5, 1.5, shape) * rng.choice([1, 1, 1, -1, 0], shape),
            "beta": lambda shape: rng.normal(0, 0.5, shape),
            "moving_mean": lambda shape: rng.normal(0, 0.5, shape),
            "moving_variance": lambda shape: rng.uniform(0.3, 3, shape),
        }.get(kind)
        if values is not None:
            parameter.set_data(Tensor(values(parameter.shape).astype(np.float32)))
    state = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
    write_checkpoint(path, state, {**META, "model": settings, "front_end": front_end.to_dict()})


def _made_once(path: Path, what: object, make: Callable[[Path], None]) -> None:
    """Let `make` write a file, with others of its stem; or copy what another test of this run made of the same.

    Args:
        what: all that the content follows from; its `repr` is compared.
    """
    if SHARED is None:
        make(path)
        return
    made = SHARED / hashlib.sha256(repr((what, path.suffix)).encode()).hexdigest()
    if not made.is_dir():
        staged = Path(tempfile.mkdtemp(dir=SHARED))
        make(staged / f"made{path.suffix}")
        try:
            staged.rename(made)
        except OSError:  # another worker was faster: its file counts, since checkpoints hold their time
            shutil.rmtree(staged)
    path.parent.mkdir(parents=True, exist_ok=True)
    for source in made.iterdir():
        shutil.copyfile(source, path.with_suffix(source.suffix))


def compiled_once(write: Callable[[Path, str, ExportedModel, nn.Cell], None]) -> Callable[..., None]:
    """Return `_write_mindspore` of the export, which compiles a graph for seconds, so that it compiles each graph once.

    ONNX and IR are made of one graph. All that a graph follows from is compared: the network, its parameters, and what
    the description says of it.
    """

    @wraps(write)
    def write_once(path: Path, file_format: str, exported: ExportedModel, network: nn.Cell) -> None:
        said = exported.to_dict()
        for name in ("checkpoint_sha256", "file_format", "file_sha256", "precision", "weights_sha256"):
            del said[name]
        if exported.input_kind == "features":
            del said["front_end"]
        parameters = hashlib.sha256()
        for parameter in network.get_parameters():
            parameters.update(parameter.name.encode())
            parameters.update(parameter.asnumpy().tobytes())
        is_converted = exported.file_format in ("ONNX", "IR")
        what = (MODELS.get(exported.model["name"]), repr(network), parameters.hexdigest(), file_format, is_converted)
        _made_once(path, (*what, said), lambda staged: write(staged, file_format, exported, network))

    return write_once


def config_of(checkpoint: Path, file_name: Path, *options: str) -> Config:
    """Return the configuration of an export of the toy model."""
    sizes = ["--device_target=CPU"]
    if "channels" in read_checkpoint(checkpoint)[1]["model"]:
        sizes += [f"--inChannels={NUM_MELS}", f"--channel={NUM_MELS}", "--channels=16", "--emb_size=6"]
    given = {option.split("=")[0] for option in options}
    words = (f"--exp_ckpt_file={checkpoint}", f"--file_name={file_name}", *sizes)
    return load_config(Config, [*(word for word in words if word.split("=")[0] not in given), *options])


def write_toy(checkpoint: Path, path: Path, *options: str, target: str = "CPU", shared: bool = True) -> Path:
    """Write an exported model with its FILE.json, without the comparison that export makes.

    Args:
        shared: take a file that another test of this run has made of the same checkpoint with the same options.
    """
    formats = {".mindir": "MINDIR", ".onnx": "ONNX", ".xml": "IR"}
    config = config_of(checkpoint, path, f"--file_format={formats[path.suffix]}", *options)
    arrays, meta = read_checkpoint(checkpoint)
    exported = describe(config, meta, checkpoint, target)
    if shared:
        what = (MODELS.get(exported.model["name"]), exported.to_dict())
        _made_once(path, what, lambda staged: write_model(staged, exported, arrays))
    else:
        write_model(path, exported, arrays)
    return save_description(path, exported)


def save_description(path: Path, exported: ExportedModel, **changes: Any) -> Path:
    """Write FILE.json with the hashes of the files as they are, and with these values changed."""
    values = {name: getattr(exported, name) for name in exported.__dataclass_fields__}
    hashes = {"file_sha256": sha256_file(path), "weights_sha256": None}
    if exported.file_format == "IR":
        hashes["weights_sha256"] = sha256_file(weights_path(path))
    ExportedModel(**{**values, **hashes, **changes}).save(path)
    return path


def random_feats(num_utterances: int, num_frames: int) -> np.ndarray:
    """Return features (B, T, F) as loud as mean-subtracted speech."""
    rng = np.random.default_rng(num_frames)
    return 10 * rng.standard_normal((num_utterances, num_frames, NUM_MELS), np.float32)


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the greatest difference as a share of the greatest value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@contextmanager
def without_compiling() -> Iterator[None]:
    """Compute in PyNative mode: the same numbers, and no seconds of compilation for each Cell."""
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=before)


def encoder(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return the checkpoint's Cell as a function: features (B, T, F) to embeddings."""
    model, _ = load_model(checkpoint)
    return uncompiled_encoder(model)


def uncompiled_encoder(model: nn.Cell, *_: object) -> Callable[[np.ndarray], np.ndarray]:
    """Return a Cell as a function, in place of `cell_encoder`, whose other arguments say how to compile."""

    def encode(feats: np.ndarray) -> np.ndarray:
        with without_compiling():
            return model(Tensor(feats)).asnumpy()

    return encode
