"""Two of each command at once in one folder: no traceback, no mixed result (issue 12, B11).

Second variants, which the issue's text does not name: two parts of one store, a whole store beside a part of it, two
evaluations of different checkpoints, training whose second process is refused, downloads, a benchmark's features.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindvox.cli import COMMANDS
from mindvox.cli.speaker_batches import enrol_main
from mindvox.data.train_store import read_manifest
from mindvox.files import sha256_file
from mindvox.home import VARIABLE
from mindvox.models.checkpoint import (
    checkpoint_path,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from mindvox.scoring import calibrate, convert, plda
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.speakers.store import open_store
from tests.corpus.archives import wav, zipped
from tests.corpus.file_server import serve
from tests.deploy.converter import converter_in, model_of
from tests.deploy.toy import make_checkpoint, write_toy
from tests.e2e.at_once import AtOnce, Done
from tests.e2e.corpus import YAML, write_corpus
from tests.processes import must
from tests.small_model import in_place_of_ecapa, real_ecapa

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "deploy" / "reference"
CONFIG = "--config_path=ecapa-tdnn_config.yaml"
EVALUATION = (CONFIG, "--emb_size=6", "--allow_seen_speakers=true")  # the toy has no table of its speakers


def script(name: str, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / name), *words]


def module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", name, *words]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[Path]:
    """A folder in which every command finds what it needs: stores, two models of different weights, an exported one.

    The two are of the small model, in ECAPA-TDNN's place: what two commands do at once does not depend on the model.
    """
    folder = tmp_path_factory.mktemp("world")
    ecapa = make_checkpoint(folder / "ecapa")
    write_toy(ecapa, folder / "ecapatdnn.onnx", "--length=0", "--batch_size=0")
    write_corpus(folder / "corpus")
    for name, text in YAML.items():
        (folder / name).write_text(text)
    must(folder, *script("train_data_prepare.py", "prepare_train.yaml"))
    must(folder, *script("eval_data_prepare.py", "prepare_eval.yaml"))
    with in_place_of_ecapa():
        write_checkpoints(folder)
        must(folder, *script("eval.py", *EVALUATION, "--npy_file_path=made"))
        write_for_scoring(folder)
        model_of(folder)
        converter_in(folder / "bin")
        if importlib.util.find_spec("onnx"):
            write_people(folder)
        yield folder


def write_people(folder: Path) -> None:
    """Write recordings of five speakers, a model and a detector for them, and the store in which they are enrolled."""
    from tests.service.toys import recording, write_home

    for speaker in range(1, 6):
        (folder / "people" / f"p{speaker}").mkdir(parents=True)
        for number in range(2):
            (folder / "people" / f"p{speaker}" / f"{number}.wav").write_bytes(recording(speaker, number))
    write_home(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "home"))
        enrol_main([str(folder / "people"), f"--model={folder / TOY}", f"--store={folder / 'speakers.db'}"])


def write_for_scoring(folder: Path) -> None:
    """Write a calibration, PLDA and Kaldi's archive."""
    made = folder / "made"
    calibrate.main(["fit", f"{made}/scores.tsv:baseline", f"--to={folder}/calibration.json", "--ridge=0.01"])
    plda.main(["fit", f"{made}/norm", "--to", str(folder / "plda")])
    if importlib.util.find_spec("kaldiio"):
        convert.main(["export", f"{made}/eval", str(folder / "kaldi")])


def write_checkpoints(folder: Path) -> None:
    """Write two checkpoints of one run into ckpt, and one of other weights into ckpt2."""
    arrays, meta = read_checkpoint(make_checkpoint(folder / "ckpt"))
    rng = np.random.default_rng(0)
    for name, epoch in (("ckpt", 2), ("ckpt2", 1)):
        changed = {key: array + 0.1 * rng.random(array.shape) for key, array in arrays.items()}
        parameters = {key: Parameter(Tensor(array.astype(np.float32)), name=key) for key, array in changed.items()}
        (folder / name).mkdir(exist_ok=True)
        write_checkpoint(checkpoint_path(folder / name, "ecapa_tdnn", epoch, 2 * epoch), parameters, meta)


