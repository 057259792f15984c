"""Shell commands of the pages: their programs accept them, and each block is run by a test or says why it is not."""

import re
import shlex

import pytest

from mindvox.cli import COMMANDS
from mindvox.config import ROOT
from mindvox.errors import UsageError
from tests.docs.shell_blocks import FENCED, PAGES_RUN, PROGRAMS, ShellBlock, accept, all_blocks

BLOCKS = all_blocks()
CHINESE = {"README_CN.md": "README.md", "docs/modelzoo_CN.md": "docs/modelzoo.md"}
NEW_NAMES = "it needs the file and the line above"  # of tutorials that add a model or a loss
COMMANDS_OF_PAGES = sorted(
    {shlex.join(words) for block in BLOCKS if not block.why.startswith(NEW_NAMES) for words in block.commands()}
)


@pytest.mark.parametrize("command", COMMANDS_OF_PAGES)
def test_command_is_accepted(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    accept(shlex.split(command), monkeypatch)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python train.py --loss.nme=softmax", "nme"),
        ("mindvox train --loss.nme=softmax", "nme"),
        ("mindvox verify a.wav b.wav --treshold 1", "treshold"),
        ("mindvox score a b --veri_file=x", "veri_file"),
        ("python eval.py --model.name=rezet", "rezet"),
        ("python evaluate.py", "evaluate.py"),
        ("python benchmarks/cpp.py --peer PYTHON --piers 1", "--piers"),
        ("bash scripts/run_demo.sh --minutes 3", "--minutes"),
        ("bash scripts/run.sh", "scripts/run.sh"),
        ("bash scripts/train_full_1p.sh --data_path=DB --num_epoch=3", "num_epoch"),
        ("pip install -e .[faster]", "faster"),
        ("mindvoxx verify", "mindvoxx"),
    ],
)
def test_wrong_command_is_not_accepted(command, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((UsageError, AssertionError, FileNotFoundError), match=said):
        accept(shlex.split(command), monkeypatch)


def test_commands_are_taken_from_blocks_without_what_is_open():
    body = "A=1 python train.py [--key=value ...] ... > log 2>&1 &  # why\nsudo bash a.sh \\\n  b && echo 'c d' | cat\n"
    block = ShellBlock("a.md", 0, "", "", body)
    assert block.commands() == [["python", "train.py"], ["bash", "a.sh", "b"], ["echo", "c d"], ["cat"]]


@pytest.mark.parametrize("page", CHINESE)
def test_commands_of_a_page_in_chinese_are_those_of_the_english_one(page):
    chinese = [block.commands() for block in BLOCKS if block.page == page]
    assert chinese == [block.commands() for block in BLOCKS if block.page == CHINESE[page]]


MARKED = [block for block in BLOCKS if block.how == "run by"]


@pytest.mark.parametrize("block", MARKED, ids=lambda block: f"{block.page}:{block.number}")
def test_tests_that_run_a_block_name_its_programs(block):
    paths = [ROOT / path for path in block.why.split(", ")]
    assert all(path.is_file() for path in paths), block.why
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    for words in block.commands():
        if words[0] in ("mindvox", "python", "bash"):
            assert any(name in text for name in _names(words)), f"{block.why}: does not run {' '.join(words)}"


def _names(words: list[str]) -> list[str]:
    """Return what a test may call a command: its subcommand, or its script, or the module that both call."""
    if words[0] == "mindvox":
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in COMMANDS else words[1]
        module = COMMANDS[name].entry.partition(":")[0]
        scripts = [script for script, command in PROGRAMS.items() if command == name]
        return [f'"{name}"', f"mindvox {name}", module, f"import {module.rpartition('.')[2]}\n", *scripts]
    if words[1] == "-m":
        return [f"from {words[2]} import"]
    script = re.sub(r".*/", "", words[1])
    return [script, script.replace("_1p.sh", "_8p.sh")]


def test_every_block_is_run_or_says_why_not():
    unmarked = [
        f"{block.page}: block {block.number}"
        for block in BLOCKS
        if not block.how and block.page not in PAGES_RUN and block.page not in CHINESE
    ]
    assert unmarked == []
    assert all(block.why for block in BLOCKS if block.how)


def test_marks_are_read():
    text = "<!-- not run: Ascend -->\n```bash\nls\n```\n\n```bash\npwd\n```\n"
    assert [(match["how"], match["why"]) for match in FENCED.finditer(text)] == [("not run", "Ascend"), (None, None)]
