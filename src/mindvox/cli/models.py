"""List the public models: mindvox models [NAME] [--json]."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.deploy.pretrained import is_cached
from mindvox.home import model_folder
from mindvox.public_models import PUBLIC_MODELS, SPEAKER, public_model
from mindvox.terminal import folded, table_lines

COLUMNS = ("name", "cached", "licence", "MB", "same from")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """List the public models that `mindvox fetch` knows, or show everything about one of them."""
    parser = Parser(prog="mindvox models", description=main.__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of a model; default: list all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON with everything that is known")
    form.add_argument("--markdown", action="store_true", help="print the table of docs/models.md")
    arguments = parser.parse_args(argv)
    if arguments.name:
        public_model(arguments.name)
    found = [describe(name) for name in ([arguments.name] if arguments.name else PUBLIC_MODELS)]
    if arguments.json:
        print(json.dumps(found[0] if arguments.name else found, indent=2, ensure_ascii=False))
    elif arguments.markdown:
        print(markdown_table())
    elif arguments.name:
        print(details(found[0]))
    else:
        print(table(found))
    return 0


def describe(name: str) -> dict[str, Any]:
    """Return everything known of a model, as JSON values, and whether it is in the cache."""
    model = public_model(name)
    return {
        "name": name,
        "cached": is_cached(name),
        "folder": str(model_folder(name)),
        "summary": model.summary,
        "kind": model.kind,
        "language": model.language,
        "publisher": model.publisher,
        "licence": model.licence,
        "licence_url": model.licence_url,
        "source": model.source,
        "url": model.url,
        "file_name": model.file_name,
        "num_bytes": model.num_bytes,
        "sha256": model.sha256,
        "front_end": model.front_end,
        "thresholds": dataclasses.asdict(model.thresholds) if model.thresholds else None,
        "brings": list(model.brings),
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return a table with one line for each model, each followed by what it is."""
    head, *rows = table_lines([COLUMNS, *(_row(model) for model in found)])
    lines = [line for row, model in zip(rows, found, strict=True) for line in (row, f"  {model['summary']}")]
    return "\n".join([head, *lines, "", "`mindvox fetch NAME` fetches a model; `mindvox models NAME` shows more."])


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model["name"],
        "yes" if model["cached"] else "no",
        model["licence"],
        _megabytes(model["num_bytes"]),
        f"{model['thresholds']['same']:.2f}" if model["thresholds"] else "-",
    )


def _megabytes(num_bytes: Optional[int]) -> str:
    return "?" if num_bytes is None else f"{num_bytes / 1e6:.0f}"


def details(model: dict[str, Any]) -> str:
    """Return lines with everything about a model."""
    thresholds = model["thresholds"] or {}
    unknown = "not known: measure your own, see docs/calibration.md" if model["kind"] == SPEAKER else ""
    lines = {
        "what it is": f"{model['kind']}: {model['summary']} ({model['language']})",
        "publisher": model["publisher"],
        "licence": f"{model['licence']}, {model['licence_url']}",
        "source": f"{model['source']}, {model['file_name']}",
        "size": "not known" if model["num_bytes"] is None else f"{model['num_bytes']} bytes",
        "sha256": model["sha256"] or "not known",
        "features": model["front_end"] or "samples",
        "same from": str(thresholds.get("same", unknown)),
        "different below": str(thresholds.get("different", "")),
        "why": thresholds.get("why", ""),
        "brings": ", ".join(model["brings"]),
        "in the cache": model["folder"] if model["cached"] else f"no: mindvox fetch {model['name']}",
    }
    width = max(map(len, lines))
    known = (f"  {key:{width}}  {value}" for key, value in lines.items() if value)
    return "\n".join([model["name"], *(folded(line, hanging=width + 2) for line in known)])


def markdown_table() -> str:
    """Return the table of docs/models.md."""
    lines = [
        "| Name | What it is | Language | Features | Source | MB | Licence | Same from, different below |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, model in PUBLIC_MODELS.items():
        limits = f"{model.thresholds.same:.2f}, {model.thresholds.different:.2f}" if model.thresholds else "not known"
        source = model.source if model.wheel else f"[{model.publisher}]({model.url})"
        cells = (
            *(f"`{name}`", model.summary, model.language, f"`{model.front_end}`" if model.front_end else "samples"),
            *(source, _megabytes(model.num_bytes), f"[{model.licence}]({model.licence_url})", limits),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