def content(folder: Path) -> dict[str, str]:
    """Return the hashes of all files below a folder, of meta.json without the times of the files beside it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "meta.json":
                data = json.dumps({**json.loads(data), "files": None}, sort_keys=True).encode()
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def same_weights(folder: Path) -> dict:
    """Return the weights of all checkpoints, whose files hold the time too."""
    weights = {path.name: read_checkpoint(path)[0] for path in sorted(folder.rglob("*.ckpt"))}
    return {
        name: {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in arrays.items()}
        for name, arrays in weights.items()
    }


def whole_export(folder: Path) -> dict:
    """Return what is said of an exported model, which must be the file beside it."""
    said = json.loads((folder / "model.mindir.json").read_text())
    assert said.pop("file_sha256") == sha256_file(folder / "model.mindir")
    return said


def whole_store(folder: Path) -> str:
    """Return the identity of the training store in a folder."""
    for shard in read_manifest(folder / "store").shards:
        assert sha256_file(folder / "store" / shard.file) == shard.sha256
    return read_manifest(folder / "store").sha256


def whole_plda(folder: Path) -> dict:
    """Return the arrays of a PLDA, whose file holds the time too, and what is said of them."""
    with np.load(folder / "plda.npz") as arrays:
        found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    return {**found, "json": json.loads((folder / "plda.json").read_text())}


def whole_ir(folder: Path) -> dict:
    """Return what is said of an exported model, whose two files must be what it says."""
    said = json.loads((folder / "model.xml.json").read_text())
    assert said.pop("file_sha256") == sha256_file(folder / "model.xml")
    assert said.pop("weights_sha256") == sha256_file(folder / "model.bin")
    return said


def enrolled(folder: Path) -> dict:
    """Return the embeddings of who is enrolled."""
    with open_store(str(folder / "speakers.db")) as store:
        samples = {name: store.get(name).samples for name in store.names()}
    return {name: [(one.source, one.embedding.tolist()) for one in found] for name, found in samples.items()}


def prepare(*options: str) -> list[str]:
    places = ("--output_folder=out/tables", "--feat_folder=out/store", "--shard_utterances=4", "--num_processes=1")
    return script("train_data_prepare.py", "prepare_train.yaml", *places, *options)


PREPARE_EVAL = ("--output_folder=out/tables", "--feat_eval_folder=out/eval", "--feat_norm_folder=out/norm")
MAKE_EVAL = script("eval_data_prepare.py", "prepare_eval.yaml", *PREPARE_EVAL)
AVERAGE = ("ckpt", "--last=2", "--to=out/mean.ckpt")
INFER = ("--config_path=../ecapa-tdnn_config.yaml", "--train_norm_path=../features/norm")
IMPORT = (str(REFERENCE / "speechbrain.ckpt"), "--from=speechbrain", "--to=out/model.ckpt")
DEMO = ("out/demo", "--num_voices=12", "--utterances=2")
FIT = ("fit", "made/scores.tsv:baseline", "--to=out/calibration.json", "--ridge=0.01")
APPLY = ("apply", "calibration.json", "made/scores.tsv", "--to=out/llr.tsv", "--allow_seen_speakers")
SCORE_PLDA = ("score", "plda", "made/eval", "corpus/voxceleb1/veri_test2.txt", "--to=out/plda.tsv")
LOAD = ("import", "kaldi.ark", "out", "--utt2spk=kaldi.utt2spk", "--model=toy")
TOY = Path("home", "models", "toy", "model.onnx")  # of the people
BY_TOY = ("people", f"--model={TOY}")
IR = ("--file_name=out/model", "--file_format=IR", "--length=0", "--batch_size=0")
CONVERT_310 = [
    "bash",
    "-c",
    'export PATH=$PWD/bin:$PATH LITE_HOME= MS_LITE_HOME= "EXPECTED_MODEL=$PWD/m o+d.mindir"; exec bash "$@"',
    "-",
    str(ROOT / "scripts" / "convert_310.sh"),
    "m o+d.mindir",
    "out/model.mindir",
    "--frames=200,300",
]
PAIRS: dict[str, tuple[list[str], Callable[[Path], object]]] = {
    "convert_audio": (module("mindvox.corpus.convert", "corpus/voxceleb1/wav", "out", "--audio_format=flac"), content),
    "intake": (module("mindvox.corpus.intake", "corpus/voxceleb12", "out"), content),
    "make_trials": (module("mindvox.corpus.make_trials", "corpus/voxceleb1", "out/trials.txt"), content),
    "demo_corpus": (module("mindvox.corpus.demo", *DEMO), content),
    "prepare_train": (prepare(), content),
    "prepare_eval": (MAKE_EVAL, content),
    "prepare_merge": (script("merge_data.py", "prepare_train.yaml", "--feat_folder_merge=out"), content),
    "eval": (script("eval.py", *EVALUATION, "--npy_file_path=out"), content),
    "score": (module("mindvox.scoring.score", "out", "features/eval", CONFIG), content),
    "infer": (module("mindvox.deploy.infer", "../ecapatdnn.onnx", "../features/eval", *INFER), content),
    "embed": (module("mindvox", "embed", "corpus/voxceleb1/wav", "--model=ecapatdnn.onnx", "--out=out"), content),
    "embed_file": (module("mindvox", "embed", *BY_TOY, "--out=out/found.npz"), content),
    "embed_workers": (module("mindvox", "embed", *BY_TOY, "--out=out", "--workers=2"), content),
    "enrol_all": (module("mindvox", "enrol-all", *BY_TOY, "--store=out/speakers.db"), enrolled),
    "identify_all": (
        module("mindvox", "identify-all", *BY_TOY, "--store=speakers.db", "--out=out/found.jsonl"),
        content,
    ),
    "calibrate_pairs": (module("mindvox", "calibrate", "pairs", *BY_TOY, "--to=out/own.json"), content),
    "diarize": (
        module("mindvox", "diarize", "people/p1/0.wav", f"--model={TOY}", "--segmentation=silero", "--out=out"),
        content,
    ),
    "make_conversations": (
        module("mindvox", "make-conversations", "people", "out", "--num=2", "--speakers", "2", "2", "--speech=2"),
        content,
    ),
    "export": (script("export.py", CONFIG, "--emb_size=6", "--file_name=out/model"), whole_export),
    "export_ir": (script("export.py", CONFIG, "--emb_size=6", *IR), whole_ir),
    "average_checkpoints": (module("mindvox.training.average_checkpoints", *AVERAGE), same_weights),
    "import_weights": (module("mindvox.deploy.import_weights", *IMPORT), same_weights),
    "convert_310": (CONVERT_310, whole_export),
    "calibrate": (module("mindvox.scoring.calibrate", *FIT), content),
    "calibrate_apply": (module("mindvox.scoring.calibrate", *APPLY), content),
    "report": (module("mindvox.scoring.report", "made", "--to=out/report.html", "--plots=out/plots"), content),
    "plda": (module("mindvox.scoring.plda", "fit", "made/norm", "--to=out"), whole_plda),
    "plda_score": (module("mindvox.scoring.plda", *SCORE_PLDA), content),
    "convert_scores_import": (module("mindvox.scoring.convert", *LOAD), content),
    "convert_scores": (module("mindvox.scoring.convert", "export", "made/eval", "out/made"), content),
    "make_rooms": (module("mindvox.corpus.make_rooms", "out", "--count=5"), content),
    "bench": (module("mindvox.deploy.bench", "preprocess", "corpus/voxceleb1", "out/input", "out/speaker"), content),
}
REFUSED = {"intake": "has .* already", "make_trials": "exists already"}  # what the second one says
REFUSED["identify_all"] = "writes here: wait for it, or end it"
OTHERWISE = {"get-data", "train", "train-distributed", "fetch"}  # below, and in tests/deploy/test_pretrained.py
OTHERWISE |= {"import", "train-rawnet2"}  # as import-weights and train
OTHERWISE |= {"enrol", "identify", "speakers"}  # tests/speakers/test_processes.py
OTHERWISE |= {"infer-recognition"}  # tests/compat: a menu, which one person uses
OTHERWISE |= {"serve", "tokens"}  # tests/service
SLOW = {"demo_corpus", "embed_workers", "export_ir"}
READ_ONLY = {"check-parity", "doctor", "infer-contrast", "summary", "verify", "models", "score-rttm"}
IMPORTED_LATE = {  # by the commands; here once for all times
    "average_checkpoints": ["mindspore"],
    "calibrate_pairs": ["mindvox.cli.calibrate_pairs", "onnxruntime"],
    "diarize": ["mindvox.cli.diarize", "onnxruntime"],
    "embed": ["mindvox.cli.embed", "onnxruntime"],
    "embed_file": ["mindvox.cli.embed", "onnxruntime"],
    "embed_workers": ["mindvox.cli.embed", "onnxruntime"],
    "enrol_all": ["mindvox.cli.speaker_batches", "onnxruntime"],
    "export_ir": ["mindspore", "openvino"],
    "identify_all": ["mindvox.cli.speaker_batches", "onnxruntime"],
    "import_weights": ["mindspore"],
    "infer": ["openvino"],
    "make_conversations": ["mindvox.cli.make_conversations", "onnxruntime"],
    "prepare_train": ["mindspore.mindrecord"],
    "make_rooms": ["pyroomacoustics"],
    "prepare_merge": ["mindspore.mindrecord"],
}
NEEDS = {
    **dict.fromkeys(("embed", "embed_file", "embed_workers"), "onnxruntime"),
    **dict.fromkeys(("calibrate_pairs", "diarize", "enrol_all", "identify_all", "make_conversations"), "onnxruntime"),
    "export_ir": "openvino",
    "infer": "openvino",
    "convert_scores": "kaldiio",
    "convert_scores_import": "kaldiio",
    "make_rooms": "pyroomacoustics",
    "demo_corpus": "espeakng_loader",
    "report": "matplotlib",
}


def start(folder: Path, command: Sequence[str]) -> subprocess.Popen:
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def both(folder: Path, first: Sequence[str], second: Sequence[str]) -> list[tuple[int, str, str]]:
    """Run two commands at once; return exit codes, outputs and errors."""
    processes = [start(folder, command) for command in (first, second)]
    done = [(*process.communicate(timeout=600), process.returncode) for process in processes]
    for _, errors, _ in done:
        assert "Traceback" not in errors, errors
    return [(code, output, errors) for output, errors, code in done]


def empty_out(world: Path, name: str) -> Path:
    """Return the folder of results, empty or with what the command begins with."""
    out = world / "out"
    shutil.rmtree(out, ignore_errors=True)
    if name == "score":
        shutil.copytree(world / "made", out)
    elif name == "infer":
        out.mkdir()
    return out


def test_every_command_that_writes_is_tried_twice_at_once():
    writing = set(COMMANDS) - OTHERWISE - READ_ONLY
    assert {name.replace(" ", "_").replace("-", "_") for name in writing} <= PAIRS.keys()


Run = Callable[..., list[Done]]  # folder and further arguments of each process to how they ended


@pytest.fixture(scope="module")
def servers(world) -> Iterator[tuple[AtOnce, AtOnce]]:
    """Processes that fork commands: with the small model, and with ECAPA-TDNN."""
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, VARIABLE: str(world / "home")}
    with AtOnce(environment) as small, AtOnce(real_ecapa(environment)) as real:
        yield small, real


@pytest.fixture
def at_once(servers) -> Callable[[str, Sequence[str]], Run]:
    """A function from a command's name and words to a function that runs it."""

    def of_command(name: str, command: Sequence[str]) -> Run:
        if name in NEEDS:
            pytest.importorskip(NEEDS[name])
        server = servers[name == "import_weights"]
        return partial(server.run, command, preloaded=IMPORTED_LATE.get(name, ()))

    return of_command


