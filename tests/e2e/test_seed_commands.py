"""The commands and settings of the model zoo's README, word by word, in a copy of the project on a small corpus.

Paths are replaced, sizes are small, and the Ascend scripts get --device_target=CPU and a rank table for two processes.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import soundfile
import yaml

from mindvox.config import Config, EvalPrepConfig, TrainPrepConfig, load_config
from tests.e2e.corpus import SAMPLE_RATE, voice
from tests.small_model import in_place_of_ecapa

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
SEED = SHARED / "seeds" / "000_mindspore_ecapa_tdnn.txt"
SPEECH = SHARED / "data" / "mini_librispeech"
NUM_SPEAKERS, NUM_TESTED, UTTERANCES = 24, 6, 4

COMMANDS = """
bash data_prepare.sh
python3 merge_data.py hparams/prepare_train.yaml
python train.py > train.log 2>&1 &
bash run_standalone_train_ascend.sh DEVICE_ID
bash run_distribute_train.sh RANK_TABLE_FILE
bash run_eval_ascend.sh DEVICE_ID PATH_CHECKPOINT
python3 train.py > train.log 2>&1 &
bash scripts/run_standalone_train_ascend.sh
grep "loss: " train.log
bash scripts/run_distribute_train_ascend.sh
grep "loss: " train.log
bash run_eval_ascend.sh DEVICE_ID PATH_CHECKPOINT
grep "eer" eval.log
python3 export.py
bash run_infer_310.sh [MINDIR_PATH] [DATA_PATH] [DEVICE_ID]
cat acc.log | grep eer
""".strip().splitlines()

QUICK_START = """
# Change data set path on prepare_train.yaml file
data_folder: /home/abc000/data/voxceleb12  # path to train set
feat_folder: /home/abc000/data/feat_train/ # path to store traing data for mindspore
# Change data set path on prepare_eval.yaml file
data_folder: /home/abc000/data/voxceleb1/ # path to test set
feat_eval_folder: /home/abc000/data/feat_eval/ # path to store test data for mindspore
feat_norm_folder:  /home/abc000/data/feat_norm/ # path to store norm data for mindspore
# Change data set path on edapa-tdnn_config.yaml file
train_data_path: /home/abc000/data/feat_train/
"""

PREPARE_TRAIN = """
output_folder: ./augmented/                             # path to store intermediate result
save_folder: !ref <output_folder>/save/
feat_folder: /home/abc000/data/feat_train/              # path to store training fbank feature
# Data files
data_folder: /home/abc000/data/voxceleb12               # pato to raw wav train data
train_annotation: !ref <save_folder>/train.csv          # pre generated csv file, regenerate if not exist
valid_annotation: !ref <save_folder>/dev.csv            # pre generated csv file, regenerate if not exist
"""

PREPARE_EVAL = """
output_folder: ./augmented_eval/                     # path to store intermediate result
feat_eval_folder: /home/abc000/data/feat_eval/       # path to store eval related fbank feature
feat_norm_folder:  /home/abc000/data/feat_norm/      # path to store norm related fbank feature
data_folder: /home/abc000/data/voxceleb1/            # path to voxceleb1
save_folder: !ref <output_folder>/save/              # path to store intermediate result
"""

CONFIG = """
inChannels: 80                                                  # input channel size, same as the dim of fbank feature
channels: 1024                                                  # channel size of middle layer feature map
base_lrate: 0.000001                                            # base learning rate of cyclic LR
max_lrate: 0.0001                                               # max learning rate of cyclic LR
momentum: 0.95                                                  # weight decay for optimizer
weightDecay: 0.000002                                           # momentum for optimizer
num_epochs: 3                                                   # training epoch
minibatch_size: 192                                             # batch size
emb_size: 192                                                   # embedding dim
step_size: 65000                                                # steps to achieve max learning rate cyclic LR
CLASS_NUM: 7205                                                 # speaker num pf voxceleb1&2
pre_trained: False                                              # if pre-trained model exist
train_data_path: "/home/abc000/data/feat_train/"                # path to fbank training data
keep_checkpoint_max: 30                                         # max model number to save
checkpoint_path: "/ckpt/train_ecapa_vox2_full-2_664204.ckpt"    # path to pre-trained model
ckpt_save_dir: "./ckpt/"                                        # path to store train model
# eval
eval_data_path: "/home/abc000/data/feat_eval/"                  # path to eval fbank data
veri_file_path: "veri_test_bleeched.txt"                        # trials
model_path: "ckpt/train_ecapa_vox2_full-2_664204.ckpt"          # path of eval model
score_norm: "s-norm"                                            # if do norm
train_norm_path: "/data/dataset/feat_norm/"                     # fbank data for norm
"""

WAV_CUT = "wav_cut: true  # if cut the test wav to 3s(same as train data), default false"

# What is another than the seed's, because corpus and machine are small.
SIZES = {"channels": 16, "minibatch_size": 8, "CLASS_NUM": "auto", "model_path": '"ckpt"'}


def test_what_is_kept_here_is_what_the_seed_says():
    if not SEED.exists():
        pytest.skip(f"no {SEED}")
    text = SEED.read_text(encoding="utf-8")
    lines = {" ".join(line.split()) for line in text.splitlines()}
    kept = "\n".join((QUICK_START, PREPARE_TRAIN, PREPARE_EVAL, CONFIG, WAV_CUT)).splitlines()
    assert [line for line in kept if line and " ".join(line.split()) not in lines] == []
    fenced = "\n".join(re.findall(r"```[ \w]*\n(.*?)```", text, re.DOTALL))
    command = re.compile(r"^\s*(?:OR |# )?((?:bash \S+\.sh|python3? \S+\.py|grep|cat acc).*?)\s*$", re.MULTILINE)
    assert command.findall(fenced) == COMMANDS


@pytest.mark.parametrize(
    ("cls", "text", "name"),
    [
        (TrainPrepConfig, PREPARE_TRAIN, "hparams/prepare_train.yaml"),
        (EvalPrepConfig, PREPARE_EVAL, "hparams/prepare_eval.yaml"),
        (Config, CONFIG, "ecapa-tdnn_config.yaml"),
        (Config, WAV_CUT, "ecapa-tdnn_config.yaml"),
        (
            Config,
            'wav_cut: false\n"score_norm": "s-norm"',
            "ecapa-tdnn_config.yaml",
        ),  # second variant: README_CN's quotes
    ],
)
def test_key_lists_load_word_by_word(tmp_path, cls, text, name):
    path = tmp_path / "seed.yaml"
    path.write_text(text)
    config = load_config(cls, [str(path)] if cls is not Config else [f"--config_path={path}"])
    given = yaml.load(text.replace("!ref ", ""), Loader=yaml.SafeLoader)
    for key in given.keys() - {"wav_cut"}:
        assert re.search(rf"^{key}:", (ROOT / name).read_text(), re.MULTILINE), f"{key} is not in {name}"
    if cls is Config and "CLASS_NUM" in given:
        assert (config.class_num, config.pre_trained, config.veri_file_path) == (7205, False, "veri_test_bleeched.txt")
    if "wav_cut" in given:
        assert config.cut_wav is given["wav_cut"]


class Project:
    """A copy of the project under version control, and a user who types in it.

    Args:
        folder: empty; gets `project` and `data`.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.data = folder / "project", folder / "data"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.git("init", "--quiet")
        self.keep_changes()

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=user", "-c", "user.email=user@example.org", "-c", "core.excludesFile=")
        done = subprocess.run(["git", *identity, *words], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def keep_changes(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")

    def type(self, line: str, where: str = ".", **variables: str) -> str:
        """Run a line of the shell as it is, wait for it where it goes into the background, and return its output."""
        environment = {name: value for name, value in os.environ.items() if name != "RANK_TABLE_FILE"}
        environment.update(
            VIRTUAL_ENV=sys.prefix,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            PYTHONPATH=os.environ["PYTHONPATH"].replace(str(ROOT), str(self.root)),
            **variables,
        )
        line = f"{line}\nwait $!" if line.endswith("&") else line
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.root / where, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}{self.read(where, 'train.log')}"
        return done.stdout

    def read(self, *parts: str) -> str:
        path = self.root.joinpath(*parts)
        return path.read_text() if path.exists() else ""

    def set(self, name: str, lines: str) -> None:
        """Replace the lines of a YAML file that have the keys of these lines, each of which must be there."""
        path = self.root / name
        text = path.read_text()
        lines = re.sub(r"/home/abc000/data|/data/dataset", str(self.data), lines)
        for line in filter(lambda line: line and not line.startswith("#"), lines.splitlines()):
            key = line.split(":")[0]
            text, count = re.subn(rf"^{key}:.*", lambda _, line=line: line, text, flags=re.MULTILINE)
            assert count == 1, f"{name}: {key}"
        path.write_text(text)


def write_corpus(folder: Path) -> None:
    """Write voxceleb12 and voxceleb1 with a trial list: real speech where it is, else voices that are made up."""
    (folder / "voxceleb12" / "meta").mkdir(parents=True)
    sources = {
        part: sorted((SPEECH / part / "wav").glob("*")) if SPEECH.exists() else []
        for part in ("voxceleb12", "voxceleb1")
    }
    for part, count in (("voxceleb12", NUM_SPEAKERS), ("voxceleb1", NUM_TESTED)):
        names = []
        for number in range(count):
            speaker = f"id{10001 + number + 100 * (part == 'voxceleb1')}"
            found = sorted(sources[part][number].rglob("*.flac"))[:UTTERANCES] if sources[part] else [None] * UTTERANCES
            for index, source in enumerate(found):
                name = f"{speaker}/1zcIwhmdeo4/{index:05d}.wav"
                path = folder / part / "wav" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                samples = soundfile.read(source)[0] if source else voice(number + 100 * (part == "voxceleb1"), index)
                soundfile.write(path, samples, SAMPLE_RATE)
                names.append(name)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    lines = [f"{int(a.split('/')[0] == b.split('/')[0])} {a} {b}\n" for a, b in pairs]
    (folder / "voxceleb1" / "veri_test2.txt").write_text("".join(lines))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """The quick start up to the settings, and the data."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git: there is no list of the project's files to copy")
    project = Project(tmp_path_factory.mktemp("seed"))
    write_corpus(project.data)
    for block in QUICK_START.split("# Change data set path on ")[1:]:
        name, lines = block.split(" file\n")
        shipped = {"edapa-tdnn_config.yaml": "ecapa-tdnn_config.yaml"}.get(name, f"hparams/{name}")
        project.set(shipped, lines)
    project.set("hparams/prepare_train.yaml", PREPARE_TRAIN)
    project.set("hparams/prepare_eval.yaml", PREPARE_EVAL)
    project.set("ecapa-tdnn_config.yaml", CONFIG)
    project.set("ecapa-tdnn_config.yaml", "\n".join(f"{key}: {value}" for key, value in SIZES.items()))
    project.keep_changes()
    project.prepared = project.type("bash data_prepare.sh")
    return project


@pytest.fixture(scope="module", params=["small", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def trained(request, project) -> Iterator[Project]:
    """The project after training: by default of the small model, with --all of ECAPA-TDNN too."""
    shutil.rmtree(project.root / "ckpt", ignore_errors=True)
    with in_place_of_ecapa() if request.param == "small" else nullcontext():
        project.type("python train.py > train.log 2>&1 &")
        yield project


LOSS = re.compile(
    r"\S+ \S+, epoch:\d+/3, iter-\d+/\d+, aver loss:\d+\.\d{4}, cur loss:\d+\.\d{4}, acc_aver:[01]\.\d{4}"
)


def test_data_prepare_makes_all_that_training_and_evaluation_need(project):
    assert "bash data_prepare.sh hparams/prepare_train_5x.yaml" in project.prepared
    lists = [project.data / "feat_eval" / name for name in ("veri_test2.txt", "veri_test_bleeched.txt")]
    assert len({path.read_bytes() for path in lists}) == 1
    assert (project.data / "feat_norm" / "meta.json").exists()
    assert "records" in project.type("python3 merge_data.py hparams/prepare_train.yaml")
    assert (project.data / "feat_train" / "merged" / "manifest.json").exists()


def test_training_in_the_background_logs_what_grep_finds(trained):
    assert [line for line in trained.read("train.log").splitlines() if LOSS.match(line)]
    found = trained.type('grep "loss: " train.log').splitlines()
    assert len(found) == 3, found  # a line for each epoch
    assert list((trained.root / "ckpt").glob("train_ecapa_vox12-*.ckpt"))


def test_evaluation_export_and_inference_print_what_grep_finds(trained):
    checkpoint = sorted((trained.root / "ckpt").glob("train_ecapa_vox12-3_*.ckpt"))[-1]
    trained.set("ecapa-tdnn_config.yaml", WAV_CUT.replace("wav_cut", "cut_wav"))
    trained.type(f"bash run_eval_ascend.sh 0 {checkpoint} --device_target=CPU", "scripts")
    printed = trained.type('grep "eer" eval.log', "scripts")
    assert re.fullmatch(r"(eer (baseline|sub mean|s-norm):0\.\d{4} .*\n){3}", printed)
    trained.type("python3 export.py")
    trained.type(f"bash run_infer_310.sh ../ecapatdnn.mindir {trained.data / 'feat_eval'} 0", "scripts")
    assert trained.type("cat acc.log | grep eer", "scripts") == printed
    trained.git("checkout", "ecapa-tdnn_config.yaml")


@pytest.mark.slow
def test_five_fold_augmentation_is_one_command_and_can_be_merged(project):
    for kind in ("noise", "rir"):
        (project.data / kind).mkdir()
        samples = voice(200, 0) if kind == "noise" else [1.0, *[0.0] * 200, 0.3]
        soundfile.write(project.data / kind / "1.wav", samples, SAMPLE_RATE)
    name = "hparams/prepare_train_5x.yaml"
    places = {
        "data_folder": "voxceleb12",
        "feat_folder": "feat_5x/",
        "noise_folder": "noise",
        "rir_folder": "rir",
    }
    project.set(name, "\n".join(f"{key}: {project.data / place}" for key, place in places.items()))
    assert "no augmentation" not in project.type(f"bash data_prepare.sh {name}")
    once, five = (
        project.type(f"python3 merge_data.py {yaml} --feat_folder={project.data / store}")
        for yaml, store in (("hparams/prepare_train.yaml", "feat_train"), (name, "feat_5x"))
    )
    counts = [int(re.search(r"(\d+) records", text)[1]) for text in (once, five)]
    assert counts[1] == 6 * counts[0]
    project.git("checkout", name)


def alternatives() -> list:
    standalone = "run_standalone_train_ascend.sh"
    table = "hparams/rank_table_cpu_2.json"
    return [
        ("scripts", f"bash {standalone} 0", "train.log", {}),
        ("scripts", f"bash run_distribute_train.sh ../{table}", "train_parallel0/log", {}),
        (".", "python3 train.py > train.log 2>&1 &", "train.log", {}),
        (".", f"bash scripts/{standalone}", "train.log", {}),
        (".", "bash scripts/run_distribute_train_ascend.sh", "train_parallel0/log", {"RANK_TABLE_FILE": table}),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "line", "log", "variables"), alternatives())
def test_every_other_way_to_train_leaves_its_log_and_checkpoints_where_it_is_called(
    project, tmp_path, where, line, log, variables
):
    shutil.rmtree(project.root / where / "ckpt", ignore_errors=True)  # each is instead of the others
    project.type(line if line.endswith("&") else f"{line} --device_target=CPU", where, **variables)
    assert LOSS.match(next(line for line in project.read(where, log).splitlines() if "aver loss" in line))
    assert len(project.type(f'grep "loss: " {log}', where).splitlines()) == 3
    assert list((project.root / where / "ckpt").glob("train_ecapa_vox12-3_*.ckpt"))


# Outputs of the commands in README.md and docs/. Second variants: what no test here writes; other formats; scripts/.
OUTPUTS = """
train.log eval.log acc.log scripts/train.log scripts/acc.log ckpt/best.ckpt ckpt/tensorboard/x scripts/ckpt/x.ckpt
ckpt_large_margin/x.ckpt npys/results.json npys3s/x infer_result/scores.tsv scripts/infer_result/x
augmented/save/train.csv augmented_eval/save/norm.csv train_parallel0/log scripts/train_parallel11/log kernel_meta/x
rank_0/om/analyze_fail.ir
ecapatdnn.mindir ecapatdnn.mindir.json ecapatdnn.onnx ecapatdnn.onnx.json ecapatdnn.air ecapatdnn.air.json ecapatdnn.xml
ecapatdnn.bin ecapatdnn.xml.json scripts/ecapatdnn.mindir.json demo/ckpt/x libri/voxceleb12/wav libri_out/x
imported/ecapa.ckpt rooms/x.wav bench/input/x input/x speaker/x result/x calibration.json fusion.json fused.tsv plda/x
train/train_1P/DNNS/x/eers.txt scripts/train/train_8P/x train/stores/train/x features/x tables/x models/x exp/x exps/x
results/x cross.txt plda.tsv report.html pictures/x.png accuracy/x ascend310_infer/build/ecapa_infer .venv/x
"""
SOURCES = (
    "src/mindvox/corpus/demo.py",
    "src/rooms/x.py",
    "tests/test/x.py",
    "hparams/rank_table_8.json",
    "docs/x.json",
    "src/mindvox/models/x.py",
    "src/mindvox/train/x.py",
)


def test_outputs_are_ignored_by_git_and_sources_are_not(project):
    ignored = project.git("check-ignore", "--no-index", *OUTPUTS.split(), *SOURCES)
    assert ignored.split() == OUTPUTS.split()
    assert project.git("ls-files", "--cached", "--ignored", "--exclude-standard") == ""


def test_nothing_that_commands_have_written_shows_in_git_status(project):
    """Runs last: the tests above have typed the commands."""
    assert project.git("status", "--porcelain") == ""
