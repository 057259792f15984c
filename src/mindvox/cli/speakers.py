"""Manage the enrolled speakers: mindvox speakers list|show|rename|delete|export|import|audit|purge."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.cli.speaker_arguments import add_store_argument
from mindvox.errors import UsageError
from mindvox.files import user_path
from mindvox.progress import quantity
from mindvox.speakers.store import (
    ADD,
    NEW,
    REPLACE,
    Speaker,
    SpeakerStore,
    Summary,
    open_store,
)
from mindvox.speakers.transfer import (
    entry_facts,
    export_line,
    export_speakers,
    facts,
    import_speakers,
    model_of,
    whole_audit,
)
from mindvox.speech.quality import band_of
from mindvox.terminal import table_lines

Run = Callable[[SpeakerStore, argparse.Namespace], None]
PAGE = 1000
COLUMNS = ("name", "recordings", "speech", "group", "enrolled", "expires")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """List and manage the speakers of a store."""
    arguments = _parser().parse_args(argv)
    model = model_of(arguments.files[0]) if arguments.run is _import else None  # an import may create the store
    with open_store(arguments.store, model) as store:
        arguments.run(store, arguments)
    return 0


def _list(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    lines = islice(_summaries(store, arguments.group), arguments.limit)
    if arguments.json:
        for line in lines:
            known = {"num_samples": line.num_samples, "net_speech_s": line.net_speech_s}
            print(json.dumps({**facts(line), **known}, ensure_ascii=False))
        return
    while page := list(islice(lines, PAGE)):
        print("\n".join(table_lines([COLUMNS, *map(_cells, page)])))
    print(quantity(store.count(arguments.group), "speaker"))


def _summaries(store: SpeakerStore, group: Optional[str]) -> Iterator[Summary]:
    after = ""
    while page := store.list(after, PAGE, group):
        yield from page
        after = page[-1].name


def _cells(line: Summary) -> tuple[str, ...]:
    known = facts(line)
    expires = known["expires"][:10] if known["expires"] else "never"
    speech = f"{line.net_speech_s:.1f} s"
    return line.name, str(line.num_samples), speech, line.terms.group or "-", known["created"][:10], expires


def _show(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    speaker = store.get(arguments.name)
    known = _details(store, speaker)
    if arguments.json:
        print(json.dumps(known, ensure_ascii=False))
        return
    for key, value in known.items():
        if isinstance(value, list):
            print(f"{key}:")
            print("\n".join("  " + ", ".join(f"{name} {it}" for name, it in one.items() if it != "") for one in value))
        else:
            print(f"{key}: {'never' if value is None else value}")


def _details(store: SpeakerStore, speaker: Speaker) -> dict[str, Any]:
    samples = [
        {
            "source": one.source,
            "net_speech_s": round(one.net_speech_s, 2),
            "band": "unknown" if one.quality is None else band_of(one.quality),
        }
        for one in speaker.samples
    ]
    history = [entry_facts(entry) for entry in whole_audit(store, speaker.name)]
    return {**facts(speaker), "model": store.model.name, "samples": samples, "audit": history}


def _rename(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    store.rename(arguments.name, arguments.new_name)
    print(f"renamed: {arguments.name} to {arguments.new_name}")


def _delete(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    for name in arguments.names:
        store.delete(name)
        print(f"deleted: {name}")


def _export(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    if arguments.all == bool(arguments.names):
        raise UsageError("speakers export: expected names, or --all.")
    names: Iterable[str] = store.names() if arguments.all else arguments.names
    if arguments.to is None:
        for name in names:
            print(export_line(store, name))
    else:
        count = export_speakers(store, names, arguments.to)
        print(f"{arguments.to}: {quantity(count, 'speaker')}")


def _import(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    for path in arguments.files:
        speakers = import_speakers(path, store.model)
        count = 0
        while page := list(islice(speakers, PAGE)):
            count += store.put_all(page, arguments.mode)
        print(f"{path}: {quantity(count, 'speaker')}")


def _audit(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    for entry in whole_audit(store, arguments.name):
        known = entry_facts(entry)
        print(json.dumps(known, ensure_ascii=False) if arguments.json else "  ".join(map(str, known.values())).rstrip())


def _purge(store: SpeakerStore, arguments: argparse.Namespace) -> None:
    count = store.purge()
    print(f"expired and deleted: {quantity(count, 'speaker')}; nothing is left of deleted voices in the store's files")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox speakers", description="List and manage enrolled speakers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[SpeakerStore, argparse.Namespace], None], meaning: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        command.set_defaults(run=run)
        add_store_argument(command)
        return command

    listed = add("list", _list, "list the speakers")
    listed.add_argument("--group", help="only speakers of this group")
    listed.add_argument("--limit", type=int, metavar="N", help="greatest number to list; default: all")
    listed.add_argument("--json", action="store_true", help="print one JSON object per speaker")
    shown = add("show", _show, "show what is known of a speaker, without the voice")
    shown.add_argument("name", metavar="NAME")
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    renamed = add("rename", _rename, "give a speaker another name")
    renamed.add_argument("name", metavar="NAME")
    renamed.add_argument("new_name", metavar="NEW_NAME")
    deleted = add("delete", _delete, "delete speakers and everything about their voices")
    deleted.add_argument("names", nargs="+", metavar="NAME")
    exported = add("export", _export, "export everything about speakers as JSON, one per line")
    exported.add_argument("names", nargs="*", metavar="NAME")
    exported.add_argument("--all", action="store_true", help="all speakers")
    exported.add_argument("--to", type=user_path, metavar="FILE", help="file to write; default: standard output")
    imported = add("import", _import, "import speakers from files of `speakers export`")
    imported.add_argument("files", type=user_path, nargs="+", metavar="FILE")
    modes = imported.add_mutually_exclusive_group()
    modes.add_argument("--add", dest="mode", action="store_const", const=ADD, help="add to existing speakers")
    modes.add_argument("--replace", dest="mode", action="store_const", const=REPLACE, help="replace existing speakers")
    imported.set_defaults(mode=NEW)
    audited = add("audit", _audit, "show what was done to the store")
    audited.add_argument("name", nargs="?", metavar="NAME", help="only speaker to show; default: all")
    audited.add_argument("--json", action="store_true", help="print one JSON object per entry")
    add("purge", _purge, "delete expired speakers, and erase traces of deleted ones from the files")
    return parser
