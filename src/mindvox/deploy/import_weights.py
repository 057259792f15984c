"""Weights of other toolkits as checkpoints of this project.

mindvox import-weights --from speechbrain embedding_model.ckpt [--classifier classifier.ckpt
    --speakers label_encoder.txt] --to ecapa.ckpt
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.corpus.table_io import read_speakers, write_speakers
from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, lock_folder, sha256_file, text_lines, user_path
from mindvox.frontend.fbank import Fbank

if TYPE_CHECKING:
    from mindspore import nn

State = Mapping[str, np.ndarray]
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
COUNTER = "num_batches_tracked"  # torch's batch norms count their updates; nothing reads it
KALDI_FBANK = {"type": "kaldi_fbank", "sample_rate": 16000, "win_length_ms": 25.0, "hop_length_ms": 10.0}


@dataclass(frozen=True)
class Toolkit:
    """How a toolkit keeps ECAPA-TDNN.

    Attributes:
        settings: the model's settings, read off the shapes of a state; KeyError or ValueError when that cannot be.
        name: the toolkit's name of one of our parameters.
        front_end: the features that its models take, for a number of mel bins.
        left_out: pattern of entries that belong to training and are not imported.
    """

    settings: Callable[[State], dict[str, Any]]
    name: Callable[[str], str]
    front_end: Callable[[int], dict[str, Any]]
    left_out: str = r"$^"


def speechbrain_name(name: str) -> str:
    """Return SpeechBrain's name of a parameter of `EcapaTdnn`; 3D-Speaker has the same.

    Both wrap each convolution and batch norm in a module of its own: our `blocks.0.norm.moving_variance` is
    `blocks.0.norm.norm.running_var` there.
    """
    path, leaf = name.rsplit(".", 1)
    return f"{path}.norm.{BATCH_NORM[leaf]}" if leaf in BATCH_NORM else f"{path}.conv.{leaf}"


def wespeaker_name(name: str) -> str:
    """Return wespeaker's name of a parameter of `WespeakerEcapa`."""
    path, leaf = name.rsplit(".", 1)
    path = path.replace(".tdnn1.", ".se_res2block.0.").replace(".tdnn2.", ".se_res2block.2.")
    path = re.sub(r"\.splits\.(\d)\.conv", r".se_res2block.1.convs.\1", path)
    path = re.sub(r"\.splits\.(\d)\.norm", r".se_res2block.1.bns.\1", path)
    path = re.sub(r"\.se_block\.conv(\d)", r".se_res2block.3.linear\1", path)
    path = re.sub(r"\.norm$", ".bn", path)
    return f"{path}.{BATCH_NORM.get(leaf, leaf)}"


def _speechbrain_settings(state: State) -> dict[str, Any]:
    channels, in_channels, _ = state["blocks.0.conv.conv.weight"].shape
    emb_size, pooled, _ = state["fc.conv.weight"].shape
    _, seen, _ = state["asp.tdnn.conv.conv.weight"].shape
    _check_sizes(
        channels % 8 == 0
        and state["mfa.conv.conv.weight"].shape == (3 * channels, 3 * channels, 1)
        and pooled == 6 * channels
    )
    return {
        "name": "ecapa_tdnn",
        "in_channels": in_channels,
        "channels": channels,
        "emb_size": emb_size,
        "global_context": seen == 9 * channels,
    }


def _wespeaker_settings(state: State) -> dict[str, Any]:
    channels, in_channels, _ = state["layer1.conv.weight"].shape
    mfa_channels, joined, _ = state["conv.weight"].shape
    emb_size, pooled = state["linear.weight"].shape
    _, seen, _ = state["pool.linear1.weight"].shape
    inner = state["layer2.se_res2block.0.conv.weight"].shape
    _check_sizes(inner == (channels, channels, 1) and joined == 3 * channels and pooled == 2 * mfa_channels)
    return {
        "name": "wespeaker_ecapa",
        "in_channels": in_channels,
        "channels": channels,
        "emb_size": emb_size,
        "global_context": seen == 3 * mfa_channels,
        "mfa_channels": mfa_channels,
    }


def _check_sizes(fit: bool) -> None:
    """Raise ValueError unless the greatest weights fit together: then no model is built that its file does not hold."""
    if not fit:
        raise ValueError("the sizes of its layers do not fit together")


