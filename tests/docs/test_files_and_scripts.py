"""Files that the pages name: what trees of the project show is there, and what the table of formats has is written."""

import re

import pytest

from mindvox.config import ROOT
from mindvox.docs.markdown import cells

TREE = re.compile(r"(?ms)^```text\n(├──.*?)^```$")
PAGES = ("README.md", "README_CN.md", "docs/modelzoo.md", "docs/modelzoo_CN.md")


def paths_of_tree(tree: str) -> list[str]:
    """The paths of a tree, folders before what is in them; `train_performance_1p.sh, ..._8p.sh` are two."""
    found, folder = [], ""
    for row in tree.splitlines():
        depth, names = re.fullmatch(r"((?:│   )*)[├└]── ([^#]+?)\s*(?:#.*)?", row).groups()
        for name in re.split(r"\s*,\s*", names):
            if name.startswith("..."):
                name = re.sub(r"_[^_]+\.sh$", name[3:], found[-1].rpartition("/")[2])
            found.append(f"{folder}/{name}" if depth else name)
        if not depth:
            folder = found[-1]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_everything_in_a_tree_exists(page):
    (tree,) = TREE.findall((ROOT / page).read_text(encoding="utf-8"))
    missing = [path for path in paths_of_tree(tree) if not list(ROOT.glob(path))]
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if "modelzoo" in page])
def test_full_trees_have_every_script_and_every_package(page):
    (tree,) = TREE.findall((ROOT / page).read_text(encoding="utf-8"))
    named = paths_of_tree(tree)
    scripts = {path.name for path in (ROOT / "scripts").glob("*.sh")}
    assert scripts - {path.removeprefix("scripts/") for path in named} == set()
    at_root = {path.name for pattern in ("*.py", "*.sh", "*.yaml") for path in ROOT.glob(pattern)}
    assert at_root - set(named) == set()
    packages = {path.parent.name for path in (ROOT / "src" / "mindvox").glob("*/__init__.py")}
    assert packages - {path.removeprefix("src/mindvox/") for path in named} == set()


def test_a_tree_is_read():
    tree = "├── a.py, b.py   # x\n├── scripts\n│   ├── run_1p.sh, ..._8p.sh\n└── docs\n"
    assert paths_of_tree(tree) == ["a.py", "b.py", "scripts", "scripts/run_1p.sh", "scripts/run_8p.sh", "docs"]


def named_files() -> list[str]:
    """The files in the table of docs/design.md, without what stands for a name."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("## Files")[1].split("\n## ")[0]
    rows = [cells(row)[0] for row in text.splitlines() if row.startswith("| ") and not row.startswith("| File")]
    return sorted({name for row in rows for name in re.findall(r"`([^`]+)`", row)})


@pytest.mark.parametrize("name", named_files())
def test_a_file_of_the_table_is_written_by_the_code(name):
    texts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "mindvox").rglob("*.py"))
    constant = max(re.split(r"<\w+>|\d{5}|\.\.\.", name), key=len).strip("-")
    behind_first_dot = "." + constant.partition(".")[2]  # of names that the code puts together
    assert constant in texts or (behind_first_dot != "." and f'{behind_first_dot}"' in texts), name
