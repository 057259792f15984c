"""A test module stands alone: what two of them share is in a helper module beside them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent


def imported(source: str) -> Iterator[str]:
    """Yield the names of modules, and of what is taken from them, that a file imports, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def imported_tests(source: str) -> set[str]:
    """Return the test modules that a file of the tests imports."""
    own = (name for name in imported(source) if name.startswith(("tests.", ".")))
    modules = {path.stem for path in TESTS.rglob("test_*.py")}
    return {part for name in own for part in name.split(".") if part in modules}


def test_no_file_of_the_tests_imports_a_test_module():
    found = {str(path.relative_to(TESTS)): imported_tests(path.read_text()) for path in TESTS.rglob("*.py")}
    assert len(found) > 200
    assert {path: names for path, names in found.items() if names} == {}, "put what is shared into a helper module"


@pytest.mark.parametrize(
    "line",
    [
        "from tests.corpus.test_tables import write",
        "from tests.corpus import test_tables",
        "import tests.corpus.test_tables as tables",
        "def f():\n    from .test_tables import write",
    ],
)
def test_every_way_to_import_one_is_found(line):
    assert imported_tests(line) == {"test_tables"}
