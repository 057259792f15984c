"""Convert a MINDIR for Ascend with MindSpore Lite's converter_lite; scripts/convert_310.sh runs it.

Lite compiles an unconverted model at every start, in every worker, and for one length only. A converted model is loaded
without compilation, and can have several lengths.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from mindvox.arguments import Parser
from mindvox.engines.exported import FILE_FORMATS, ExportedModel
from mindvox.errors import InputError, UsageError, run
from mindvox.files import atomic_path, lock_output, sha256_file, user_path

CONVERTER = "converter_lite"
PRECISION_MODES = ("preferred_fp32", "enforce_fp32", "enforce_fp16", "enforce_origin", "preferred_optimal")
MAX_GEARS = 100  # limit of CANN
SUFFIX = FILE_FORMATS["MINDIR"]


@dataclass(frozen=True)
class Shapes:
    """The input sizes of a converted model.

    Attributes:
        batch_size: batch size.
        frames: lengths, ascending; for a model with a fixed length, that one.
    """

    batch_size: int
    frames: tuple[int, ...]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Convert a model and describe the result."""
    parser = Parser(prog="convert_310.sh", description="Convert a .mindir for Ascend by converter_lite.")
    parser.add_argument("model", type=user_path, help=".mindir that export.py wrote with --device_target=Ascend")
    parser.add_argument("output", type=user_path, help="converted .mindir; its description is written beside it")
    parser.add_argument("--frames", type=_counts, help="lengths for a model of free length, such as 200,300,400")
    parser.add_argument("--batch_size", type=int, help="batch size for a model of free batch size; default: 1")
    parser.add_argument(
        "--precision_mode",
        choices=PRECISION_MODES,
        default=PRECISION_MODES[0],
        metavar="MODE",
        help=f"precision on Ascend [{' | '.join(PRECISION_MODES)}]",
    )
    arguments = parser.parse_args(argv)
    sizes = (arguments.frames, arguments.batch_size)
    with lock_output(arguments.output):
        print(convert(arguments.model, arguments.output, *sizes, arguments.precision_mode))
    return 0


def convert(
    model: Path, output: Path, frames: Optional[Sequence[int]], batch_size: Optional[int], precision_mode: str
) -> str:
    """Convert `model` to `output`, and return a line about the result.

    Raises:
        UsageError: the requested sizes do not fit the model, or there is no converter.
        InputError: the model cannot be converted.
    """
    if output.suffix != SUFFIX or output.resolve() == model.resolve():
        raise UsageError(f"{output}: expected another file than the model, with the suffix {SUFFIX}.")
    exported = ExportedModel.read(model)
    shapes = choose_shapes(model, exported, frames, batch_size)
    converter = find_converter()
    # Plain names, because the converter parses them from options and a configuration file.
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, f"source{SUFFIX}"), Path(folder, f"converted{SUFFIX}")
        shutil.copyfile(model, source)
        config = Path(folder, "convert.ini")
        config.write_text(converter_config(exported, shapes, precision_mode), encoding="utf-8")
        command = [str(converter), "--fmk=MINDIR", "--saveType=MINDIR", "--optimize=ascend_oriented"]
        command += [f"--modelFile={source}", f"--outputFile={made.with_suffix('')}", f"--configFile={config}"]
        if len(shapes.frames) == 1:
            command.append(f"--inputShape=feats:{_shape_text(exported, shapes.batch_size, shapes.frames[0])}")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode or not made.is_file():
            sys.stderr.write(done.stdout.decode(errors="replace"))
            result = f"exit code {done.returncode}" if done.returncode else "it wrote no file"
            raise InputError(f"{model}: {converter.name} failed ({result}). Its output is above.")
        with atomic_path(output) as temporary:
            shutil.copyfile(made, temporary)
    name = converter_name(converter)
    gears = list(shapes.frames) if len(shapes.frames) > 1 else None
    replace(
        exported,
        batch_size=shapes.batch_size,
        num_frames=None if gears else shapes.frames[0],
        device_target="Ascend",
        file_sha256=sha256_file(output),
        mindir_version=None,
        least_lite=None,
        conversion={
            "converted_from": exported.file_sha256,
            "converter": name,
            "gears": gears,
            "precision_mode": precision_mode,
        },
    ).save(output)
    lengths = ", ".join(map(str, shapes.frames))
    return f"converted {output}: {shapes.batch_size} x {lengths} frames, {precision_mode}, by {name}"


def choose_shapes(
    model: Path, exported: ExportedModel, frames: Optional[Sequence[int]], batch_size: Optional[int]
) -> Shapes:
    """Return the sizes of the converted model; see `convert`."""
    if exported.file_format != "MINDIR" or exported.input_kind != "features" or exported.conversion is not None:
        raise InputError(f"{model}: expected a MINDIR that takes features and was not converted before.")
    if exported.device_target != "Ascend":
        raise InputError(f"{model}: was exported for {exported.device_target}: export with --device_target=Ascend.")
    if exported.batch_size and batch_size not in (None, exported.batch_size):
        raise UsageError(f"--batch_size: {batch_size} was given, {model} takes {exported.batch_size}.")
    if exported.num_frames and frames is not None and list(frames) != [exported.num_frames]:
        raise UsageError(f"--frames: {model} takes only {exported.num_frames}. Export with --length=0 for others.")
    lengths = sorted(set(frames or [exported.num_frames or 0]))
    if lengths == [0]:
        raise UsageError(f"--frames: {model} takes any number of frames: give those to compile for, as in 200,300,400.")
    if lengths[0] < exported.min_frames or len(lengths) > MAX_GEARS:
        raise UsageError(f"--frames: expected at most {MAX_GEARS} lengths of at least {exported.min_frames} frames.")
    size = exported.batch_size or (1 if batch_size is None else batch_size)
    if size < 1:
        raise UsageError(f"--batch_size: expected at least 1, got {size}.")
    return Shapes(size, tuple(lengths))


def converter_config(exported: ExportedModel, shapes: Shapes, precision_mode: str) -> str:
    """Return the content of the converter's configuration file."""
    lines = []
    if len(shapes.frames) > 1:
        lines = [
            "[acl_build_options]",
            'input_format="ND"',
            f'input_shape="feats:{_shape_text(exported, shapes.batch_size, -1)}"',
            f'ge.dynamicDims="{";".join(map(str, shapes.frames))}"',
        ]
    return "\n".join([*lines, "[ascend_context]", f"precision_mode={precision_mode}", ""])


def _shape_text(exported: ExportedModel, batch_size: int, num_frames: int) -> str:
    return ",".join(map(str, exported.shape_of_feats(batch_size, num_frames)))


def find_converter() -> Path:
    """Return converter_lite of LITE_HOME, else the one on PATH."""
    home = os.environ.get("LITE_HOME") or os.environ.get("MS_LITE_HOME")
    of_home = Path(home, "tools", "converter", "converter", CONVERTER) if home else None
    if of_home is not None and of_home.is_file():
        return of_home
    found = shutil.which(CONVERTER)
    if found is None:
        where = f" {of_home} does not exist either." if of_home else ""
        raise UsageError(f"{CONVERTER} was not found on PATH.{where} Set LITE_HOME to MindSpore Lite, unpacked.")
    return Path(found)


def converter_name(converter: Path) -> str:
    """Return the converter's name with the version of its package's folder, or the start of its sha256."""
    version = re.search(r"mindspore-lite-([0-9][^-/]*)", str(converter.resolve()))
    return f"{CONVERTER} {version[1] if version else f'(sha256 {sha256_file(converter)[:12]})'}"


def _counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(run(main))