@pytest.mark.parametrize("num_times", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PAIRS]
)
def test_two_at_once_give_what_one_gives(world, at_once, name, num_times):
    command, result_of = PAIRS[name]
    run = at_once(name, command)
    out = empty_out(world, name)
    folder = out if name == "infer" else world
    (single,) = run(folder, ())
    assert single.code == 0, single.errors
    expected = result_of(out)
    for _ in range(num_times):
        empty_out(world, name)
        done = sorted(run(folder, (), ()))
        assert not any("Traceback" in process.errors for process in done), done
        codes = [process.code for process in done]
        if name in REFUSED and (name != "identify_all" or codes != [0, 0]):  # whose second may come after the first
            assert codes == [0, 1] and re.search(REFUSED[name], done[1].errors), done
        else:
            assert codes == [0, 0], done
        assert result_of(out) == expected
        assert not list(out.rglob(".*")), "a lock or a temporary file is left"


# Commands that write several files which belong together, with two inputs.
DIFFERENT: dict[str, tuple[list[str], list[str], list[str], Callable[[Path], object]]] = {
    "bench": (PAIRS["bench"][0], ["--frames=60"], ["--frames=90"], content),
    "convert_scores": (
        module("mindvox.scoring.convert", "export"),
        ["made/eval", "out/made"],
        ["made/norm", "out/made"],
        content,
    ),
    "convert_scores_import": (PAIRS["convert_scores_import"][0], ["--model=toy"], ["--model=other"], content),
    "export": (PAIRS["export"][0], ["--model_path=ckpt"], ["--model_path=ckpt2"], whole_export),
    "make_rooms": (PAIRS["make_rooms"][0], ["--seed=1"], ["--seed=2"], content),
    "plda": (PAIRS["plda"][0], ["--lda_dim=2"], ["--lda_dim=3"], whole_plda),
}


