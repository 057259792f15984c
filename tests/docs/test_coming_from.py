"""docs/coming-from.md: every command of ours is accepted, every key exists."""

import argparse
import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from mindvox.cli import main as mindvox
from mindvox.compat import rawnet2
from mindvox.config import ROOT, Config, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.config.load import all_spellings
from mindvox.config.option import spellings
from mindvox.config.sections import SECTIONS
from mindvox.errors import UsageError
from mindvox.frontend.augment import STAGES, STEPS
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, POOLINGS, SAMPLERS, SCHEDULES
from mindvox.scoring.peer_lines import PEERS

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
FENCED = re.compile(r"```bash\n(.*?)```", re.DOTALL)
OURS = re.compile(r"(mindvox [a-z]|python \w+\.py|bash scripts/)")
# Scripts that call one Python program with their arguments, and those whose arguments they check by themselves.
SHELL = {"run_distribute_train.sh", "run_bench_310p.sh", "convert_310.sh", "run_tests.sh"}
CONFIGURED = {
    "train.py": Config, "eval.py": Config, "export.py": Config,
    "train_data_prepare.py": TrainPrepConfig, "eval_data_prepare.py": EvalPrepConfig,
}  # fmt: skip


class ParsedError(Exception):
    """Arguments were accepted: nothing is to be done with them."""


def fenced() -> list[str]:
    """The commands of the page's blocks."""
    lines = "\n".join(FENCED.findall(PAGE)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def last_cells() -> list[str]:
    """What stands in backticks in the last column of the page's tables, without the theirs of "`theirs` is `ours`"."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    cells = [row.rstrip(" |").rpartition(" | ")[2] for row in rows]
    return [text for cell in cells for text in re.findall(r"`([^`]+)`", re.sub(r"`[^`]+` (is )?(?=`)", "", cell))]


def commands() -> list[str]:
    """Every command of ours on the page."""
    found = [*fenced(), *(text for text in last_cells() if OURS.match(text))]
    return list(dict.fromkeys(found))


def accept(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command's own parser read its arguments; it raises where they are wrong."""
    program, *words = shlex.split(command)
    if program == "bash":
        name = Path(words[0]).name
        match = re.fullmatch(r"train_(full|performance)_([18])p\.sh", name)
        if match is None:
            assert name in SHELL and (ROOT / words[0]).is_file()
            return
        program, words = "mindvox", ["train-rawnet2", *match.groups(), *words[1:]]
    if program == "python":
        cls = CONFIGURED[words[0]]
        load_config(cls, words[1:], check=SECTIONS if cls is Config else ("front_end",))
        return
    assert program == "mindvox"
    if words[0] == "train-rawnet2":
        arguments, keys = rawnet2._parse(words[1:])
        experiment = rawnet2.Experiment(True, arguments.data_path, Path("s"), Path("o"), arguments.name, tuple(keys))
        experiment.config(experiment.folder(1), "CPU")
        return
    stop_after_parsing(monkeypatch)
    with pytest.raises(ParsedError):
        mindvox(words)


def stop_after_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first parser that is asked raise ParsedError when it has accepted its arguments."""
    depth = 0

    def wrapped(parse):
        def call(self, *arguments, **keys):
            nonlocal depth
            depth += 1
            try:
                found = parse(self, *arguments, **keys)
            finally:
                depth -= 1
            if depth == 0:
                raise ParsedError
            return found

        return call

    for name in ("parse_args", "parse_known_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, wrapped(getattr(argparse.ArgumentParser, name)))


@pytest.mark.parametrize("command", commands())
def test_command_is_accepted(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    accept(re.sub(r"\b(RANK_TABLE_FILE)\b", "hparams/rank_table_cpu_2.json", command), monkeypatch)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python train.py --loss.nme=softmax", "nme"),
        ("python eval.py --model.name=rezet", "rezet"),
        ("bash scripts/train_full_1p.sh --data_path=DB --num_epoch=3", "num_epoch"),
    ],
)
def test_wrong_command_is_not_accepted(command, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError, match=said):
        accept(command, monkeypatch)


def known_names() -> set[str]:
    """Keys of every configuration and class, names of classes, stages and steps."""
    names = {name for cls in (Config, TrainPrepConfig, EvalPrepConfig) for name in all_spellings(cls)}
    registries = {"model": MODELS, "loss": LOSSES, "front_end": FRONT_ENDS, "sampler": SAMPLERS, "schedule": SCHEDULES}
    for section, registry in registries.items():
        names |= {f"{section}.name", *registry}
        for name in registry:
            keys = {key for field in dataclasses.fields(registry.get(name).Options) for key in spellings(field)}
            names |= keys | {f"{section}.{key}" for key in keys}
    return names | set(POOLINGS) | set(STAGES) | set(STEPS) | set(PEERS)


WORDS = {  # in backticks in last columns, and no key
    "tensorboard", "results.json", "scores.tsv", "best.ckpt", "config.yaml", "Embedder.open",
    "accuracy", "acc_aver", "left", "lr",  # in the log
}  # fmt: skip


def test_every_key_in_the_tables_exists():
    known = known_names()
    given = [re.fullmatch(r"([a-zA-Z_][\w.]*)(: .*)?", text) for text in last_cells() if not OURS.match(text)]
    names = {match[1] for match in given if match}
    unknown = {name for name in names if name not in known and name not in WORDS}
    assert unknown == set()


def test_every_section_of_the_page_has_tables_and_is_in_its_list():
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    listed = re.findall(r"^- \[.+?\]\(#(.+?)\)$", PAGE, re.MULTILINE)
    assert [re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in titles] == listed


SEEDS = ROOT.parent / "shared" / "seeds"
# git's and pip's, an address, folders behind two dashes, and a script that the guide's remarks alone name.
NOT_OURS = {"--recursive", "setup.py", "url", "--TA_", "--best_opt_eval", "--speaker", "onnx2om.sh"}


@pytest.mark.parametrize("name", ["001_*", "002_*", "003_*", "004_*"])
def test_every_flag_script_and_key_of_a_seed_is_on_the_page(name):
    found = list(SEEDS.glob(name))
    if not found:
        pytest.skip(f"no {SEEDS / name}")
    text = found[0].read_text(encoding="utf-8")
    flags = re.findall(r"(?<![\w-])(--[a-zA-Z]\w*)", text)
    scripts = [path.rpartition("/")[2] for path in re.findall(r"[a-zA-Z0-9_./]+\.(?:py|sh)\b", text)]
    printed = re.findall(r"print_arguments:\d+ - +([a-zA-Z_]\w*):", text)
    keys = re.findall(r"^\s*([a-z_]+):", text, re.MULTILINE)
    words = {*flags, *scripts, *printed, *keys} - NOT_OURS
    assert {word for word in words if not re.search(rf"(?<!\w){re.escape(word)}\b", PAGE)} == set()
