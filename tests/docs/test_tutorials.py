"""The Python of the tutorials that add something: the file, the line and the test of each page, as they stand there."""

import importlib
import re
import sys

import pytest

from mindvox.config import ROOT
from mindvox.registry import LOSSES, MODELS, Registry

PYTHON = re.compile(r"(?ms)^```python\n(.*?)^```$")


@pytest.mark.parametrize(("page", "registry"), [("add-a-model.md", MODELS), ("add-a-loss.md", LOSSES)])
def test_file_line_and_test_of_a_page_work_together(page: str, registry: Registry, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "tutorials" / page).read_text(encoding="utf-8")
    code, test = PYTHON.findall(text)
    name, folder, module, cls = re.findall(r'(?m)^```text\n    (\w+)="mindvox\.(\w+)\.(\w+):(\w+)",$', text)[0]
    assert name == module and f"`src/mindvox/{folder}/{name}.py`" in text
    (tmp_path / f"tutorial_{name}.py").write_text(code)  # in a file: a Cell's source must be readable
    (tmp_path / f"test_of_{name}.py").write_text(test)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    registry.add(name, f"tutorial_{name}:{cls}")
    made = importlib.import_module(f"test_of_{name}")
    tests = [value for key, value in vars(made).items() if key.startswith("test_")]
    assert len(tests) == 1
    tests[0]()
    for left in (f"tutorial_{name}", f"test_of_{name}"):
        sys.modules.pop(left, None)
