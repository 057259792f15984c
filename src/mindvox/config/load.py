"""Fill a configuration from YAML and `--key=value`; the order is default < file < command line."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Optional, TypeVar

import yaml

from mindvox.arguments import Parser
from mindvox.config.choice import COMMAND_LINE, Choice, Given
from mindvox.config.option import Reference, problems_of, problems_text, spellings, typed, types_of
from mindvox.config.sections import Config
from mindvox.errors import InputError, UsageError, did_you_mean
from mindvox.files import PathLike, atomic_path, escape_path, expand_path, read_text, user_path
from mindvox.terminal import folded

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = re.compile(r"<([^<>]+)>")
T = TypeVar("T")


def load_config(
    cls: type[T],
    argv: Optional[Sequence[str]] = None,
    default_path: Optional[str] = None,
    shown: Sequence[type] = (),
    check: Sequence[str] = (),
) -> T:
    """Build a configuration from its YAML file and the command line.

    Args:
        cls: TrainPrepConfig and EvalPrepConfig take the YAML file as first argument, Config as `--config_path FILE`.
        argv: arguments without the program's name; None: sys.argv.
        default_path: the YAML file when the user names none; by default the one that ships with the project.
        shown: classes whose keys --help lists, in this order; empty: all. Commands that share a file accept the other
            keys too.
        check: sections whose keys are checked now; this imports the chosen classes.

    Raises:
        UsageError: the file or the command line is wrong; one message lists all problems.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    default = default_path or _shipped_path(cls)
    parser = _parser(cls, default, words, shown)
    arguments, unknown = parser.parse_known_args(words)
    items = vars(arguments)
    path = items.pop("config_path")
    problems = [
        _unknown_key(cls, word.lstrip("-").split("=")[0], COMMAND_LINE) for word in unknown if word.startswith("-")
    ]
    problems += [f"command line: did not expect {word!r}." for word in unknown if not word.startswith("-")]
    of_file, wrong = _by_path(cls, _read_yaml(path), str(path))
    of_words, also_wrong = _by_path(cls, items, COMMAND_LINE)
    values = {**of_file, **of_words}
    problems += wrong + also_wrong
    sections = {name: _choice(field, name, values, of_file) for name, field in _sections(cls).items()}
    for name, field in _sections(cls).items():
        if name in check or field.metadata["of_all"]:
            problems += sections[name].problems()
    config, wrong = _convert(cls, values, sections)
    problems += wrong
    if config is not None:
        problems += problems_of(config)
    if problems or config is None:
        raise UsageError(problems_text(problems))
    for name in check:
        if unused := sections[name].unused():
            other = sections[name].instead_of
            whose = f"of {other} alone" if other else f"that {sections[name].name} lacks"
            print(f"not used: {name} keys {whose}, from {path}:")
            print(folded("  " + ", ".join(given.key for given in unused)))
    if isinstance(config, Config):
        config.on_command_line = frozenset(name for name, given in values.items() if given.is_of_command_line)
    return config


def load_paths_and_config(
    argv: Optional[Sequence[str]], prog: str, description: str, **paths: str
) -> tuple[argparse.Namespace, Config]:
    """Take paths from the front of a command line and fill a Config from the rest.

    Args:
        argv: arguments without the program's name; None: sys.argv.
        prog, description: for --help.
        paths: name of each path and its help, in their order.

    Raises:
        UsageError: a path is missing, or the configuration is wrong.
    """
    words = sys.argv[1:] if argv is None else argv
    parser = Parser(
        prog=prog,
        description=description,
        epilog="Every key of ecapa-tdnn_config.yaml may follow; `python eval.py --help` lists them.",
    )
    for name, meaning in paths.items():
        parser.add_argument(name, type=user_path, metavar=name.upper(), help=meaning)
    return parser.parse_args(words[: len(paths)]), load_config(Config, words[len(paths) :])


