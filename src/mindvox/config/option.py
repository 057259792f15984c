"""Keys of a configuration: dataclass fields with a help text, bounds and aliases."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Optional, TypeVar, get_type_hints

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
T = TypeVar("T")


class Reference(str):
    """Text in which each `<key>` is replaced by the value of that key; YAML marks it with `!ref`."""


def option(
    default: Any,
    help_text: str,
    *,
    name: Optional[str] = None,
    aliases: Sequence[str] = (),
    choices: Sequence[Any] = (),
    minimum: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
    multiple_of: Optional[int] = None,
    parse: Optional[Callable[[Any], Any]] = None,
    path: bool = False,
    fixed: bool = False,
) -> Any:
    """Describe one key of a configuration.

    Args:
        default: the value when neither the file nor the command line gives the key; a Reference is resolved.
        help_text: one line for --help: what the value is, with its unit.
        name: the spelling in YAML, --help and saved files when it differs from the attribute; both are accepted.
        aliases: further accepted spellings.
        choices: the allowed values, when there are few.
        minimum, above, below: bounds of a number: >= minimum, > above, < below.
        multiple_of: a whole number must be a multiple of this one.
        parse: converts the given value into the attribute's value; raises ValueError with what it expected. It gets the
            text as written, a list or a mapping of such texts, or None.
        path: whether the value is a path, in which `~`, `$NAME` and `${NAME}` are expanded as in a shell.
        fixed: whether a resumed training run must keep the value.
    """
    metadata = {
        "help": help_text,
        "name": name,
        "aliases": tuple(aliases),
        "choices": tuple(choices),
        "minimum": minimum,
        "above": above,
        "below": below,
        "multiple_of": multiple_of,
        "parse": parse,
        "path": path,
        "fixed": fixed,
    }
    return dataclasses.field(default=default, metadata=metadata)


def spellings(field: dataclasses.Field) -> list[str]:
    """Return the accepted spellings of a key; the first one is printed and saved."""
    names = [field.metadata["name"] or field.name, field.name, *field.metadata["aliases"]]
    return list(dict.fromkeys(names))


def typed(value: Any, kind: type, metadata: Any) -> Any:
    """Return a given value converted to its key's type.

    Raises:
        ValueError: the value has another type or is out of bounds; the message says what was expected.
    """
    if metadata["parse"]:
        return metadata["parse"](value)
    value = _scalar(value, kind)
    check_bounds(value, metadata)
    return value


def check_bounds(value: Any, metadata: Any) -> None:
    """Raise ValueError, saying what was expected, if a value is out of its key's bounds."""
    if metadata["choices"] and value not in metadata["choices"]:
        raise ValueError(f"expected one of {', '.join(map(str, metadata['choices']))}")
    for word, bound, holds in (
        ("at least", metadata["minimum"], lambda v, b: v >= b),
        ("more than", metadata["above"], lambda v, b: v > b),
        ("less than", metadata["below"], lambda v, b: v < b),
    ):
        if bound is not None and not holds(value, bound):
            raise ValueError(f"expected {word} {bound:g}")
    if metadata["multiple_of"] and value % metadata["multiple_of"]:
        raise ValueError(f"expected a multiple of {metadata['multiple_of']}")


def checked(options: T) -> T:
    """Check options that were built in Python, and return them.

    Raises:
        ValueError: a value is out of its bounds or contradicts another one; the message names the key.
    """
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        try:
            check_bounds(value, field.metadata)
        except ValueError as error:
            raise ValueError(f"{field.name}: {error}, got {value!r}.") from None
    problems = problems_of(options)
    if problems:
        raise ValueError(" ".join(problems))
    return options


def problems_of(options: Any) -> list[str]:
    """Return one line for each conflict between keys, from the `problems` method of every class of the options."""
    found = []
    for cls in reversed(type(options).__mro__):
        if "problems" in vars(cls):
            found += vars(cls)["problems"](options)
    return found


def problems_text(problems: Sequence[str]) -> str:
    """Return all problems of a configuration as one message."""
    return "\n  ".join(["the configuration has these problems:", *problems])


def types_of(cls: type) -> dict[str, Any]:
    """Return the type of each key of a dataclass."""
    return get_type_hints(cls)


def _scalar(value: Any, kind: type) -> Any:
    if kind is str:
        if value is None:
            return ""
        if isinstance(value, (dict, list)):
            raise ValueError("expected one text")
        return str(value)
    if kind is bool:
        if str(value).lower() in TRUE + FALSE:
            return str(value).lower() in TRUE
        raise ValueError("expected true or false")
    if isinstance(value, (bool, dict, list)) or value is None:
        raise ValueError("expected a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError("expected a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("expected a finite number")
    if kind is int:
        if number != int(number):
            raise ValueError("expected a whole number")
        return int(number)
    return number
