"""Blocks of the pages that are written from the code: current, and reported when they are not."""

import re
from pathlib import Path

import pytest

from mindvox.cli import COMMANDS, usage
from mindvox.cli import main as mindvox
from mindvox.docs import __main__ as docs
from mindvox.docs import blocks as blocks_module
from mindvox.docs import extras, keys, references
from mindvox.docs.blocks import blocks, pages, write
from mindvox.docs.commands import COLUMNS
from mindvox.docs.markdown import cells, first_sentence, line
from mindvox.errors import InputError, UsageError


def test_every_block_of_every_page_is_as_the_code_says(capsys):
    assert docs.main(["--check"]) == 0, capsys.readouterr().out


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A project with one page."""
    for module in (docs, blocks_module):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "comments", lambda: ())
    (tmp_path / "docs").mkdir()
    path = tmp_path / "docs" / "a.md"
    path.write_text("# A\n\n<!-- generated: exit-codes -->\n\n| old |\n\n<!-- end -->\n\nbehind\n")
    return path


def test_a_block_that_is_out_of_date_is_reported_and_then_written(page, capsys):
    assert docs.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "docs/a.md: out of date: exit-codes" in said and "- | old |" in said and "+ | 0 | done |" in said
    assert "| old |" in page.read_text()
    assert docs.main(["--write"]) == 0 and docs.main(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("# A\n\n<!-- generated: exit-codes -->\n\n| Code | Meaning |")
    assert text.endswith("|\n\n<!-- end -->\n\nbehind\n") and "| 141 |" in text and "old" not in text
    assert docs.main(["--write"]) == 0 and page.read_text() == text


def test_a_block_without_end_or_of_an_unknown_name_is_an_error(page):
    page.write_text("<!-- generated: exit-codes -->\n")
    with pytest.raises(InputError, match="no line '<!-- end -->'"):
        docs.main(["--check"])
    page.write_text("<!-- generated: exit-code -->\n<!-- end -->\n")
    with pytest.raises(InputError, match="no generated block 'exit-code'; did you mean 'exit-codes'"):
        docs.main(["--write"])


def test_bodies_of_blocks_are_kept_where_only_the_text_around_them_differs(page):
    page.write_text("<!-- generated: networks -->\n\n| as it is |\n\n<!-- end -->\n")
    (block,) = blocks(page)
    assert block.is_current
    write(page, [block])
    assert page.read_text() == "<!-- generated: networks -->\n\n| as it is |\n\n<!-- end -->\n"


def test_check_or_write_must_be_said():
    with pytest.raises(UsageError, match="--check --write"):
        docs.main([])


def test_a_changed_help_of_a_key_changes_its_line(monkeypatch):
    before = keys.file_keys("prepare_eval.yaml")
    field = next(field for name, field in keys._fields(keys.CONFIGS["EvalPrepConfig"]) if name == "n_train_snts")
    monkeypatch.setattr(field, "metadata", {**field.metadata, "help": "another text"})
    after = keys.file_keys("prepare_eval.yaml")
    assert [text for text in after if text not in before] == ["| `n_train_snts` | `400000` | another text |"]


def test_comments_of_a_yaml_file_are_the_help_of_its_keys_and_values_stay(tmp_path, monkeypatch, capsys):
    (tmp_path / "hparams").mkdir()
    path = tmp_path / "hparams" / "prepare_eval.yaml"
    text = (keys.ROOT / "hparams/prepare_eval.yaml").read_text()
    changed = re.sub(r"(?m)^(seed: )1234( +)# .*$", r"\g<1>7   \2# old\n   # and older", text)
    assert changed != text
    path.write_text(changed)
    for module in (docs, blocks_module, keys):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(blocks_module, "FILES", {"prepare_eval.yaml": keys.FILES["prepare_eval.yaml"]})
    assert docs.main(["--check"]) == 1
    assert "hparams/prepare_eval.yaml: out of date: comments" in capsys.readouterr().out
    assert docs.main(["--write"]) == 0
    assert path.read_text() == re.sub(r"(?m)^seed: 1234", "seed: 7   ", text)
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_key_that_its_file_lacks_is_an_error(tmp_path, monkeypatch):
    text = (keys.ROOT / "hparams/prepare_eval.yaml").read_text()
    (tmp_path / "hparams").mkdir()
    (tmp_path / "hparams/prepare_eval.yaml").write_text("\n".join(x for x in text.split("\n") if "verify:" not in x))
    monkeypatch.setattr(keys, "ROOT", tmp_path)
    with pytest.raises(InputError, match="prepare_eval.yaml: lacks the key verify"):
        keys.groups("prepare_eval.yaml")


def test_a_key_without_a_meaning_in_chinese_is_an_error():
    english = keys.file_keys("prepare_eval.yaml")
    assert keys.file_keys("prepare_eval.yaml", translated=english)[4] == english[4]
    with pytest.raises(InputError, match="no meaning of verify in Chinese"):
        keys.file_keys("prepare_eval.yaml", translated=[text for text in english if "`verify`" not in text])


def test_every_command_is_in_the_page_with_its_help():
    text = (keys.ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert all(f"\n## mindvox {name}\n" in text for name in COMMANDS)
    with pytest.raises(SystemExit):
        mindvox(["verify", "--help"])


def test_no_line_of_a_help_is_longer_than_a_terminal_and_none_has_a_path_of_this_machine():
    text = (keys.ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    lines = [row for block in re.findall(r"(?ms)^```text\n(.*?)^```$", text) for row in block.splitlines()]
    assert [row for row in lines if len(row) > COLUMNS] == []
    assert [row for row in usage().splitlines() if len(row) > COLUMNS] == []
    assert [row for row in lines if str(Path.home()) in row or str(keys.ROOT) in row] == []


FRAGMENT = re.compile(
    r"(?i)(of|that|whose|which|what|how|their|its|it|by|at|in|on|as|for|with|to|when|where|who|so|such|gets|also|likewise"
    r"|default|nothing|from)\b"
)
"""First words of a help text that does not say what the value is."""


def test_no_help_text_begins_with_a_fragment():
    cells = re.compile(r"\| `[\w.]+`[^|]*\|[^|]*\| (.*) \|")
    pages = [(keys.ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("keys.md", "modelzoo.md")]
    meanings = [match[1] for text in pages for match in cells.finditer(text)]
    commands = (keys.ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    helps = re.findall(r"(?m)^  (?:-\S.*?\S|[A-Z]{3,})(?:  +|\n {20,})(\S.*)$", commands)
    assert len(meanings) > 300 and len(helps) > 300
    assert [text for text in meanings + helps if FRAGMENT.match(text)] == []


def test_papers_must_be_cited_and_listed(monkeypatch):
    monkeypatch.setattr(references, "_texts", lambda: {"models/new.py": "(Nobody 2030, arXiv:3001.00001)"})
    with pytest.raises(InputError, match="models/new.py: cites arXiv:3001.00001: add it to PAPERS"):
        references.references()
    monkeypatch.setattr(references, "_texts", lambda: {"models/new.py": ""})
    with pytest.raises(InputError, match="no file cites arXiv:1406.1078"):
        references.references()


def test_an_extra_without_a_comment_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\nkaldi = ["kaldiio"] # archives\nnew = ["x"]\ndev = [\n]\n'
    )
    with pytest.raises(InputError, match="new: expected a comment"):
        extras.extras()


def test_an_extra_without_a_use_in_chinese_is_an_error():
    english = extras.extras()
    assert extras.extras(english)[2:] == english[2:]
    with pytest.raises(InputError, match=r"extra `\.\[kaldi\]`: add a line"):
        extras.extras([row for row in english if "kaldi" not in row])


def test_lines_of_tables_escape_bars():
    assert line(["a|b", "c"]) == r"| a\|b | c |"
    assert cells(r"| a\|b | c |") == ["a|b", "c"]
    assert first_sentence("One\n    line. Another.\n\nMore") == "One line"
    assert first_sentence("Of Wang et al. 2023. More.") == "Of Wang et al. 2023"


def test_pages_are_those_at_the_root_and_in_docs():
    names = {str(path.relative_to(keys.ROOT)) for path in pages()}
    assert {"README.md", "README_CN.md", "docs/data.md", "docs/tutorials/index.md"} <= names
    assert not any(name.startswith(("tests", ".venv")) for name in names)