def require(config: Any, *attributes: str) -> None:
    """Raise UsageError unless each of these keys is set."""
    names = {field.name: spellings(field)[0] for field in _keys(type(config))}
    missing = [names[name] for name in attributes if not getattr(config, name)]
    if missing:
        raise UsageError(f"not set: {', '.join(missing)}. Set each in the YAML file or give --{missing[0]}=VALUE.")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a resolved configuration under the names that its file uses."""
    values: dict[str, Any] = {name: getattr(config, name).to_dict() for name in _sections(type(config))}
    values |= {spellings(field)[0]: getattr(config, field.name) for field in _keys(type(config))}
    if values.get("CLASS_NUM") == 0:
        values["CLASS_NUM"] = "auto"
    return values


def fixed_keys(config: Any) -> dict[str, Any]:
    """Return the keys that a resumed training run must keep, sections included, as JSON values."""
    fixed = [field for field in fields(config) if field.metadata["fixed"]]
    values = to_dict(config)
    found = {name: values[name] for name in (spellings(field)[0] for field in fixed)}
    return {key: _json(value) for key, value in found.items()}


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def as_today(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what fixed_keys() of an earlier version returned, with today's names, sections and keys."""
    names = {spelling: spellings(field)[0] for field in _keys(Config) for spelling in spellings(field)}
    settings = {names.get(key, key): value for key, value in settings.items()}
    path_of = _paths(Config)
    found: dict[str, Any] = {}
    for name, field in _sections(Config).items():
        before = settings.get(name, field.metadata["default"])
        found[name] = dict(before) if isinstance(before, dict) else {"name": before}
    for key, value in settings.items():
        section, _, attribute = path_of.get(key, "").partition(".")
        if attribute:
            found[section][attribute] = value
        elif key not in found:
            found[key] = value
    for field in _keys(Config):  # keys that are newer than the settings
        if field.metadata["fixed"]:
            found.setdefault(spellings(field)[0], _json(field.default))
    return found


def save_config(config: Any, path: PathLike) -> None:
    """Write a resolved configuration as YAML that load_config can read."""
    values = to_dict(config)
    for field in _keys(type(config)):
        if field.metadata["path"]:
            values[spellings(field)[0]] = escape_path(values[spellings(field)[0]])
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def all_spellings(cls: type) -> list[str]:
    """Return every accepted spelling of a key outside of sections, and the names of the sections."""
    flat = [key for field in _sections(cls).values() for key in field.metadata["flat"]]
    return [spelling for field in _keys(cls) for spelling in spellings(field)] + list(_sections(cls)) + flat


def _keys(cls: Any) -> list[dataclasses.Field]:
    """Return the keys outside of sections."""
    return [field for field in fields(cls) if "registry" not in field.metadata]


def _sections(cls: Any) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in fields(cls) if "registry" in field.metadata}


def _shipped_path(cls: type) -> Path:
    names = {"TrainPrepConfig": "hparams/prepare_train.yaml", "EvalPrepConfig": "hparams/prepare_eval.yaml"}
    return ROOT / names.get(cls.__name__, "ecapa-tdnn_config.yaml")


