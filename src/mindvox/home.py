"""The folder of public models, and how a model's name becomes a file.

    HOME/models/NAME/   model.ckpt, model.onnx, model.onnx.json, card.json, LICENCE.txt

A folder is complete or absent: `mindvox.deploy.pretrained` renames it into place when everything is in it.
"""

import os
import re
from pathlib import Path
from typing import Any

from mindvox.errors import InputError
from mindvox.files import PathLike, read_json
from mindvox.public_models import PUBLIC_MODELS, SPEAKER

VARIABLE = "MINDVOX_HOME"
CARD, LICENCE = "card.json", "LICENCE.txt"
CHECKPOINT, ONNX = "model.ckpt", "model.onnx"
CARD_VERSION = 1
CARD_KEYS = ("name", "source", "licence", "sha256", "front_end", "language", "thresholds")


def home() -> Path:
    """Return the folder for downloads: $MINDVOX_HOME, else `mindvox` in the user's cache folder.

    The cache folder is $XDG_CACHE_HOME, else ~/.cache.

    Raises:
        InputError: the user has no home folder.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser().absolute()
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]).absolute() / "mindvox"
    try:
        return Path.home() / ".cache" / "mindvox"
    except RuntimeError:
        raise InputError(f"no home folder is known for this user: set {VARIABLE} to a folder for models.") from None


def model_folder(name: str) -> Path:
    """Return the folder of a public model, which need not exist.

    Raises:
        InputError: the name cannot be a folder's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise InputError(f"{name!r}: expected the name of a public model; `mindvox models` lists them.")
    return home() / "models" / name


def read_card(folder: PathLike) -> dict[str, Any]:
    """Read card.json: a model's source, licence and thresholds.

    Returns:
        Values by name. "front_end" is the stored form of the front end, or None. "thresholds" is None or a dictionary
        with "same" and "different" (cosines) and "why" (text).

    Raises:
        InputError: the card is missing or damaged.
    """
    path = Path(folder, CARD)
    card = read_json(path)
    advice = f"Fetch it again: mindvox fetch {Path(folder).name} --force"
    if not isinstance(card, dict) or card.get("format_version") != CARD_VERSION:
        raise InputError(f"{path}: expected the card of a public model, format {CARD_VERSION}. {advice}")
    missing = [key for key in CARD_KEYS if key not in card]
    if missing or not _are_thresholds(card["thresholds"]):
        raise InputError(f"{path}: {', '.join(missing) or 'thresholds'}: missing or impossible. {advice}")
    return card


def _are_thresholds(value: Any) -> bool:
    if value is None:
        return True
    numbers = [value.get(key) for key in ("same", "different")] if isinstance(value, dict) else [None]
    is_number = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    return is_number and isinstance(value.get("why"), str) and value["different"] <= value["same"]


def find_model(given: PathLike, file_name: str) -> Path:
    """Return the file or folder that a user means by a path or by the name of a public model.

    An existing file or folder wins over a public model of the same name. The name of a public model gives its cached
    file.

    Args:
        given: a path, or a name.
        file_name: the file to return for a public model, CHECKPOINT or ONNX.

    Returns:
        `given` as a path, unless it names a public model.

    Raises:
        InputError: the public model was not fetched, or is not a speaker model.
    """
    path = Path(given)
    if str(given) not in PUBLIC_MODELS or path.exists():
        return path
    name = str(given)
    if PUBLIC_MODELS[name].kind != SPEAKER:
        raise InputError(f"{name}: expected a speaker model, this one is for {PUBLIC_MODELS[name].kind}.")
    found = model_folder(name) / file_name
    if not found.is_file():
        raise InputError(f"{name}: this public model is not in {found.parent}. Fetch it first: mindvox fetch {name}")
    return found
