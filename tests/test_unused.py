"""Code that nothing uses has its reason, or is not there; no code stands twice."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindvox import registry
from mindvox.cli import COMMANDS
from mindvox.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "unused_names.txt"


def registered() -> set[str]:
    """Names that commands and registries call as text."""
    entries = [command.entry for command in COMMANDS.values()]
    for found in vars(registry).values():
        if isinstance(found, Registry):
            entries += [found._entries[name] for name in found]
    return {entry.partition(":")[2] for entry in entries}


def unused(*places: Path) -> dict[str, str]:
    """What vulture finds unused: name and place."""
    vulture = pytest.importorskip("vulture")
    found = vulture.Vulture()
    found.scavenge([str(place) for place in places])
    items = found.get_unused_code(min_confidence=60)
    return {item.name: f"{item.filename}:{item.first_lineno}" for item in items}


def reasons() -> dict[str, str]:
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines)


def test_what_nothing_uses_has_a_reason_and_every_reason_is_needed():
    scripts = sorted(ROOT.glob("*.py"))
    found = unused(ROOT / "src", ROOT / "benchmarks", *scripts)
    in_package = {name: where for name, where in found.items() if f"{ROOT}/src/" in where and name not in registered()}
    missing = {name: where for name, where in in_package.items() if name not in reasons()}
    assert missing == {}, f"remove them, or say in {LIST.name} why they stay"
    assert [name for name in reasons() if name not in in_package] == [], f"are used by now: remove from {LIST.name}"


def test_a_function_that_nothing_calls_is_found(tmp_path):
    (tmp_path / "a.py").write_text("def used():\n    pass\n\n\ndef lost():\n    pass\n\n\nused()\n")
    assert set(unused(tmp_path)) == {"lost"}


@pytest.mark.slow
def test_no_code_stands_twice():
    pytest.importorskip("pylint")
    command = [sys.executable, "-m", "pylint", "--disable=all", "--enable=duplicate-code", "--min-similarity-lines=6"]
    done = subprocess.run([*command, "src/mindvox"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"==(mindvox[\w.]+):\[\d+:\d+\]\n==(mindvox[\w.]+):", done.stdout)
    assert "rated at" in done.stdout, done.stdout + done.stderr
    assert found == [], done.stdout