TOOLKITS = {
    "speechbrain": Toolkit(_speechbrain_settings, speechbrain_name, lambda n: Fbank(n_mels=n).to_dict()),
    "3dspeaker": Toolkit(
        _speechbrain_settings,
        speechbrain_name,
        lambda n: {**KALDI_FBANK, "n_mels": n, "window": "povey", "waveform_scale": 1.0},
    ),
    "wespeaker": Toolkit(
        _wespeaker_settings,
        wespeaker_name,
        lambda n: {**KALDI_FBANK, "n_mels": n, "window": "hamming", "waveform_scale": 32768.0},
        left_out=r"projection\..*",
    ),
}


def import_weights(
    toolkit: str,
    source: PathLike,
    target: PathLike,
    classifier: Optional[PathLike] = None,
    speakers: Optional[PathLike] = None,
) -> dict[str, Any]:
    """Write a checkpoint from another toolkit's file, and return its meta.

    Args:
        toolkit: a key of TOOLKITS.
        source: the model's state, of torch.save or safetensors.
        target: the checkpoint to write.
        classifier: SpeechBrain's classifier, whose rows become the objective's weight.
        speakers: SpeechBrain's label_encoder.txt: speakers.csv is written beside `target`, and the classifier's rows
            are put in its order. Without it the training speakers stay unknown.

    Raises:
        InputError: a file is missing, damaged or not of weights alone, its entries are not this toolkit's ECAPA-TDNN,
            or classifier and speakers do not fit.
    """
    from mindvox.losses import saved_parameters
    from mindvox.models.checkpoint import write_checkpoint

    state = read_state(source)
    settings, model = build(toolkit, state, source)
    parameters = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
    labels = read_label_encoder(speakers) if speakers else None
    if classifier:
        loss = _objective(classifier, settings["emb_size"], labels)
        parameters |= {f"loss.{name}": parameter for name, parameter in saved_parameters(loss).items()}
    meta = {
        "model": settings,
        "front_end": TOOLKITS[toolkit].front_end(settings["in_channels"]),
        "speakers_sha256": _write_speakers(Path(target).with_name("speakers.csv"), labels) if labels else None,
        "epoch": 0,
        "step": 0,
        "imported": {"from": toolkit, "file": Path(source).name, "sha256": sha256_file(source)},
    }
    write_checkpoint(target, parameters, meta)
    left_out = [name for name in state if re.fullmatch(TOOLKITS[toolkit].left_out, name)]
    if left_out:
        print(f"left out: {', '.join(left_out)}")
    return meta


def build(toolkit: str, state: State, source: PathLike) -> tuple[dict[str, Any], "nn.Cell"]:
    """Return settings and model of another toolkit's state, the model with its weights.

    Raises:
        InputError: entries are missing, surplus, misshapen or not finite; all of them are listed.
    """
    from mindvox.models import create_model

    kind = TOOLKITS[toolkit]
    try:
        settings = kind.settings(state)
    except KeyError as error:
        raise InputError(f"{source}: not {toolkit}'s ECAPA-TDNN: {error.args[0]} is missing.") from None
    except ValueError:
        raise InputError(
            f"{source}: not {toolkit}'s ECAPA-TDNN: the sizes of its layers do not fit together."
        ) from None
    model = create_model(settings)
    _fill(model, kind, state, source)
    return settings, model


def _fill(model: "nn.Cell", kind: Toolkit, state: State, source: PathLike) -> None:
    """Set every parameter of the model from the entry of its name; or raise InputError, and set none."""
    from mindspore import Tensor

    wanted = {kind.name(parameter.name): parameter for parameter in model.get_parameters()}
    given = {name for name in state if not name.endswith(COUNTER) and not re.fullmatch(kind.left_out, name)}
    wrong = [f"{name} is missing" for name in sorted(wanted.keys() - given)]
    wrong += [f"{name} {state[name].shape} is not in the model" for name in sorted(given - wanted.keys())]
    for name in sorted(given & wanted.keys()):
        shape = torch_shape(wanted[name].shape)
        if state[name].shape not in (shape, shape[:2] if shape[2:] == (1,) else shape):  # a Linear has no third axis
            wrong.append(f"{name} is {state[name].shape}, expected {shape}")
        elif not np.isfinite(state[name]).all():
            wrong.append(f"{name} has NaN or infinite values")
    if wrong:
        raise InputError("\n  ".join([f"{source}: its entries do not fit the model:", *wrong]))
    for name, parameter in wanted.items():
        parameter.set_data(Tensor(state[name].reshape(parameter.shape), parameter.dtype))


def torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a parameter of ours has in torch: (out, in, k) of a convolution, not (out, in, 1, k)."""
    return (*shape[:2], shape[3]) if len(shape) == 4 else shape


def _objective(path: PathLike, emb_size: int, labels: Optional[list[str]]) -> "nn.Cell":
    """Return the objective with the rows of SpeechBrain's classifier, sorted by speaker when they are known."""
    from mindspore import Tensor

    from mindvox.losses.aam_softmax import AamSoftmax

    state = read_state(path)
    weight = state.get("weight", np.empty(0))
    if len(state) != 1 or weight.ndim != 2 or weight.shape[1] != emb_size or not np.isfinite(weight).all():
        entries = ", ".join(f"{name} {array.shape}" for name, array in sorted(state.items()))
        raise InputError(
            f"{path}: expected SpeechBrain's classifier without hidden layers, weight (speakers, {emb_size}), "
            f"finite, and nothing else, got {entries}."
        )
    if labels is not None:
        if len(labels) != len(weight):
            raise InputError(f"{path}: it has {len(weight)} speakers, the label encoder {len(labels)}.")
        weight = weight[sorted(range(len(labels)), key=labels.__getitem__)]
    loss = AamSoftmax(emb_size, len(weight))
    loss.weight.set_data(Tensor(weight, loss.weight.dtype))
    return loss


def read_label_encoder(path: PathLike) -> list[str]:
    """Return the speakers of SpeechBrain's label_encoder.txt in the order of their indices.

    Raises:
        InputError: no such file, or a line is not `'<speaker>' => <index>`, or the indices are not 0, 1, ...
    """
    indices: dict[str, int] = {}
    for line_no, line in text_lines(path):
        if line.startswith("====="):  # what follows is not about speakers
            break
        match = re.fullmatch(r"'([^'\\]+)' => ([0-9]{1,9})", line)
        if not match or match[1] in indices:
            raise InputError(f"{path}:{line_no}: expected a new '<speaker>' => <index>, got {line[:80]!r}.")
        indices[match[1]] = int(match[2])
    if not indices or sorted(indices.values()) != list(range(len(indices))):
        raise InputError(f"{path}: expected the indices 0 to {len(indices) - 1}, each once.")
    return sorted(indices, key=indices.get)


def _write_speakers(path: Path, labels: list[str]) -> str:
    """Write the table of training speakers and return its sha256; keep an equal one, refuse another."""
    if path.exists() and sorted(labels) != list(read_speakers(path)):
        raise InputError(f"{path}: exists, with other speakers: write the checkpoint to another folder.")
    write_speakers(path, labels)
    return sha256_file(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mindvox import-weights", description=main.__doc__)
    parser.add_argument("source", metavar="FILE", help="the model's state: torch.save or safetensors")
    parser.add_argument("--from", dest="toolkit", choices=TOOLKITS, required=True, help="the toolkit that wrote it")
    parser.add_argument(
        "--to", dest="target", type=user_path, required=True, metavar="CKPT", help="checkpoint to write"
    )
    parser.add_argument("--classifier", metavar="FILE", help="SpeechBrain's classifier, to train on with")
    parser.add_argument(
        "--speakers", metavar="FILE", help="SpeechBrain's label_encoder.txt: who the model was trained on"
    )
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Turn another toolkit's ECAPA-TDNN into a checkpoint of this project; nothing in the file is executed."""
    arguments = _parser().parse_args(argv)
    if arguments.target.suffix != ".ckpt":
        raise UsageError(f"--to: expected a name that ends in .ckpt, got {arguments.target}.")
    if arguments.target.resolve() == Path(arguments.source).resolve():
        raise UsageError("--to: expected another file than the source.")
    if arguments.toolkit != "speechbrain" and (arguments.classifier or arguments.speakers):
        raise UsageError("--classifier and --speakers are SpeechBrain's files.")
    with lock_folder(arguments.target.parent, "import"):  # speakers.csv lies beside the checkpoint
        meta = import_weights(
            arguments.toolkit, arguments.source, arguments.target, arguments.classifier, arguments.speakers
        )
    from mindvox.models import describe_settings

    print(f"{arguments.target}: {describe_settings(meta['model'])}, from {arguments.toolkit}")
    if meta["front_end"]["type"] == "fbank":
        print("features: SpeechBrain's filterbanks, which this project's stores hold")
    else:
        print(
            f"features: {meta['front_end']}: this project does not compute these. The model takes them from elsewhere "
            "(mindvox.models.load_model, or an export); eval.py refuses it."
        )
    known = "speakers.csv beside it" if meta["speakers_sha256"] else "unknown; eval.py cannot keep them out of trials"
    print(f"training speakers: {known}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
