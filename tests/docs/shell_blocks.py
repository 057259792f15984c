"""Blocks of shell commands in the pages, and whether the programs accept their arguments."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mindvox.cli import COMMANDS
from mindvox.cli import main as mindvox
from mindvox.compat import rawnet2
from mindvox.config import ROOT, Config, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.config.load import all_spellings
from mindvox.config.sections import SECTIONS
from mindvox.docs import __main__ as docs
from mindvox.docs.blocks import pages

FENCED = re.compile(
    r"(?m)^(?:<!-- (?P<how>run by|not run): (?P<why>.*?) -->\n)?( *)```bash\n(?P<body>.*?)^ *```$", re.DOTALL
)
WALKS = (
    ("README.md",),
    ("docs/verify.md",),
    ("docs/tutorials/own-recordings.md", "docs/tutorials/fine-tune.md"),
    ("docs/tutorials/diarize.md",),
)
"""Pages whose blocks without a mark are run in order, from nothing, each line of pages in one folder."""
PAGES_RUN = [page for walk in WALKS for page in walk]
OPTIONAL = re.compile(r" \[[^\]]*\]| \.\.\.(?= |$)")
PROGRAMS = {"train.py": "train", "eval.py": "eval", "export.py": "export", "train_data_prepare.py": "prepare train"}
PROGRAMS |= {"eval_data_prepare.py": "prepare eval", "merge_data.py": "prepare merge"}
CONFIGURED = {"train": Config, "eval": Config, "export": Config, "prepare eval": EvalPrepConfig}
CONFIGURED |= {"prepare train": TrainPrepConfig, "prepare merge": TrainPrepConfig}
TAKE_KEYS = {"score": Config, "infer": Config}
"""Commands that take any key of a configuration behind their own arguments."""
SCRIPT_KEYS = (*all_spellings(Config), *all_spellings(TrainPrepConfig), *all_spellings(EvalPrepConfig))
OTHERS = {"awk", "cat", "cd", "cmake", "dask", "echo", "export", "grep", "ln", "mkdir", "pre-commit", "read", "source"}
OTHERS |= {"ecapa_infer", "tensorboard", "mkdocs", "curl", "docker", "openssl", "systemctl"}
"""Programs whose arguments are not looked at."""


class ParsedError(Exception):
    """Arguments were accepted: nothing is to be done with them."""


class ShellBlock(NamedTuple):
    """A block of shell commands.

    Attributes:
        page: path below the project.
        number: of the block on its page, from 0.
        how: "run by", "not run", or empty: its page is one of WALKS, which test_blocks_run.py runs.
        why: the tests that run it, or the reason why none does.
        body: its text.
    """

    page: str
    number: int
    how: str
    why: str
    body: str

    def commands(self) -> list[list[str]]:
        """Return the words of each command, without what is optional or left open."""
        found = []
        for text in self.body.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(OPTIONAL.sub("", text), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            found += _commands(list(lexer))
        return found


def _commands(tokens: list[str]) -> list[list[str]]:
    """Return the words of each command of a line, without redirections, variables and sudo."""
    found: list[list[str]] = [[]]
    skip = False
    for token in tokens:
        if skip:
            skip = False
        elif re.fullmatch(r"[&|;]+", token):
            found.append([])
        elif re.fullmatch(r"\d?[<>]+&?", token):
            skip = True
            if "&" in token and found[-1]:
                found[-1].pop()  # 2 of 2>&1
        elif found[-1] or not re.match(r"\w+=|sudo$", token):
            found[-1].append(token)
    return [words for words in found if words]


def blocks_of(page: Path) -> Iterator[ShellBlock]:
    """Return the shell blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for number, match in enumerate(FENCED.finditer(text)):
        yield ShellBlock(str(page.relative_to(ROOT)), number, match["how"] or "", match["why"] or "", match["body"])


def all_blocks() -> list[ShellBlock]:
    """Return the shell blocks of all pages."""
    return [block for page in pages() for block in blocks_of(page)]


def accept(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command's own parser read its arguments; it raises, or an assertion fails, where they are wrong."""
    program, *rest = words
    if program == "bash":
        _accept_script(rest)
    elif program in ("python", "python3", "python3.11"):
        _accept_python(rest)
    elif program == "mindvox":
        _accept_mindvox(rest, monkeypatch)
    elif program == "pip":
        text = (ROOT / "pyproject.toml").read_text()
        for extra in re.findall(r"\[(\w+)\]", " ".join(rest)):
            assert re.search(rf"(?m)^{extra} = \[", text), f"no extra {extra}"
    else:
        assert program in OTHERS or program.startswith("~/"), f"{program}: a program that no test knows"


def _accept_script(words: list[str]) -> None:
    path, *rest = words
    assert (ROOT / path).is_file(), f"no script {path}"
    match = re.fullmatch(r"train_(full|performance)_([18])p\.sh", Path(path).name)
    if match:
        _accept_rawnet2([*match.groups(), *rest])
        return
    text = (ROOT / path).read_text()
    for name in re.findall(r"(?<=^--)[\w.]+", "\n".join(rest), re.MULTILINE):
        assert name in SCRIPT_KEYS or f"--{name}" in text, f"{path} has no --{name}"


def _accept_python(words: list[str]) -> None:
    name, *rest = words
    if name in PROGRAMS:
        _accept_keys(PROGRAMS[name], rest)
    elif words[:2] == ["-m", "mindvox.docs"]:
        docs._parser().parse_args(words[2:])
    elif words[:2] == ["-m", "pytest"]:
        assert all((ROOT / path).exists() for path in words[2:] if path.startswith("tests")), words
    elif name != "-m":
        text = (ROOT / name).read_text()
        for flag in re.findall(r"(?<=^--)[\w.]+", "\n".join(rest), re.MULTILINE):
            assert f"--{flag}" in text, f"{name} has no --{flag}"


def _accept_mindvox(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    rest = words[len(name.split()) :]
    if name in CONFIGURED:
        _accept_keys(name, rest)
        return
    if name == "train-rawnet2":
        _accept_rawnet2(rest)
        return
    if name in TAKE_KEYS:
        for key in re.findall(r"(?<=^--)[\w.]+", "\n".join(rest), re.MULTILINE):
            assert key in all_spellings(TAKE_KEYS[name]), f"mindvox {name} has no --{key}"
    _stop_after_parsing(monkeypatch)
    with pytest.raises(ParsedError):
        mindvox(words)


def _accept_keys(name: str, words: list[str]) -> None:
    """Check keys; a YAML file of the user's stands for the shipped one."""
    cls = CONFIGURED[name]
    words = [word for word in words if not re.search(r"\.yaml$", word) or (ROOT / word.partition("=")[2]).is_file()]
    load_config(cls, words, check=SECTIONS if cls is Config else ("front_end",))


def _accept_rawnet2(words: list[str]) -> None:
    arguments, keys = rawnet2._parse(words)
    experiment = rawnet2.Experiment(True, arguments.data_path, Path("s"), Path("o"), arguments.name, tuple(keys))
    experiment.config(experiment.folder(1), "CPU")


def _stop_after_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
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

    for name in ("parse_args", "parse_known_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, wrapped(getattr(argparse.ArgumentParser, name)))
