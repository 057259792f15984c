"""Sections of a configuration: each chooses a registered class by name and sets its keys."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, Optional

from mindvox.config.option import problems_of, problems_text, spellings, typed, types_of
from mindvox.errors import InputError, UsageError
from mindvox.registry import Registry

COMMAND_LINE = "command line"


class Given(NamedTuple):
    """A value that the user gave, with its source (the file or the command line) and the spelling of its key."""

    source: str
    key: str
    value: Any

    @property
    def is_of_command_line(self) -> bool:
        """Whether the value comes from the command line and not from a file."""
        return self.source == COMMAND_LINE


class Choice:
    """A registered class, chosen by name, and the keys that the user gave for it.

    The options are built on first use. This imports the class, and MindSpore with it; commands that need no model
    never pay for it.

    Args:
        registry: the classes to choose from.
        name: name of the chosen class.
        given: given values by attribute of the class's `Options`; unknown names are allowed here and reported later.
        given_name: how the user gave the name; None: the default was taken.
        instead_of: the class that the file chooses, when the command line overrides it. Keys of the file that only the
            file's class has are ignored.
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
        """Return one line for each problem with the given keys."""
        return self._convert()[1]

    def build(self, *arguments: Any) -> Any:
        """Return an object of the class, built from these arguments and the options."""
        return self.registry.get(self.name)(*arguments, **vars(self.options))

    def to_dict(self) -> dict[str, Any]:
        """Return the section in the form that checkpoints and saved configurations store."""
        return {"name": self.name, **vars(self.options)}

    def differing(self, settings: Mapping[str, Any]) -> list[Given]:
        """Return the given values that differ from a section in the form of `to_dict`.

        A key that the section lacks was added later; its default is compared.
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
        """Return the file's keys that only the replaced class has.

        With `of_all`, they include the flat keys that the chosen class lacks.
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
        """Return a message that the class has no such key, naming the classes that have it."""
        if owners := self._owners(name):
            return f"{self.registry.kind} {self.name} has no such key; {', '.join(owners)} have it."
        return f"no {self.registry.kind} has such a key; {self.name} has {', '.join(known) or 'none'}."

    def _owners(self, name: str) -> list[str]:
        """Return the names of the classes that have this key."""
        return [other for other in self.registry if name in _keys(self.registry.get(other).Options)]


def describe(settings: Mapping[str, Any]) -> str:
    """Return the name and the keys of a section, given in the form of `Choice.to_dict`, as text."""
    return f"{settings['name']} ({', '.join(f'{key} {value}' for key, value in settings.items() if key != 'name')})"


def section(registry: Registry, default: str, help_text: str, flat: Mapping[str, str], of_all: bool = False) -> Any:
    """Describe a section of a configuration.

    Args:
        registry: classes to choose from.
        default: name of the class when the user gives none.
        help_text: help of the section's name, one line for --help.
        flat: flat keys, those of the model zoo and of this project's first version, each with the attribute of the
            options that it sets. The list is closed: new classes add no flat keys.
        of_all: the flat keys are meant for every class. Every command checks them, and a file may set flat keys that
            the chosen class lacks; those are ignored.
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
