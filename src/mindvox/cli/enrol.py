"""Enrol a speaker: mindvox enrol NAME FILE... [--record SECONDS] [--add | --replace]."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.quality_arguments import add_limit_arguments
from mindvox.cli.speaker_arguments import (
    add_source_arguments,
    add_store_argument,
    moment,
    open_listener,
    open_store_for,
    sources_of,
)
from mindvox.errors import UsageError
from mindvox.progress import quantity
from mindvox.speakers.enrolment import Enrolment, Rules, enrol, enrolment_facts
from mindvox.speakers.store import ADD, NEW, REPLACE, NoSuchSpeaker, SpeakerStore, Terms

NOT_ENROLLED = 4


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Enrol a speaker from recordings."""
    arguments = _parser().parse_args(argv)
    rules = rules_of(arguments)
    sources = sources_of(arguments)
    listener = open_listener(arguments)
    with open_store_for(arguments, listener) as store:
        done = enrol(
            *(store, listener, arguments.name, sources, arguments.mode),
            *(_terms(arguments, store), rules),
            channel=arguments.channel,
        )
    print(json.dumps(enrolment_facts(done), ensure_ascii=False) if arguments.json else "\n".join(_lines(done)))
    return 0 if done.enrolled else NOT_ENROLLED


def rules_of(arguments: argparse.Namespace) -> Rules:
    """Return the enrolment rules of the arguments; raise UsageError."""
    try:
        return Rules(arguments.min_total_speech_s, arguments.min_agreement)
    except ValueError as error:
        raise UsageError(f"--min_total_speech_s, --min_agreement: {error}") from None


def given_terms(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the given terms by name."""
    given = {key: getattr(arguments, key) for key in ("group", "consent", "expires")}
    return {key: value for key, value in given.items() if value is not None}


def _terms(arguments: argparse.Namespace, store: SpeakerStore) -> Optional[Terms]:
    """Return the given terms combined with the speaker's existing ones; None: nothing was given."""
    given = given_terms(arguments)
    if not given:
        return None
    try:
        before = store.get(arguments.name).terms if arguments.mode != NEW else Terms()
    except NoSuchSpeaker:
        before = Terms()
    return replace(before, **given)


def _lines(done: Enrolment) -> list[str]:
    """Return lines about the result of an enrolment."""
    if done.enrolled:
        speech_s = sum(one.net_speech_s for one in done.taken)
        lines = [f"enrolled: {done.name}, {quantity(len(done.taken), 'recording')}, {speech_s:.1f} s of speech"]
    else:
        lines = [f"not enrolled: {done.name}: {done.reason}"]
    if done.enrolled:
        lines += [f"left out: {one.source}: {one.reason}" for one in done.left_out]
    if done.odd or len(done.taken) > 1:
        for one in done.taken:
            agreement = "" if one.agreement is None else f", cosine {one.agreement:.2f} with the others"
            lines.append(f"  {one.source}: {one.net_speech_s:.1f} s of speech{agreement}")
    lines += [f"same voice as {match.name}? cosine {match.score:.4f}" for match in done.same_voice]
    return lines + [f"note: {note}" for note in done.notes]


def add_enrolment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for mode, terms and rules of an enrolment."""
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--add", dest="mode", action="store_const", const=ADD, help="add to the speaker's recordings")
    modes.add_argument("--replace", dest="mode", action="store_const", const=REPLACE, help="replace earlier recordings")
    parser.set_defaults(mode=NEW)
    parser.add_argument("--group", help="group of the speaker; searches can be limited to a group")
    parser.add_argument(
        "--consent", metavar="TEXT", help="record of the person's consent: to what, when and how; kept with the voice"
    )
    parser.add_argument(
        "--expires",
        type=moment,
        metavar="WHEN",
        help="time of deletion: 90d, a date such as 2027-01-31 (UTC), or never",
    )
    defaults = Rules()
    parser.add_argument(
        "--min_total_speech_s",
        type=float,
        default=defaults.min_net_speech_s,
        metavar="X",
        help=f"least total speech of all recordings, s (default: {defaults.min_net_speech_s:g})",
    )
    parser.add_argument(
        "--min_agreement",
        type=float,
        metavar="X",
        help="cosine below which recordings count as different voices; default: the model's threshold",
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox enrol",
        description="Enrol a speaker from one or, better, several recordings.",
        epilog="Exit codes: 0 enrolled, 4 not enrolled because of the recordings, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("name", metavar="NAME", help="the speaker's name")
    add_source_arguments(parser)
    add_enrolment_arguments(parser)
    add_limit_arguments(parser)
    add_store_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
