"""Find out which enrolled speaker is in a recording: mindvox identify FILE... [--record SECONDS] [--target_rate P]."""

import argparse
import json
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.quality_arguments import add_limit_arguments
from mindvox.cli.speaker_arguments import add_source_arguments, add_store_argument, open_listener, sources_of
from mindvox.progress import quantity
from mindvox.speakers.identification import (
    IDENTIFIED,
    INCONCLUSIVE,
    NUM_CANDIDATES,
    TARGET_RATE,
    UNKNOWN,
    Candidates,
    Identification,
    NameThreshold,
    identification_facts,
    identify,
    name_threshold,
)
from mindvox.speakers.store import ModelIdentity, open_store
from mindvox.terminal import folded

EXIT_CODES = {IDENTIFIED: 0, UNKNOWN: 3, INCONCLUSIVE: 4}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Find out which enrolled speakers are in recordings."""
    arguments = _parser().parse_args(argv)
    candidates = candidates_of(arguments)
    sources = sources_of(arguments)
    with open_store(arguments.store) as store:
        listener = open_listener(arguments)
        store.require(ModelIdentity.of(listener.embedder))
        if not arguments.json:
            print(describe(name_threshold(store, listener.embedder.model_file, candidates)))
        worst = 0
        for source in sources:
            found = identify(store, listener, source, candidates, channel=arguments.channel)
            worst = max(worst, EXIT_CODES[found.answer])
            facts = identification_facts(str(source), found)
            print(json.dumps(facts, ensure_ascii=False) if arguments.json else _line(str(source), found))
    return worst


def describe(threshold: NameThreshold) -> str:
    """Return the number of speakers and the threshold for a name, in one or two lines."""
    line = f"{quantity(threshold.num_speakers, 'speaker')}; a name needs a score of at least {threshold.value:.4f}"
    if threshold.target_rate is None:
        return f"{line} ({threshold.origin})"
    source = folded(f"  threshold from {threshold.origin}")
    return f"{line}, which at most {threshold.target_rate:g} of strangers reach\n{source}"


def _line(name: str, found: Identification) -> str:
    nearest = ", ".join(f"{match.name} {match.score:.4f}" for match in found.candidates)
    scores = f" ({nearest})" if nearest else ""
    if found.answer == INCONCLUSIVE:
        return f"{name}: inconclusive: {found.reason}{scores}"
    return f"{name}: {found.name or 'unknown'}{scores}"


def add_candidate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the candidates and the required certainty."""
    parser.add_argument(
        "--target_rate",
        type=float,
        default=TARGET_RATE,
        metavar="P",
        help=f"share of strangers that may get a name (default: {TARGET_RATE:g})",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="cosine from which a name is given, in place of --target_rate"
    )
    parser.add_argument("--group", help="group of speakers to search")
    parser.add_argument("--among", nargs="+", metavar="NAME", help="names of the only speakers to search")
    parser.add_argument(
        "--num_candidates",
        type=int,
        default=NUM_CANDIDATES,
        metavar="N",
        help=f"number of nearest speakers to show (default: {NUM_CANDIDATES})",
    )


def candidates_of(arguments: argparse.Namespace) -> Candidates:
    """Return the candidates of the arguments; raise UsageError."""
    return Candidates(
        *(arguments.among, arguments.group, arguments.target_rate, arguments.threshold, arguments.num_candidates)
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox identify",
        description="Find out which enrolled speakers are in recordings.",
        epilog="Exit codes: 0 a name, 3 unknown, 4 inconclusive, of several recordings the highest; 1 failed, 2 wrong "
        "usage.",
    )
    add_source_arguments(parser)
    add_candidate_arguments(parser)
    add_limit_arguments(parser)
    add_store_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per recording")
    return parser
