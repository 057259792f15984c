"""Exported models: the file, and FILE.json that says what goes in and out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from src.errors import InputError
from src.files import PathLike, read_json, sha256_file, write_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ExportedModel:
    """What a reader of an exported model needs to know; `null` in JSON stands for a free size.

    Attributes:
        file_format: "MINDIR".
        batch_size: utterances taken at once; None: any number.
        num_frames: frames of an utterance; None: any number.
        num_mels: size of a frame.
        emb_size: size of an embedding.
        front_end: how the features are made.
        model: name and settings of the architecture.
        checkpoint_sha256: of the checkpoint that was exported.
        file_sha256: of the exported file.
    """

    file_format: str
    batch_size: Optional[int]
    num_frames: Optional[int]
    num_mels: int
    emb_size: int
    front_end: dict[str, Any]
    model: dict[str, Any]
    checkpoint_sha256: str
    file_sha256: str

    def save(self, model_file: PathLike) -> None:
        """Write FILE.json beside the model."""
        inputs = [{"name": "feats", "shape": [self.batch_size, self.num_frames, self.num_mels], "dtype": "float32"}]
        outputs = [{"name": "embedding", "shape": [self.batch_size, self.emb_size], "dtype": "float32"}]
        values = {"format_version": FORMAT_VERSION, **asdict(self), "inputs": inputs, "outputs": outputs}
        write_json(description_path(model_file), values)

    @classmethod
    def read(cls, model_file: PathLike) -> "ExportedModel":
        """Read FILE.json.

        Raises:
            InputError: model or description is missing, or they do not belong together.
        """
        path = description_path(model_file)
        if not Path(model_file).is_file():
            raise InputError(f"{model_file}: no such model. export.py makes one.")
        content = read_json(path)
        names = list(cls.__dataclass_fields__)
        if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
            raise InputError(f"{path}: expected the description of an exported model, format {FORMAT_VERSION}.")
        missing = [name for name in names if name not in content]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}. Export the model anew.")
        exported = cls(**{name: content[name] for name in names})
        if sha256_file(model_file) != exported.file_sha256:
            raise InputError(f"{model_file}: not the file that {path} describes (sha256 differs). Export it anew.")
        return exported


def description_path(model_file: PathLike) -> Path:
    """Return the path of FILE.json for FILE."""
    return Path(f"{model_file}.json")
