"""Exported models: the file, and FILE.json, which describes its inputs and outputs."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from mindvox.errors import InputError
from mindvox.files import PathLike, read_json, sha256_file, write_json
from mindvox.frontend import front_end_of
from mindvox.frontend.frames import Windows
from mindvox.home import ONNX, find_model
from mindvox.progress import quantity

FORMAT_VERSION = 3
OLD_VERSION = 2  # still read, see `_upgraded`
FILE_FORMATS = {"MINDIR": ".mindir", "AIR": ".air", "ONNX": ".onnx", "IR": ".xml"}
INPUT_KINDS = ("features", "waveform")
FRAMES_FIRST, BINS_FIRST = INPUT_LAYOUTS = ("BTF", "BFT")
CONVERSION = ("converted_from", "converter", "gears", "precision_mode")
"""Keys of a conversion: sha256 of the converted file; name of the converter; compiled lengths, frames, ascending, or
null for the fixed one; precision on Ascend."""
OF_THE_FILE = (  # unknown or trivial inside the file
    *("file_format", "file_sha256", "weights_sha256", "inputs", "outputs", "framing"),
    *("mindir_version", "least_lite", "conversion"),
)


@dataclass(frozen=True)
class ExportedModel:
    """The description of an exported model; `null` in JSON means a free size.

    The JSON also has `inputs` and `outputs` by name, shape and dtype, and `framing`; these follow from the attributes.

    Attributes:
        file_format: a key of FILE_FORMATS.
        input_kind: "features": features (B, T, F) of the front end, after its `finish`; "waveform": samples (B, N),
            full scale 1, at the front end's sample rate; the model computes and finishes the features.
        batch_size: batch size; None: any.
        num_frames: number of frames of an utterance; None: any.
        min_frames: fewest frames of an utterance.
        feature_size: feature size F.
        emb_size: embedding size.
        further_outputs: number of channels of each output (B, T, channels) after the embedding, by name, in
            alphabetical order.
        precision: number format of the file. A waveform model computes wrong features at a lower precision.
        device_target: the device for which a MINDIR or AIR is built; None: any.
        front_end: how the features are computed.
        model: name and settings of the architecture.
        checkpoint_sha256: hash of the exported checkpoint.
        file_sha256: hash of the exported file.
        weights_sha256: hash of the `.bin` beside an IR's `.xml`; None for other formats.
        mindir_version: version of the MINDIR format; None: another format, or unknown.
        least_lite: earliest MindSpore Lite known to read a MINDIR.
        windows: windows of `num_frames` frames in which an utterance is embedded, with the mean taken; None: an
            utterance is one input.
        input_layout: axes of the features in the file: "BTF", or "BFT", the transposed one of the Ascend 310P guide.
            `Engine.encode` takes (B, T, F) for both.
        conversion: how scripts/convert_310.sh made the file, with the keys of CONVERSION; None: it did not.
    """

    file_format: str
    input_kind: str
    batch_size: Optional[int]
    num_frames: Optional[int]
    min_frames: int
    feature_size: int
    emb_size: int
    further_outputs: dict[str, int]
    precision: str
    device_target: Optional[str]
    front_end: dict[str, Any]
    model: dict[str, Any]
    checkpoint_sha256: str
    file_sha256: str
    weights_sha256: Optional[str]
    mindir_version: Optional[int] = None
    least_lite: Optional[str] = None
    windows: Optional[Windows] = None
    input_layout: str = FRAMES_FIRST  # missing in older descriptions
    conversion: Optional[dict[str, Any]] = None

    @property
    def num_samples(self) -> Optional[int]:
        """Samples that a waveform model takes: the fewest that give `num_frames`; None: any number."""
        return None if self.num_frames is None else self._samples_of(self.num_frames)

    @property
    def cut_frames(self) -> Optional[int]:
        """Frames of an utterance that the model uses, from the start; None: all."""
        return self.num_frames if self.windows is None else None

    @property
    def min_length(self) -> int:
        """Fewest frames, or samples for a waveform model, of an utterance."""
        return self.min_frames if self.input_kind == "features" else self._samples_of(self.min_frames)

    def _samples_of(self, num_frames: int) -> int:
        return front_end_of(self.front_end).num_samples(num_frames)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of the input."""
        if self.input_kind == "waveform":
            return [_tensor("waveform", [self.batch_size, self.num_samples])]
        return [_tensor("feats", self.shape_of_feats(self.batch_size, self.num_frames))]

    @property
    def framing(self) -> Optional[dict[str, Any]]:
        """How frames lie in a recording, in samples, for readers that do not know the front end; None for features.

        A waveform of N samples has no frame when N < least, else 1 + (N - first) // hop. `prepares`: recordings are
        changed before they are embedded, see `FrontEnd.prepare`.
        """
        if self.input_kind == "features":
            return None
        front_end = front_end_of(self.front_end)
        hop, least = round(front_end.frame_shift_s * front_end.sample_rate), front_end.num_samples(1)
        num_frames = 2 + least // hop  # so many that `least` does not decide
        first = front_end.num_samples(num_frames) - (num_frames - 1) * hop
        return {"least": least, "first": first, "hop": hop, "prepares": front_end.prepares}

    def shape_of_feats(self, batch_size: Optional[int], num_frames: Optional[int]) -> list[Optional[int]]:
        """Return the shape of features in the model's layout."""
        sizes = [num_frames, self.feature_size]
        return [batch_size, *(sizes if self.input_layout == FRAMES_FIRST else sizes[::-1])]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of each output."""
        return [
            _tensor("embedding", [self.batch_size, self.emb_size]),
            *(
                _tensor(name, [self.batch_size, self.num_frames, channels])
                for name, channels in sorted(self.further_outputs.items())
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of FILE.json."""
        derived = {"inputs": self.inputs, "outputs": self.outputs, "framing": self.framing}
        return {"format_version": FORMAT_VERSION, **asdict(self), **derived}

    def metadata(self) -> dict[str, str]:
        """Return the content of FILE.json as text to store inside FILE: text unchanged, other values as JSON."""
        free = OF_THE_FILE if self.windows is not None else (*OF_THE_FILE, "windows")  # missing in older files
        return _as_text({key: value for key, value in self.to_dict().items() if key not in free})

    def check_metadata(self, found: Mapping[str, str], where: PathLike) -> None:
        """Raise InputError if the metadata inside a file differs from FILE.json."""
        expected = self.metadata()
        if found.get("format_version") == str(OLD_VERSION):
            found = _as_text(_upgraded(found))
        found = {"input_layout": FRAMES_FIRST, **found}  # missing in older files
        differing = [key for key in {**expected, "windows": None} if found.get(key) != expected.get(key)]
        if differing:
            raise InputError(
                f"{where}: its metadata and {where}.json differ in {', '.join(differing)}. Export it again."
            )

    def save(self, model_file: PathLike) -> None:
        """Write FILE.json beside the model."""
        write_json(description_path(model_file), self.to_dict())

    @classmethod
    def read(cls, model_file: PathLike) -> "ExportedModel":
        """Read FILE.json.

        Raises:
            InputError: the model or its description is missing or damaged, or they do not belong together.
        """
        path = description_path(model_file)
        if not Path(model_file).is_file():
            raise InputError(f"{model_file}: no such model. export.py makes one.")
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format_version") not in (OLD_VERSION, FORMAT_VERSION):
            raise InputError(
                f"{path}: expected the description of an exported model, format {OLD_VERSION} or {FORMAT_VERSION}. "
                "Export it again."
            )
        if content["format_version"] == OLD_VERSION:
            content = _upgraded(content)
        fields = cls.__dataclass_fields__
        needed = [name for name, field in fields.items() if field.default is MISSING]
        missing = [name for name in (*needed, "inputs", "outputs") if name not in content]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}. Export the model again.")
        windows = _windows(content.get("windows"), path)
        exported = cls(**{**{name: content[name] for name in fields if name in content}, "windows": windows})
        exported._check(path)
        for name in ("inputs", "outputs", "framing"):
            derived = getattr(exported, name)
            if content.get(name, derived) != derived:  # older descriptions have no framing
                raise InputError(f"{path}: {name} do not fit the sizes beside them. Export the model again.")
        _check_sha256(Path(model_file), exported.file_sha256, path)
        if exported.weights_sha256 is not None:
            _check_sha256(weights_path(model_file), exported.weights_sha256, path)
        return exported

    def _check(self, path: Path) -> None:
        """Raise InputError for values that no export writes."""
        free = ("batch_size", "num_frames")
        wrong = [name for name in free if not _is_count(getattr(self, name)) and getattr(self, name) is not None]
        wrong += [name for name in ("min_frames", "feature_size", "emb_size") if not _is_count(getattr(self, name))]
        wrong += [] if _are_outputs(self.further_outputs) else ["further_outputs"]
        wrong += [name for name in ("front_end", "model") if not isinstance(getattr(self, name), dict)]
        if self.file_format not in FILE_FORMATS:
            wrong.append("file_format")
        if self.input_kind not in INPUT_KINDS:
            wrong.append("input_kind")
        elif self.input_layout not in INPUT_LAYOUTS[: 2 if self.input_kind == "features" else 1]:
            wrong.append("input_layout")
        elif self.input_kind == "waveform" and "front_end" not in wrong:
            front_end_of(self.front_end, str(path))
        if self.conversion is not None and not _is_conversion(self.conversion):
            wrong.append("conversion")
        if self.windows is not None and self.windows.num_frames != self.num_frames:
            wrong.append("windows")
        if (self.file_format == "IR") != isinstance(self.weights_sha256, str):
            wrong.append("weights_sha256")
        if wrong:
            listed = ", ".join(f"{name} {getattr(self, name)!r}" for name in wrong)
            raise InputError(f"{path}: impossible values: {listed}. Export the model again.")


