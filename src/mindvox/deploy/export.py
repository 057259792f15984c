"""Export a checkpoint, and test the exported file."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindvox.config import Config
from mindvox.data.eval_store import EvalStore
from mindvox.decisions import cosine
from mindvox.deploy.int8 import Utterances, quantise_ir, read_utterances
from mindvox.deploy.mindir import OLD_VERSION
from mindvox.deploy.mindir_to_onnx import mindir_to_onnx
from mindvox.deploy.old_mindir import lower_mindir
from mindvox.device import set_device
from mindvox.engines.engine import load_engine, require_library
from mindvox.engines.exported import BINS_FIRST, FILE_FORMATS, ExportedModel, description_path, weights_path
from mindvox.errors import InputError, UsageError
from mindvox.files import atomic_path, lock_output, sha256_file
from mindvox.frontend import front_end_of
from mindvox.layers.building import ANY_CPU, ONNX
from mindvox.models import (
    create_model,
    evaluation_weights,
    fewest_frames,
    folded_model,
    further_outputs,
    is_foldable,
    load_model,
    take_settings,
    windows_of,
)
from mindvox.models.checkpoint import assign, find_checkpoint, read_checkpoint
from mindvox.models.transposed_model import TransposedModel
from mindvox.models.waveform_model import WaveformModel
from mindvox.progress import quantity
from mindvox.scoring.embeddings import cell_encoder

# Greatest differences allowed, relative to the greatest embedding value. Folding and another order of sums change
# float32 values by about 1e-6; a front end in single precision is off by up to 3e-3 dB in a few weak bins; accelerators
# multiply with 10 bits of mantissa.
TOLERANCES = {"features": 1e-5, "waveform": 1e-3}
ACCELERATOR_TOLERANCE = 1e-2
INT8 = "int8"
LEAST_INT8_COSINE = 0.9  # mean; CAM++ has 0.97
TEST_FRAMES = (301, 157)
PLAIN_PATH = re.compile(r"[0-9a-zA-Z@_.:/\\-]+")
# Lite 2.0.0 was tested with version 1. Version 3 is known to be readable by the Lite of the same release, and not by
# 2.2.11.
LEAST_LITE = {OLD_VERSION: "2.0.0"}


def export(config: Config) -> Path:
    """Export the checkpoint of `config`, load the file and compare embeddings; rename it into place only then.

    Returns:
        The exported file.

    Raises:
        UsageError: no checkpoint is given, or the file's suffix belongs to another format.
        InputError: the format cannot be written here, the checkpoint does not fit, or the exported model gives
            different embeddings.
    """
    target = _check_format(config)
    named = config.exp_ckpt_file or config.model_path
    if not named:
        raise UsageError("not set: exp_ckpt_file. Give --exp_ckpt_file=CHECKPOINT.")
    path = _named_file(config)
    checkpoint = find_checkpoint(named)
    arrays, meta = read_checkpoint(checkpoint)
    config = take_settings(config, meta["model"], checkpoint)
    exported = describe(config, meta, checkpoint, target)
    with lock_output(path), tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        staged = Path(folder, path.name)
        write_model(staged, exported, evaluation_weights(arrays))
        utterances = _quantised(staged, exported, config) if exported.precision == INT8 else None
        weights = sha256_file(weights_path(staged)) if exported.file_format == "IR" else None
        exported = replace(exported, file_sha256=sha256_file(staged), weights_sha256=weights)
        exported.save(staged)
        if utterances is not None:
            found = _test_int8(staged, checkpoint, path, utterances.others)
        else:
            found = _test(staged, exported, checkpoint, path, config.device_id)
        _publish(staged, path)
    (source,) = exported.inputs
    shape = " x ".join("any" if size is None else str(size) for size in source["shape"])
    print(f"exported {path}: {exported.file_format}, input {source['name']} {shape}\n  {found}")
    return path


def describe(config: Config, meta: Mapping[str, Any], checkpoint: Path, target: str) -> ExportedModel:
    """Return the description of the model to be written, without the hashes of its file.

    Args:
        meta: meta of the checkpoint.
        target: device for which the model is built.

    Raises:
        InputError: the checkpoint's model or front end does not fit the configuration.
    """
    model = meta["model"]
    feature_size = model["in_channels"]
    if config.channel != feature_size and "channel" in config.on_command_line:
        raise InputError(
            f"channel: the command line says {config.channel}, {checkpoint} takes frames of {feature_size}. Leave it "
            "out, because the checkpoint sets it; or name another checkpoint."
        )
    min_frames, windows = fewest_frames(model), windows_of(model)
    if windows is not None:
        if config.length not in (0, windows.num_frames) and "length" in config.on_command_line:
            raise UsageError(
                f"length: a {model['name']} of these settings takes windows of {windows.num_frames} frames alone, got "
                f"{config.length}. Leave that out."
            )
    elif 0 < config.length < min_frames:
        raise UsageError(f"length: expected 0 or at least {min_frames} frames, got {config.length}.")
    if config.input_kind == "waveform" and front_end_of(meta["front_end"], str(checkpoint)).size != feature_size:
        raise InputError(f"{checkpoint}: its front end and its model differ in the size of a frame.")
    plain = plain_description(model, meta["front_end"])
    return replace(
        plain,
        file_format=config.file_format,
        input_kind=config.input_kind,
        batch_size=config.batch_size or None,
        num_frames=plain.num_frames or config.length or None,
        further_outputs=_further_outputs(config, model, checkpoint),
        precision=config.precision,
        device_target=target if config.file_format in ("MINDIR", "AIR") else None,
        checkpoint_sha256=sha256_file(checkpoint),
        mindir_version=config.mindir_version if config.file_format == "MINDIR" else None,
        least_lite=LEAST_LITE.get(config.mindir_version, ms.__version__) if config.file_format == "MINDIR" else None,
        input_layout=config.input_layout,
    )


def plain_description(model: Mapping[str, Any], front_end: Mapping[str, Any]) -> ExportedModel:
    """Return the description of an ONNX of finished features with any batch size and, if the model allows, any length.

    Args:
        model, front_end: sections of a checkpoint's meta.
    """
    windows = windows_of(model)
    return ExportedModel(
        file_format="ONNX",
        input_kind="features",
        batch_size=None,
        num_frames=windows.num_frames if windows is not None else None,
        min_frames=fewest_frames(model),
        feature_size=model["in_channels"],
        emb_size=model["emb_size"],
        further_outputs={},
        precision="float32",
        device_target=None,
        front_end=dict(front_end),
        model=dict(model),
        checkpoint_sha256="",
        file_sha256="",
        weights_sha256=None,
        windows=windows,
    )


def _further_outputs(config: Config, model: Mapping[str, Any], checkpoint: Path) -> dict[str, int]:
    """Return the channels of the further outputs in `config`; InputError names missing ones."""
    known = further_outputs(model)
    names = config.outputs[1:]
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{checkpoint}: outputs: a {model['name']} has no {', '.join(missing)}; it has "
            f"{', '.join(('embedding', *known))}."
        )
    return {name: known[name] for name in names}


def write_model(path: Path, exported: ExportedModel, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint's arrays as the model of `exported`, without its FILE.json."""
    network = build_network(exported, arrays)
    if exported.file_format in ("MINDIR", "AIR"):
        _write_mindspore(path, exported.file_format, exported, network)
        if exported.mindir_version == OLD_VERSION:
            lower_mindir(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        mindir = Path(folder, "model.mindir")
        _write_mindspore(mindir, "MINDIR", exported, network)
        converted = mindir_to_onnx(
            mindir, exported.inputs, exported.outputs, exported.metadata(), exported.min_length
        ).SerializeToString(deterministic=True)
    if exported.file_format == "ONNX":
        path.write_bytes(converted)
    else:
        _write_ir(path, exported, converted)


def build_network(exported: ExportedModel, arrays: Mapping[str, np.ndarray]) -> nn.Cell:
    """Return the network of `exported`, in the form for its device, with a checkpoint's arrays."""
    is_old = exported.mindir_version == OLD_VERSION
    # Other runtimes compute convolutions fast, not products. Old Lite is fast in either form, but supports operators of
    # free sizes only in this one.
    becomes_onnx = exported.file_format in ("ONNX", "IR")
    is_native = is_old or becomes_onnx
    device_target = ONNX if becomes_onnx else "Ascend" if is_old else exported.device_target or "CPU"
    if device_target == "CPU":
        device_target = ANY_CPU  # the processor that will load the file is unknown
    if is_foldable(exported.model):
        network = folded_model(exported.model, arrays, device_target, bool(exported.further_outputs))
    else:
        network = create_model(exported.model, device_target)
        assign(network, dict(arrays), "model.", "checkpoint")
        if exported.further_outputs:
            network.return_further(sorted(exported.further_outputs))
    if exported.input_layout == BINS_FIRST:
        network = TransposedModel(network)
    if exported.input_kind == "waveform":
        network = WaveformModel(front_end_of(exported.front_end), network, "native" if is_native else "product")
    return network.set_train(False)


def _write_mindspore(path: Path, file_format: str, exported: ExportedModel, network: nn.Cell) -> None:
    shape = exported.inputs[0]["shape"]
    example = Tensor(np.zeros(shape, np.float32)) if None not in shape else Tensor(shape=shape, dtype=ms.float32)
    with tempfile.TemporaryDirectory(dir=_plain_temporary_folder()) as folder:
        plain = Path(folder, "model").with_suffix(path.suffix)
        ms.export(network, example, file_name=str(plain), file_format=file_format)
        plain.chmod(0o600)  # MindSpore makes its files read-only
        shutil.move(plain, path)


def _plain_temporary_folder() -> str:
    """Return a folder that MindSpore exports to: it refuses paths with a space, '+' or a non-ASCII letter (2.10)."""
    folder = os.path.realpath(tempfile.gettempdir())
    return folder if PLAIN_PATH.fullmatch(folder) else "/tmp"


def _write_ir(path: Path, exported: ExportedModel, onnx_model: bytes) -> None:
    openvino = require_library("openvino", "file_format=IR")
    from mindvox.engines.openvino_engine import RT_INFO, openvino_core  # imported here: needs an extra

    model = openvino_core().read_model(onnx_model)
    for key, value in exported.metadata().items():
        model.set_rt_info(value, [RT_INFO, key])
    openvino.save_model(model, path, compress_to_fp16=False)


def _check_format(config: Config) -> str:
    """Set the device to compute on, and return the one for which the model is built.

    Raises:
        InputError: this machine cannot write the format; nothing has been read or written yet.
    """
    found = ms.get_context("device_target")
    target = found if config.device_target == "auto" else config.device_target
    if config.file_format == "AIR" and found != "Ascend":
        raise InputError(
            "file_format AIR: MindSpore writes it only on Ascend. MINDIR for Ascend can be written here: "
            "--file_format=MINDIR --device_target=Ascend"
        )
    if config.file_format == "IR":
        require_library("openvino", "file_format=IR")
    set_device(target if target == found else "CPU", config.device_id)
    return target


def _named_file(config: Config) -> Path:
    path, suffix = Path(config.file_name), FILE_FORMATS[config.file_format]
    if path.suffix == suffix:
        return path
    if path.suffix in FILE_FORMATS.values():
        raise UsageError(f"file_name: {path} ends with {path.suffix}, file_format {config.file_format} with {suffix}.")
    return path.with_name(path.name + suffix)


def _publish(staged: Path, path: Path) -> None:
    """Rename a tested model into place, FILE.json last, so that an interrupted export matches no FILE.json."""
    pairs = [(staged, path), (description_path(staged), description_path(path))]
    if weights_path(staged).is_file():
        pairs.insert(0, (weights_path(staged), weights_path(path)))
    for source, final in pairs:
        with atomic_path(final) as temporary:
            os.replace(source, temporary)


def _test(staged: Path, exported: ExportedModel, checkpoint: Path, path: Path, device_id: int) -> str:
    """Compare the file with the checkpoint, and return a line about the result.

    Raises:
        InputError: the embeddings differ too much.
    """
    if exported.file_format == "AIR":
        return "not tested: no Python library runs an AIR"
    device = ms.get_context("device_target")
    engine = load_engine(staged, device_target=device, device_id=device_id)
    model, _ = load_model(checkpoint, device)
    expect = cell_encoder(model, exported.feature_size)
    rng = np.random.default_rng(0)
    difference, largest = 0.0, 0.0
    for num_frames in (exported.num_frames,) if exported.num_frames else TEST_FRAMES:
        batch, feats = random_input(rng, exported, num_frames)
        expected = expect(feats)
        difference = max(difference, float(np.abs(engine.encode(batch) - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    bound = largest * (TOLERANCES[exported.input_kind] if device == "CPU" else ACCELERATOR_TOLERANCE)
    if not difference <= bound:
        raise InputError(
            f"{path}: not written: its embeddings differ from the checkpoint's by {difference:.3g}, more than "
            f"{bound:.3g}."
        )
    return f"max difference from the checkpoint's embeddings {difference:.3g} of {largest:.3g} in {engine.name}"


def _quantised(staged: Path, exported: ExportedModel, config: Config) -> Utterances:
    """Quantise the file to int8, and return the utterances for its test."""
    store = EvalStore.open(config.calibration_data, exported.front_end)
    utterances = read_utterances(store, exported, config.calibration_utterances)
    quantise_ir(staged, exported, utterances.calibration)
    return utterances


def _test_int8(staged: Path, checkpoint: Path, path: Path, utterances: Sequence[np.ndarray]) -> str:
    """Compare embeddings of utterances outside of the calibration with the checkpoint's; return a line about it.

    Raises:
        InputError: the embeddings hardly agree.
    """
    model, meta = load_model(checkpoint)
    encode, engine = cell_encoder(model, meta["model"]["in_channels"]), load_engine(staged)
    cosines = [cosine(encode(feats)[0], engine.encode(feats)[0]) for feats in utterances]
    found = f"cosine with the checkpoint's embeddings, of {quantity(len(cosines), 'other utterance')}: "
    found += f"mean {np.mean(cosines):.4f}, least {min(cosines):.4f}, in {engine.name}"
    if not np.mean(cosines) >= LEAST_INT8_COSINE:
        raise InputError(
            f"{path}: not written: {found}; expected a mean of {LEAST_INT8_COSINE:g}. Give calibration_data of more "
            "and other speakers, or export with precision float32."
        )
    return found


def random_input(rng: np.random.Generator, exported: ExportedModel, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a random model input, and the finished features that it represents."""
    num_utterances = exported.batch_size or 2
    if exported.input_kind == "features":
        feats = 10 * rng.standard_normal((num_utterances, num_frames, exported.feature_size), np.float32)
        return feats, feats
    front_end = front_end_of(exported.front_end)
    waveforms = 0.1 * rng.standard_normal((num_utterances, front_end.num_samples(num_frames)), np.float32)
    return waveforms, front_end.finish(np.stack([front_end(waveform) for waveform in waveforms]))