def _parser(cls: type, default_path: PathLike, words: Sequence[str], shown: Sequence[type]) -> argparse.ArgumentParser:
    """Return a parser of a configuration's keys and of those section keys that `words` give."""
    usage = f"%(prog)s [{'--config_path ' if cls is Config else ''}FILE] [--key=value ...]"
    parser = Parser(description=cls.__doc__, usage=usage)
    _add_config_path(parser, cls, default_path)
    groups = {owner: parser.add_argument_group(_title(owner)) for owner in shown or _owners(cls)}
    is_help = any(word in ("-h", "--help") for word in words)
    chosen = _chosen(cls, words, default_path) if is_help else {}
    types = types_of(cls)
    for owner in _owners(cls):
        group = groups.get(owner, parser)
        for field in fields(owner):
            if field.name not in vars(owner).get("__annotations__", {}):
                continue  # the key belongs to a base class
            if "registry" in field.metadata:
                _add_section(group, field, chosen.get(field.name) if owner in groups else None)
                continue
            for index, name in enumerate(spellings(field)):
                text = _help(field) if index == 0 and owner in groups else argparse.SUPPRESS
                extra: dict[str, Any] = {"nargs": "?", "const": True} if types[field.name] is bool else {}
                kind = "PATH" if field.metadata["path"] else "VALUE"
                group.add_argument(f"--{name}", dest=name, default=argparse.SUPPRESS, metavar=kind, help=text, **extra)
    if not is_help:
        prefixes = tuple(f"--{name}." for name in _sections(cls))
        given = {word.partition("=")[0] for word in words if word.startswith(prefixes)}
        for name in sorted(given):
            parser.add_argument(name, dest=name.lstrip("-"), default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _add_config_path(parser: argparse.ArgumentParser, cls: type, default_path: PathLike) -> None:
    extra: dict[str, Any] = {} if cls is Config else {"nargs": "?"}
    name = "--config_path" if cls is Config else "config_path"
    parser.add_argument(name, type=user_path, default=default_path, metavar="FILE", help="YAML file to read", **extra)


def _owners(cls: type) -> list[type]:
    """Return the classes that define a configuration's keys, Config's base classes first."""
    return [owner for owner in reversed(cls.__mro__) if vars(owner).get("__annotations__")]


def _title(owner: type) -> str:
    return (owner.__doc__ or "").rstrip(".").splitlines()[0]


def _add_section(group: Any, field: dataclasses.Field, choice: Optional[Choice]) -> None:
    """Add a section's name and its flat keys and, for --help, the keys of the chosen class."""
    registry, flat = field.metadata["registry"], field.metadata["flat"]
    if choice is None:
        for name in (field.name, *flat):
            group.add_argument(f"--{name}", dest=name, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return
    text = f"{field.metadata['help']} [{' | '.join(registry)}]; also --{field.name}"
    default = f" (default: {field.metadata['default']!r})"
    group.add_argument(f"--{field.name}.name", metavar="NAME", help=text + default)
    for option in fields(registry.get(choice.name).Options):
        also = [key for key, attribute in flat.items() if attribute == option.name]
        group.add_argument(f"--{field.name}.{option.name}", metavar="VALUE", help=_help(option, also))


def _chosen(cls: type, words: Sequence[str], default_path: PathLike) -> dict[str, Choice]:
    """Return the class that each section chooses, as far as the file and the command line can be read."""
    parser = Parser(add_help=False)
    _add_config_path(parser, cls, default_path)
    for name in _sections(cls):
        parser.add_argument(f"--{name}.name", f"--{name}", dest=f"{name}.name", default=argparse.SUPPRESS)
    items = vars(parser.parse_known_args([word for word in words if word not in ("-h", "--help")])[0])
    of_file, of_words = (
        _by_path(cls, _read_yaml(items.pop("config_path")), "")[0],
        _by_path(cls, items, COMMAND_LINE)[0],
    )
    values = {**of_file, **of_words}
    return {name: _choice(field, name, values, of_file) for name, field in _sections(cls).items()}


def _help(field: dataclasses.Field, also: Sequence[str] = ()) -> str:
    others = [*spellings(field)[1:], *also]
    default = "auto" if field.name == "class_num" else field.default
    text = field.metadata["help"]
    if field.metadata["choices"]:
        text += f" [{' | '.join(map(str, field.metadata['choices']))}]"
    if others:
        text += f"; also --{', --'.join(others)}"
    return f"{text} (default: {default!r})".replace("%", "%%")


class _Loader(yaml.SafeLoader):
    """A YAML loader that keeps values as text and knows `!ref`; other tags are refused, so nothing is executed.

    YAML 1.1 would turn 2024_05_01 into a number, 1:30 into 90, `on` into true and 2024-05-01 into a date. Each key
    knows its type and converts its own text; only an empty value, `~` and `null` become None.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _as_written(loader: _Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_scalar(node)


def _reference(loader: _Loader, node: yaml.ScalarNode) -> Reference:
    return Reference(loader.construct_scalar(node))


for _kind in ("bool", "int", "float", "timestamp", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)
_Loader.add_constructor("!ref", _reference)


def _read_yaml(path: PathLike) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(path, "configuration file"), Loader=_Loader)  # a SafeLoader
    except InputError as error:
        raise UsageError(str(error)) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not a YAML file of this project: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected lines of 'key: value', got a {type(content).__name__}.")
    return content


def _by_path(cls: type, items: dict[str, Any], source: str) -> tuple[dict[str, Given], list[str]]:
    """Sort given keys by attribute, section keys as `section.attribute`; also return the problems."""
    path_of, sections = _paths(cls), _sections(cls)
    pairs: list[tuple[str, Optional[str], Any]] = []
    problems = []
    for key, value in ((str(key), value) for key, value in items.items()):
        if key not in sections:
            is_of_section = key.partition(".")[0] in sections and "." in key
            pairs.append((key, key if is_of_section else path_of.get(key), value))
        elif isinstance(value, dict):
            pairs += [(f"{key}.{name}", f"{key}.{name}", part) for name, part in value.items()]
        elif isinstance(value, str):
            pairs.append((key, f"{key}.name", value))
        else:
            problems.append(f"{source}: {key}: expected a name or a mapping such as {{name: ...}}, got {value!r}.")
    values: dict[str, Given] = {}
    for key, path, value in pairs:
        if path is None:
            problems.append(_unknown_key(cls, key, source))
        elif path in values:
            problems.append(f"{source}: '{values[path].key}' and '{key}' are two spellings of one key: give only one.")
        else:
            values[path] = Given(source, key, value)
    return values, problems


def _paths(cls: type) -> dict[str, str]:
    """Return the attribute that each key outside of sections sets: `name` or `section.name`."""
    path_of = {name: field.name for field in _keys(cls) for name in spellings(field)}
    for name, field in _sections(cls).items():
        path_of |= {key: f"{name}.{attribute}" for key, attribute in field.metadata["flat"].items()}
    return path_of


def _unknown_key(cls: type, key: str, source: str) -> str:
    hint = did_you_mean(key, all_spellings(cls), otherwise="; --help lists them.")
    return f"{source}: unknown key '{key}'{hint}"


def _choice(field: dataclasses.Field, name: str, values: dict[str, Given], of_file: dict[str, Given]) -> Choice:
    """Return the choice of a section.

    Args:
        field, name: the section.
        values: all given values, by path.
        of_file: the values that the YAML file gives.
    """
    of_section = {path.partition(".")[2]: given for path, given in values.items() if path.startswith(f"{name}.")}
    chosen = of_section.pop("name", None)
    registry, default = field.metadata["registry"], field.metadata["default"]
    value = str(chosen.value) if chosen else default
    before = str(of_file[f"{name}.name"].value) if f"{name}.name" in of_file else default
    is_other = value != before and value in registry and before in registry
    return Choice(registry, value, of_section, chosen, before if is_other else None, field.metadata["of_all"])


def _convert(cls: type[T], values: dict[str, Given], sections: dict[str, Choice]) -> tuple[Optional[T], list[str]]:
    """Resolve references, convert values to the attributes' types and check their bounds."""
    types = types_of(cls)
    raw = {
        field.name: values.get(field.name, Given("default", spellings(field)[0], field.default)) for field in _keys(cls)
    }
    attribute_of = {name: field.name for field in _keys(cls) for name in spellings(field)}
    converted: dict[str, Any] = dict(sections)
    problems = []
    for field in _keys(cls):
        source, key, value = raw[field.name]
        try:
            if isinstance(value, Reference):
                value = _resolve(value, raw, attribute_of, (field.name,))
            if field.name in values:
                value = typed(value, types[field.name], field.metadata)
            if field.metadata["path"]:
                value = expand_path(value)
            converted[field.name] = value
        except ValueError as error:
            problems.append(f"{source}: {key}: {error}, got {value!r}.")
    return (None if problems else cls(**converted)), problems


def _resolve(text: str, raw: dict[str, Given], attribute_of: dict[str, str], seen: tuple[str, ...]) -> str:
    def substitute(match: re.Match) -> str:
        attribute = attribute_of.get(match.group(1))
        if attribute is None:
            raise ValueError(f"expected a reference to a key of this file, not to '{match.group(1)}'")
        if attribute in seen:
            raise ValueError(f"expected no circular reference, but '{match.group(1)}' refers to itself")
        value = raw[attribute].value
        if isinstance(value, Reference):
            value = _resolve(value, raw, attribute_of, (*seen, attribute))
        return str(value)

    return re.sub(r"(?<!:)//+", "/", REFERENCE.sub(substitute, text))  # "<folder>/save" of "x/" is x/save