def find_exported(model: PathLike) -> Path:
    """Return the exported model that a user means: a file, the only one in a folder, or a public model.

    Raises:
        InputError: there is none; the message says how to make one.
    """
    path = find_model(model, ONNX)
    if path.is_dir():
        return _only_model(path)
    if path.suffix in FILE_FORMATS.values():
        return path
    if path.is_file():
        raise InputError(
            f"{path}: expected an exported model ({', '.join(FILE_FORMATS.values())}). A checkpoint is exported by "
            f"mindvox export --exp_ckpt_file={path} --file_format=ONNX --length=0 --batch_size=0"
        )
    raise InputError(f"{model}: neither a file, nor a folder, nor a public model; `mindvox models` lists those.")


def _only_model(folder: Path) -> Path:
    found = sorted(
        path for path in folder.iterdir() if path.suffix in FILE_FORMATS.values() and description_path(path).is_file()
    )
    if len(found) != 1:
        listed = f": {', '.join(path.name for path in found)}" if found else ""
        raise InputError(
            f"{folder}: expected one exported model in this folder, found {quantity(len(found), 'model')}{listed}."
        )
    return found[0]


def description_path(model_file: PathLike) -> Path:
    """Return the path of FILE.json for FILE."""
    return Path(f"{model_file}.json")


