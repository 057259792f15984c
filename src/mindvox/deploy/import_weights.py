"""Convert weights of other toolkits to checkpoints of this project.

mindvox import --from speechbrain embedding_model.ckpt [--classifier classifier.ckpt --speakers label_encoder.txt]
    [--model.KEY=VALUE] [--front_end.KEY=VALUE] --to ecapa.ckpt
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.config import describe
from mindvox.corpus.table_io import read_speakers, write_speakers
from mindvox.deploy.toolkits.toolkit import State, Untold
from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, lock_folder, sha256_file, text_lines, user_path
from mindvox.frontend import front_end_of
from mindvox.registry import TOOLKITS

if TYPE_CHECKING:
    from mindspore import nn

MOST_LISTED = 20  # entries that a message lists
NOTHING: Mapping[str, str] = MappingProxyType({})


def import_weights(
    toolkit: str,
    source: PathLike,
    target: PathLike,
    classifier: Optional[PathLike] = None,
    speakers: Optional[PathLike] = None,
    model_keys: Mapping[str, str] = NOTHING,
    front_end_keys: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """Write a checkpoint from another toolkit's file, and return its meta.

    Args:
        toolkit: a name in TOOLKITS.
        source: state of the model, in the format of torch.save, of safetensors or of the toolkit.
        target: checkpoint to write.
        classifier: SpeechBrain's classifier, whose rows become the objective's weight.
        speakers: SpeechBrain's label_encoder.txt: speakers.csv is written beside `target`, and the classifier's rows
            are sorted accordingly. Without it the training speakers are unknown.
        model_keys: see `build`.
        front_end_keys: options of the front end that the toolkit's files do not contain, as on a command line.

    Raises:
        UsageError: a key is already known from the toolkit's files, or is missing, or its value is impossible.
        InputError: a file is missing, damaged or not only weights, its entries are not a model of this toolkit, or
            classifier and speakers do not fit.
    """
    from mindvox.losses import saved_parameters
    from mindvox.models.checkpoint import write_checkpoint

    state, left_out = TOOLKITS.get(toolkit).split(TOOLKITS.get(toolkit).read(source))
    settings, model = build(toolkit, state, source, model_keys)
    parameters = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
    labels = read_label_encoder(speakers) if speakers else None
    if classifier:
        loss = _objective(classifier, settings["emb_size"], labels)
        parameters |= {f"loss.{name}": parameter for name, parameter in saved_parameters(loss).items()}
    meta = {
        "model": settings,
        "front_end": _front_end(toolkit, settings, front_end_keys),
        "speakers_sha256": _write_speakers(Path(target).with_name("speakers.csv"), labels) if labels else None,
        "epoch": 0,
        "step": 0,
        "imported": {"from": toolkit, "file": Path(source).name, "sha256": sha256_file(source)},
    }
    write_checkpoint(target, parameters, meta)
    if left_out:
        print(f"left out: {_listed(left_out)}")
    return meta


def build(
    toolkit: str, state: State, source: PathLike, model_keys: Mapping[str, str] = NOTHING
) -> tuple[dict[str, Any], "nn.Cell"]:
    """Return the settings and the model of another toolkit's state; the model has its weights.

    Args:
        toolkit: a name in TOOLKITS.
        state: entries of the model, as `Toolkit.split` returns them.
        source: their file, for messages.
        model_keys: options of the section `model` that the state does not contain, by name.

    Raises:
        UsageError: one of these keys is known from the state, or is missing, or its value is impossible.
        InputError: it is none of the toolkit's models, or entries are missing, surplus, misshapen or not finite; up to
            20 of them are listed.
    """
    from mindvox.models import create_model

    architecture = TOOLKITS.get(toolkit).architecture_of(state, source)
    wrong = f"{source}: not {toolkit}'s {architecture.title}"
    try:
        settings = _with_untold(architecture.settings(state), model_keys, source)
        model = create_model(settings)
    except UsageError:
        raise
    except KeyError as error:
        raise InputError(f"{wrong}: {error.args[0]} is missing.") from None
    except ValueError as error:
        raise InputError(f"{wrong}: {str(error).rstrip('.')}.") from None
    constants = TOOLKITS.get(toolkit).constants
    state = {name: array for name, array in state.items() if not re.fullmatch(constants, name)}
    _fill(model, architecture.name, state, source)
    return settings, model


def _listed(names: Sequence[str]) -> str:
    """Return names in a line, only the first ones if there are many."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _with_untold(settings: dict[str, Any], given: Mapping[str, str], source: PathLike) -> dict[str, Any]:
    """Return a section `model` completed with keys that its file does not contain."""
    untold = {key: value for key, value in settings.items() if isinstance(value, Untold)}
    for key in given:
        if key not in untold:
            raise UsageError(f"--model.{key}: {source} tells it. Leave the option out.")
    for key, value in untold.items():
        if given.get(key) not in value.choices:
            got = f"got {given[key]!r}" if key in given else "it was not given"
            raise UsageError(f"--model.{key}: {source} does not tell it: expected {' or '.join(value.choices)}; {got}.")
        settings = settings | value.also.get(given[key], {})
    return {**settings, **given}


