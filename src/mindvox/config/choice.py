"""Sections of a configuration: each chooses a registered class by name and gives its keys."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, Optional

from mindvox.config.option import problems_of, problems_text, spellings, typed, types_of
from mindvox.errors import InputError, UsageError
from mindvox.registry import Registry

COMMAND_LINE = "command line"


class Given(NamedTuple):
    """A value as the user gave it: in which file or on the command line, under which spelling of its key."""

    source: str
    key: str
    value: Any

    @property
    def is_of_command_line(self) -> bool:
        """Whether it was given on the command line, and not in a file."""
        return self.source == COMMAND_LINE


class Choice:
    """A registered class by its name, and the keys that were given for it.

    The options are built when they are asked for. That imports the class, and MindSpore with it, which commands that
    need no model do without.

    Args:
        registry: has the class.
        name: of the class.
        given: by attribute of the class's `Options`, or by a name that it does not have.
        given_name: how the user gave the name; None: it is the default.
        instead_of: the class that the file chooses, where the command line chose another. Keys of the file that this
            one has and the chosen class has not are not used.
        of_all: see `section`.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        given: Optional[Mapping[str, Given]] = None,
        given_name: Optional[Given] = None,
        instead_of: Optional[str] = None,
        of_all: bool = False,
    ) -> None:
        self.registry = registry
        self.name = name
        self.given = dict(given or {})
        self.given_name = given_name
        self.instead_of = instead_of
        self.of_all = of_all

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and (self.registry, self.to_dict()) == (other.registry, other.to_dict())

    def __repr__(self) -> str:
        return f"Choice({self.name!r}, {self.given!r})"

    @cached_property
    def options(self) -> Any:
        """The class's `Options` with the given keys.

        Raises:
            UsageError: a key is unknown, or its value is wrong.
        """
        options, problems = self._convert()
        if problems:
            raise UsageError(problems_text(problems))
        return options

    def problems(self) -> list[str]:
        """Return what is wrong with the given keys, one line each."""
        return self._convert()[1]

    def build(self, *arguments: Any) -> Any:
        """Return an object of the class, made of these arguments and its options."""
        return self.registry.get(self.name)(*arguments, **vars(self.options))

    def to_dict(self) -> dict[str, Any]:
        """Return the section as checkpoints and saved configurations hold it."""
        return {"name": self.name, **vars(self.options)}

    def differing(self, settings: Mapping[str, Any]) -> list[Given]:
        """Return what was given and is not what a section, as `to_dict` returns it, says.

        A key that the section lacks is newer than it, and has its default there.
        """
        cls = self.registry.get(settings["name"]).Options
        fields, types = {field.name: field for field in dataclasses.fields(cls)}, types_of(cls)
        found = [self.given_name] if self.given_name and self.given_name.value != settings["name"] else []
        for name, given in self.given.items():
            try:
                value = typed(given.value, types[name], fields[name].metadata)
            except (KeyError, ValueError):
                found.append(given)
            else:
                found += [given] if value != settings.get(name, fields[name].default) else []
        return found

    def unused(self) -> list[Given]:
        """Return the keys of the file that belong to the class in whose place this one was chosen.

        Where keys outside of the section are of all classes, those that this one lacks are among them.
        """
        of_file = {name: given for name, given in self.given.items() if not given.is_of_command_line}
        own = _keys(self.registry.get(self.name).Options)
        others = _keys(self.registry.get(self.instead_of).Options) if self.instead_of else set()
        if self.of_all:
            others |= {name for name, given in of_file.items() if "." not in given.key and self._owners(name)}
        return [given for name, given in of_file.items() if name in others - own]

    def _convert(self) -> tuple[Any, list[str]]:
        try:
            cls = self.registry.get(self.name).Options
        except InputError as error:
            return None, [str(error)]
        types, values, problems = types_of(cls), {}, []
        known = {name: field for field in dataclasses.fields(cls) for name in spellings(field)}
        unused = self.unused()
        for name, given in self.given.items():
            if given in unused:
                continue
            source, key, value = given
            if name not in known:
                problems.append(f"{source}: {key}: {self._without(name, list(known))}")
                continue
            field = known[name]
            try:
                values[field.name] = typed(value, types[field.name], field.metadata)
            except ValueError as error:
                problems.append(f"{source}: {key}: {error}, got {value!r}.")
        if problems:
            return None, problems
        options = cls(**values)
        return options, problems_of(options)

    def _without(self, name: str, known: list[str]) -> str:
        """Say that the class has no such key, and which others have it."""
        if owners := self._owners(name):
            return f"{self.registry.kind} {self.name} has no such key; {', '.join(owners)} have it."
        return f"no {self.registry.kind} has such a key; {self.name} has {', '.join(known) or 'none'}."

    def _owners(self, name: str) -> list[str]:
        """Return the classes that have such a key."""
        return [other for other in self.registry if name in _keys(self.registry.get(other).Options)]


def describe(settings: Mapping[str, Any]) -> str:
    """Return the name and the keys of a section, as `Choice.to_dict` returns it, in words."""
    return f"{settings['name']} ({', '.join(f'{key} {value}' for key, value in settings.items() if key != 'name')})"


def section(registry: Registry, default: str, help_text: str, flat: Mapping[str, str], of_all: bool = False) -> Any:
    """Describe a section of a configuration.

    Args:
        registry: classes to choose from.
        default: name of the class when the user gives none.
        help_text: one line for --help.
        flat: keys of the model zoo and of this project's first version that stand outside of sections, by the
            attribute of the options that they mean. The list is closed: new classes add nothing to it.
        of_all: these keys were once of the whole configuration. Every command checks them, and files have them for all
            classes, so that the chosen one may lack some, which are then not used.
    """
    metadata = {
        "registry": registry,
        "default": default,
        "help": help_text,
        "flat": dict(flat),
        "of_all": of_all,
        "name": None,
        "aliases": (),
        "fixed": True,
    }
    return dataclasses.field(default_factory=lambda: Choice(registry, default), metadata=metadata)


def _keys(options: type) -> set[str]:
    return {name for field in dataclasses.fields(options) for name in spellings(field)}