@pytest.mark.parametrize("num_times", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DIFFERENT)
def test_two_different_at_once_leave_the_result_of_one(world, at_once, name, num_times):
    command, first, second, result_of = DIFFERENT[name]
    run = at_once(name, command)
    results = []
    for words in (first, second):
        out = empty_out(world, name)
        (single,) = run(world, words)
        assert single.code == 0, single.errors
        results.append(result_of(out))
    assert results[0] != results[1]
    for _ in range(num_times):
        empty_out(world, name)
        done = run(world, first, second)
        assert not any("Traceback" in process.errors for process in done), done
        assert {process.code for process in done} <= {0, 1} and any(process.code == 0 for process in done), done
        assert result_of(out) in results


@pytest.mark.parametrize("words", [("--part=1/2", "--part=2/2"), ("--part=1/1", "--part=1/2")])
def test_parts_of_one_store_are_made_at_once(world, words):
    expected = single_store(world)
    out = empty_out(world, "parts")
    for code, _, errors in both(world, *(prepare(word) for word in words)):
        assert code == 0, errors
    assert whole_store(out) == expected


def single_store(world: Path) -> str:
    out = empty_out(world, "single")
    must(world, *prepare())
    return whole_store(out)


def test_second_preparation_says_for_whom_it_waits(world):
    empty_out(world, "wait")
    done = both(world, prepare(), prepare())
    said = [line for _, _, errors in done for line in errors.splitlines() if "waiting for process" in line]
    assert len(said) == 1 and "(train_data_prepare.py prepare_train.yaml" in said[0]
    assert sum("already prepared" in output for _, output, _ in done) == 1