def weights_path(model_file: PathLike) -> Path:
    """Return the path of the weights of an IR."""
    return Path(model_file).with_suffix(".bin")


def _tensor(name: str, shape: list[Optional[int]]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": "float32"}


def _upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description of version 2, or metadata of that time, in the form of version 3."""
    upgraded = {**content, "format_version": FORMAT_VERSION}
    if "num_mels" in upgraded:
        upgraded["feature_size"] = upgraded.pop("num_mels")
    if "attention_size" in upgraded:
        size = upgraded.pop("attention_size")
        is_text = isinstance(size, str) and size.isdecimal()  # from metadata inside a file
        upgraded["further_outputs"] = {} if size in (None, "null") else {"attention": int(size) if is_text else size}
    if upgraded.get("input_kind") == "fbank":
        upgraded["input_kind"] = "features"
    return upgraded


def _as_text(content: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in content.items()
    }


def _windows(value: Any, path: Path) -> Optional[Windows]:
    """Return the windows of a description; raise InputError if they are malformed."""
    try:
        return None if value is None else Windows(**value)
    except (TypeError, ValueError):
        raise InputError(f"{path}: impossible values: windows {value!r}. Export the model again.") from None


def _are_outputs(value: Any) -> bool:
    return isinstance(value, dict) and "embedding" not in value and all(value) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_conversion(value: Any) -> bool:
    if not isinstance(value, dict) or sorted(value) != sorted(CONVERSION):
        return False
    gears = value["gears"]
    if gears is None:
        return True
    return isinstance(gears, list) and bool(gears) and all(map(_is_count, gears)) and gears == sorted(set(gears))


def _check_sha256(file: Path, expected: str, path: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: no such file; {path} describes it. Copy it again.")
    if sha256_file(file) != expected:
        raise InputError(f"{file}: not the file that {path} describes (sha256 differs). Export it again.")
