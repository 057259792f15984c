"""Tables of keys: those of the shipped YAML files, and those of each class that a section chooses.

Order and headings of the first are those of the file.
"""

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

import yaml

from mindvox.config import CONFIGS, ROOT
from mindvox.config.option import spellings
from mindvox.docs.markdown import cells, first_sentence, table
from mindvox.errors import InputError
from mindvox.files import read_text
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, POOLINGS, SAMPLERS, SCHEDULES, Registry

FILES = {
    "prepare_train.yaml": ("hparams/prepare_train.yaml", "TrainPrepConfig"),
    "prepare_eval.yaml": ("hparams/prepare_eval.yaml", "EvalPrepConfig"),
    "ecapa-tdnn_config.yaml": ("ecapa-tdnn_config.yaml", "Config"),
}
"""Path of each shipped file, and the class of its keys."""
REGISTRIES: dict[str, Registry] = {
    registry.kind: registry for registry in (MODELS, POOLINGS, LOSSES, SAMPLERS, SCHEDULES, FRONT_ENDS)
}
LINE = re.compile(r"^(?:# )?(?P<key>\w+): (?P<value>.*?)\s+# .*$|^(?:# )?(?P<bare>\w+): (?P<alone>.*)$")
VALUE = r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|!ref \S+|[^\s#]+"
KEY_LINE = re.compile(rf"^(?P<start>(?:# )?(?P<key>\w+): (?:{VALUE})?)(?:\s+# .*)?$")
CONTINUED = re.compile(r"^\s+# ")
COMMENT_COLUMNS = {"prepare_train.yaml": 53, "prepare_eval.yaml": 53, "ecapa-tdnn_config.yaml": 36}
WIDTH = 120
HEADING = re.compile(r"^# (?P<text>[^:`]+?)(?: \(.*\))?(?:: .*)?$")
IN_CHINESE = {
    "model and objective": "模型和损失函数",
    "optimisation": "优化",
    "training files": "训练文件",
    "validation in training": "训练时的验证",
    "augmentation of a store of waveforms": "波形的数据增强",
    "evaluation": "评估",
    "export": "导出",
    "device": "设备",
    "Folders": "目录",
    "Corpus": "数据集",
    "Corpus and trials": "数据集和测试对",
    "Cohort": "cohort",
    "What is stored": "保存的内容",
    "How it is made": "生成方式",
    "Augmentation": "数据增强",
}


class Key(NamedTuple):
    """A key of a shipped file.

    Attributes:
        names: its spellings; the first is that of the file.
        value: its value in the file.
        meaning: its help, with its choices.
    """

    names: list[str]
    value: str
    meaning: str


class Group(NamedTuple):
    """The keys under a heading of a file."""

    title: str
    keys: list[Key]


def file_keys(name: str, *, translated: Optional[Sequence[str]] = None) -> list[str]:
    """Return the tables of a file's keys.

    Args:
        name: name of the file.
        translated: lines of the Chinese block, from which the meanings are taken; None: English.

    Raises:
        InputError: the file lacks a key, or a key has no meaning in Chinese.
    """
    meanings = None if translated is None else _meanings(translated)
    head = ("Key", "Default", "Meaning") if meanings is None else ("配置项", "默认值", "含义")
    lines: list[str] = []
    for group in groups(name):
        title = group.title if meanings is None else IN_CHINESE.get(group.title, group.title)
        rows = [_row(key, meanings, name) for key in group.keys]
        lines += [f"**{title[0].upper()}{title[1:]}**", "", *table(head, rows), ""]
    return lines[:-1]


def groups(name: str) -> list[Group]:
    """Return the keys of a shipped file in its order.

    Raises:
        InputError: the file lacks a key.
    """
    path, class_name = FILES[name]
    fields = dict(_fields(CONFIGS[class_name]))
    found: list[Group] = []
    before = ""
    for text in read_text(ROOT / path).splitlines():
        heading, match = HEADING.match(text), LINE.match(text)
        key = (match["key"] or match["bare"]) if match else ""
        if match and key in fields:
            value = fields[key].metadata["default"] if text.startswith("#") else match["value"] or match["alone"] or ""
            found[-1].keys.append(Key(_names(key, fields[key]), _plain(value), _meaning(fields[key])))
        elif heading and not before:
            found.append(Group(heading["text"], []))
        before = text.strip()
    named = {other for group in found for key in group.keys for other in key.names}
    # A section that chooses a class by default needs no line.
    if missing := [key for key, field in fields.items() if key not in named and "registry" not in field.metadata]:
        raise InputError(f"{path}: lacks the key {missing[0]}: add a line with its default.")
    return [group for group in found if group.keys]


def classes(kind: str) -> list[str]:
    """Return a table of the registered classes of a kind, described by their docstrings."""
    rows = []
    for name in REGISTRIES[kind]:
        cls = REGISTRIES[kind].get(name)
        rows.append((f"`{name}`", first_sentence(cls.__doc__)))
    return table(("Name", "What it is"), rows)


def class_keys(kind: str) -> list[str]:
    """Return a table of keys for each registered class of a kind."""
    lines: list[str] = []
    for name in REGISTRIES[kind]:
        options = dataclasses.fields(REGISTRIES[kind].get(name).Options)
        lines += [f"**`{kind}.name: {name}`**", ""]
        if not options:
            lines += ["No keys.", ""]
            continue
        rows = [(f"`{field.name}`", f"`{_yaml(field.default)}`", _meaning(field)) for field in options]
        lines += [*table(("Key", "Default", "Meaning"), rows), ""]
    return lines[:-1]


def _row(key: Key, meanings: Optional[dict[str, str]], name: str) -> tuple[str, str, str]:
    value = f"`{key.value}`" if key.value else ""
    if meanings is None:
        return " or ".join(f"`{one}`" for one in key.names), value, key.meaning
    if key.names[0] not in meanings:
        raise InputError(
            f"docs/modelzoo_CN.md: {name}: no meaning of {key.names[0]} in Chinese. Add a line to the block: "
            f"| `{key.names[0]}` | | its meaning |"
        )
    return "或".join(f"`{one}`" for one in key.names), value, meanings[key.names[0]]


def _meanings(lines: Sequence[str]) -> dict[str, str]:
    """Return the last cell of each line by the key that it begins with."""
    found = {}
    for line in lines:
        if match := re.match(r"\| `(\w+)`", line):
            found[match[1]] = cells(line)[-1]
    return found


def _fields(cls: Any) -> Iterator[tuple[str, dataclasses.Field]]:
    """Return the field of every spelling outside of sections, and of the sections' names."""
    for field in dataclasses.fields(cls):
        if "registry" not in field.metadata:
            yield from ((name, field) for name in spellings(field))
            continue
        yield field.name, field
        options = field.metadata["registry"].get(field.metadata["default"]).Options
        of_section = {option.name: option for option in dataclasses.fields(options)}
        for key, attribute in field.metadata["flat"].items():
            if attribute in of_section:
                yield key, of_section[attribute]


def _names(key: str, field: dataclasses.Field) -> list[str]:
    if "registry" in field.metadata:
        return [key]
    return list(dict.fromkeys([key, *spellings(field)]))


def _meaning(field: dataclasses.Field) -> str:
    text = field.metadata["help"]
    if "registry" in field.metadata:
        return f"{text}: {', '.join(f'`{name}`' for name in field.metadata['registry'])}"
    if field.metadata["choices"] == tuple(POOLINGS):
        text += " (one of the [poolings](#poolings))"
    elif field.metadata["choices"]:
        text += f" ({', '.join(f'`{choice}`' for choice in field.metadata['choices'])})"
    # Angle brackets would be read as HTML.
    return re.sub(r"<(\w+)>", r"\\<\1>", text)


def _plain(value: str) -> str:
    """Return a value without the quotes of YAML."""
    value = value.strip().removeprefix("!ref ")
    return value[1:-1] if value[:1] == value[-1:] == '"' else value


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).split("\n...")[0].strip()