def _front_end(toolkit: str, settings: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the stored form of a model's front end, completed with keys that its file does not contain."""
    untold = TOOLKITS.get(toolkit).untold
    for key in given:
        if key not in untold:
            expected = " or ".join(f"--front_end.{one}" for one in untold)
            hint = f"expected {expected}" if expected else "leave the option out"
            raise UsageError(f"--front_end.{key}: all models of {toolkit} have one value of it; {hint}.")
    return front_end_of({**TOOLKITS.get(toolkit).front_end(settings), **given}, "--front_end").to_dict()


def _fill(model: "nn.Cell", name_of: Callable[[str], Optional[str]], state: State, source: PathLike) -> None:
    """Set every parameter of the model from the entry of its name; on InputError, none is set."""
    from mindspore import Tensor

    named = ((name_of(parameter.name), parameter) for parameter in model.get_parameters())
    wanted = {name: parameter for name, parameter in named if name is not None}
    wrong = [f"{name} is missing" for name in sorted(wanted.keys() - state.keys())]
    wrong += [f"{name} {state[name].shape} is not in the model" for name in sorted(state.keys() - wanted.keys())]
    for name in sorted(state.keys() & wanted.keys()):
        shapes = torch_shapes(wanted[name].shape)
        if state[name].shape not in shapes:
            wrong.append(f"{name} is {state[name].shape}, expected {shapes[0]}")
        elif not np.isfinite(state[name]).all():
            wrong.append(f"{name} has NaN or infinite values")
    if wrong:
        more = [f"and {len(wrong) - MOST_LISTED} more"] if len(wrong) > MOST_LISTED else []
        raise InputError("\n  ".join([f"{source}: its entries do not fit the model:", *wrong[:MOST_LISTED], *more]))
    for name, parameter in wanted.items():
        parameter.set_data(Tensor(state[name].reshape(parameter.shape), parameter.dtype))


def torch_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes that a parameter of ours may have in torch.

    A convolution over time has (out, in, 1, k) here and (out, in, k) there; with k = 1 it may be a Linear, (out, in).
    """
    if len(shape) != 4 or shape[2] > 1:
        return [shape]
    out, inner, _, kernel = shape
    return [(out, inner, kernel), shape] + ([(out, inner)] if kernel == 1 else [])


def _objective(path: PathLike, emb_size: int, labels: Optional[list[str]]) -> "nn.Cell":
    """Return the objective with the rows of SpeechBrain's classifier, sorted by speaker if these are known."""
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
        if line.startswith("====="):  # the rest is not about speakers
            break
        match = re.fullmatch(r"'([^'\\]+)' => ([0-9]{1,9})", line)
        if not match or match[1] in indices:
            raise InputError(f"{path}:{line_no}: expected a new '<speaker>' => <index>, got {line[:80]!r}.")
        indices[match[1]] = int(match[2])
    if not indices or sorted(indices.values()) != list(range(len(indices))):
        raise InputError(f"{path}: expected the indices 0 to {len(indices) - 1}, each once.")
    return sorted(indices, key=indices.__getitem__)


def _write_speakers(path: Path, labels: list[str]) -> str:
    """Write the table of training speakers and return its sha256; an equal table is kept, another is an error."""
    if path.exists() and sorted(labels) != list(read_speakers(path)):
        raise InputError(f"{path}: exists, with other speakers: write the checkpoint to another folder.")
    write_speakers(path, labels)
    return sha256_file(path)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=main.__doc__,
        epilog="Values that a file does not contain are given as --model.KEY=VALUE or --front_end.KEY=VALUE, such as "
        "--model.pooling=max, --front_end.log=none or --front_end.waveform_scale=32768; others are refused.",
    )
    parser.add_argument(
        "source",
        type=user_path,
        metavar="FILE",
        help="state of the model: torch.save or safetensors; a MindSpore checkpoint for mindaudio and modelzoo",
    )
    parser.add_argument(
        "--from",
        dest="toolkit",
        choices=TOOLKITS,
        required=True,
        metavar="TOOLKIT",
        help=f"toolkit that wrote the file [{' | '.join(TOOLKITS)}]",
    )
    parser.add_argument(
        "--to", dest="target", type=user_path, required=True, metavar="CKPT", help="checkpoint to write"
    )
    parser.add_argument(
        "--classifier", type=user_path, metavar="FILE", help="SpeechBrain's classifier, for further training"
    )
    parser.add_argument(
        "--speakers",
        type=user_path,
        metavar="FILE",
        help="SpeechBrain's label_encoder.txt with the training speakers",
    )
    return parser


def _given_keys(words: Sequence[str], parser: argparse.ArgumentParser) -> dict[str, dict[str, str]]:
    """Return the options `--model.KEY=VALUE` and `--front_end.KEY=VALUE` by section and key."""
    given: dict[str, dict[str, str]] = {"model": {}, "front_end": {}}
    for word in words:
        match = re.fullmatch(r"--(model|front_end)\.(\w+)=(.+)", word)
        if not match:
            parser.error(f"unrecognized arguments: {word}")
        given[match[1]][match[2]] = match[3]
    return given


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Convert another toolkit's model to a checkpoint of this project; nothing in the file is executed."""
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    given = _given_keys(others, parser)
    if arguments.target.suffix != ".ckpt":
        raise UsageError(f"--to: expected a name that ends in .ckpt, got {arguments.target}.")
    if arguments.target.resolve() == Path(arguments.source).resolve():
        raise UsageError("--to: expected another file than the source.")
    if arguments.toolkit != "speechbrain" and (arguments.classifier or arguments.speakers):
        raise UsageError("--classifier and --speakers are SpeechBrain's files.")
    with lock_folder(arguments.target.parent, "import"):  # speakers.csv is written beside the checkpoint
        meta = import_weights(
            arguments.toolkit,
            arguments.source,
            arguments.target,
            arguments.classifier,
            arguments.speakers,
            model_keys=given["model"],
            front_end_keys=given["front_end"],
        )
    print(f"{arguments.target}: {describe(meta['model'])}, from {arguments.toolkit}")
    front_end = dict(meta["front_end"])
    print(f"features: {describe({'name': front_end.pop('type'), **front_end})}")
    known = "speakers.csv beside it" if meta["speakers_sha256"] else "unknown; eval.py cannot keep them out of trials"
    print(f"training speakers: {known}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
