"""The public names of the package, in the form that mkdocstrings needs."""

import inspect

import mindvox
from mindvox.docs.markdown import first_sentence, table


def api() -> list[str]:
    """Return a table of the public names, and a section for each module with the directives of mkdocstrings."""
    lines = table(("Name", "What it is"), [(f"`{name}`", _what(name)) for name in mindvox.__all__])
    for module, names in mindvox._HOMES.items():
        lines += ["", f"## {module}"]
        for name in names:
            lines += ["", f"::: {module}.{name}"]
    return lines


def _what(name: str) -> str:
    value = getattr(mindvox, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return first_sentence(value.__doc__ or "")
    return f"registry of what `{value.kind}` can be"