def commented_file(name: str) -> list[str]:
    """Return the lines of a shipped file with each key's help as its comment; values, order and headings stay."""
    path, class_name = FILES[name]
    fields = dict(_fields(CONFIGS[class_name]))
    lines = []
    for text in read_text(ROOT / path).splitlines():
        match = KEY_LINE.match(text)
        if match and match["key"] in fields:
            lines += _commented(match["start"].rstrip(), fields[match["key"]], COMMENT_COLUMNS[name])
        elif not CONTINUED.match(text):
            lines.append(text)
    return lines


def _commented(start: str, field: dataclasses.Field, column: int) -> list[str]:
    """Return a key's line followed by its help, on as many lines as needed."""
    text = field.metadata["help"]
    unnamed = [str(choice) for choice in field.metadata.get("choices", ()) if not re.search(rf"\b{choice}\b", text)]
    if unnamed:
        text += f" ({', '.join(map(str, field.metadata['choices']))})"
    at = max(column, len(start) + 2)
    first, *others = textwrap.wrap(text, WIDTH - at - 2, break_on_hyphens=False)
    # What is behind a longer value goes on at the common column.
    rest = textwrap.wrap(" ".join(others), WIDTH - column - 2, break_on_hyphens=False)
    return [f"{start:{at}}# {first}", *(f"{'':{column}}# {part}" for part in rest)]
