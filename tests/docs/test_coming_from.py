"""docs/coming-from.md: every command of ours is accepted, every key exists."""

import dataclasses
import re
import shlex

import pytest

from mindvox.config import ROOT, Config, EvalPrepConfig, TrainPrepConfig
from mindvox.config.load import all_spellings
from mindvox.config.option import spellings
from mindvox.frontend.augment import STAGES, STEPS
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, POOLINGS, SAMPLERS, SCHEDULES
from mindvox.scoring.peer_lines import PEERS
from tests.docs.shell_blocks import accept

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
OURS = re.compile(r"(mindvox [a-z]|python \w+\.py|bash scripts/)")


def last_cells() -> list[str]:
    """What stands in backticks in the last column of the page's tables, without the theirs of "`theirs` is `ours`"."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    cells = [row.rstrip(" |").rpartition(" | ")[2] for row in rows]
    return [text for cell in cells for text in re.findall(r"`([^`]+)`", re.sub(r"`[^`]+` (is )?(?=`)", "", cell))]


def commands() -> list[str]:
    """Every command of ours in the tables; those of blocks: test_commands.py."""
    return list(dict.fromkeys(text for text in last_cells() if OURS.match(text)))


@pytest.mark.parametrize("command", commands())
def test_command_is_accepted(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    command = re.sub(r"\b(RANK_TABLE_FILE)\b", "hparams/rank_table_cpu_2.json", command)
    accept(shlex.split(command), monkeypatch)


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