def test_evaluations_of_two_models_do_not_mix(world):
    evaluate = script("eval.py", *EVALUATION, "--npy_file_path=out")
    for times in range(2):
        empty_out(world, "eval")
        done = both(world, evaluate, [*evaluate, "--model_path=ckpt2"])
        assert [code for code, _, _ in done] == [0, 0]
        results = json.loads((world / "out" / "results.json").read_text())
        last = EmbeddingStore.open(world / "out" / "eval").identity
        assert {results[part]["model_sha256"] for part in ("evaluation", "cohort")} == {last.model_sha256}, times
        printed = {output.split("eer baseline:")[1][:6] for _, output, _ in done}
        assert f"{results['results']['baseline']['eer']:.4f}" in printed


def test_scripts_that_write_one_log_do_not_mix(world):
    empty_out(world, "scripts")
    command = ["bash", str(ROOT / "scripts" / "run_eval_ascend.sh"), "0"]
    options = [*EVALUATION, "--device_target=CPU", "--npy_file_path=out"]
    done = both(world, [*command, "ckpt", *options], [*command, "ckpt2", *options])
    assert [code for code, _, _ in done] == [0, 0], done
    assert any("eval.log: waiting for another run" in errors for _, _, errors in done)
    assert (world / "eval.log").read_text().count("eer baseline:") == 1


def test_second_training_is_refused(world):
    train = script("train.py", CONFIG, "--ckpt_save_dir=out/ckpt")
    out = empty_out(world, "train")
    first, second = sorted(both(world, train, train))
    assert first[0] == 0 and second[0] == 1
    assert "writes here: wait for it, or end it" in second[2] or "holds checkpoints of an earlier run" in second[2]
    assert len(list_checkpoints(out / "ckpt")) == 1


def test_two_downloads_at_once_fetch_once(tmp_path):
    archive = zipped({"RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav": wav()})
    with serve({"/28/rirs_noises.zip": archive}) as server:
        words = ("data", "rirs", f"--openslr_url={server.url}")
        sums = tmp_path / "md5"
        sums.write_text(f"{hashlib.md5(archive).hexdigest()}  rirs_noises.zip\n")
        command = module("mindvox.corpus.get_data", *words, f"--md5={sums}")
        for code, _, errors in both(tmp_path, command, command):
            assert code == 0, errors
        assert len(server.requests) == 1
