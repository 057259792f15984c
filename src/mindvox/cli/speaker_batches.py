"""Enrol or identify whole corpora: mindvox enrol-all SOURCE, mindvox identify-all SOURCE --out FILE."""

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.enrol import add_enrolment_arguments, given_terms, rules_of
from mindvox.cli.identify import add_candidate_arguments, candidates_of, describe
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.quality_arguments import add_limit_arguments, limits_of
from mindvox.cli.speaker_arguments import add_store_argument, open_listener, open_store_for
from mindvox.cli.worker_arguments import add_worker_arguments, embedder_choice, workers_of
from mindvox.corpus.layouts import add_layout_arguments
from mindvox.corpus.sources import corpus_of, recordings_of
from mindvox.extraction import THIS_PROCESS
from mindvox.files import user_path, write_csv
from mindvox.progress import Progress, quantity
from mindvox.speakers.batches import Hearers, enrol_all, identify_all, problems
from mindvox.speakers.identification import identification_facts, name_threshold
from mindvox.speakers.listening import ListenerChoice
from mindvox.speakers.store import ModelIdentity, Terms, open_store

HEADER = ("speaker", "recording", "reason")
NOT_ALL = 4


def enrol_main(argv: Optional[Sequence[str]] = None) -> int:
    """Enrol the speakers of a corpus."""
    arguments = _enrol_parser().parse_args(argv)
    rules, given = rules_of(arguments), given_terms(arguments)
    corpus = corpus_of(arguments.source, arguments.layout, arguments.speaker_pattern, arguments.data_list)
    hearers, listener = _hearers(arguments), open_listener(arguments)
    with open_store_for(arguments, listener) as store:
        done = list(
            enrol_all(
                *(store, listener, corpus, arguments.mode, Terms(**given) if given else None, rules),
                *(arguments.channel, Progress(len(corpus.recordings), "recordings"), hearers),
            )
        )
        count = store.count()
    enrolled = sum(one.enrolled for one in done)
    print(f"enrolled: {quantity(enrolled, 'speaker')}; the store has {quantity(count, 'speaker')}")
    for one in done:
        for match in one.same_voice:
            print(f"{one.name}: same voice as {match.name}? cosine {match.score:.4f}")
        for note in one.notes:
            print(f"note: {one.name}: {note}")
    found = [("", name, reason) for name, reason in corpus.skipped] + problems(done)
    if arguments.problems is not None:
        write_csv(arguments.problems, HEADER, found)
    elif found:
        print("\n".join(": ".join(filter(None, row)) for row in found), file=sys.stderr)
    return 0 if enrolled == len(done) else NOT_ALL


def identify_main(argv: Optional[Sequence[str]] = None) -> int:
    """Identify the speakers of many recordings."""
    arguments = _identify_parser().parse_args(argv)
    candidates, hearers = candidates_of(arguments), _hearers(arguments)
    corpus = recordings_of(arguments.source, arguments.layout, arguments.speaker_pattern, arguments.data_list)
    with open_store(arguments.store) as store:
        listener = open_listener(arguments)
        store.require(ModelIdentity.of(listener.embedder))
        print(describe(name_threshold(store, listener.embedder.model_file, candidates)))
        progress = Progress(len(corpus.recordings), "recordings")
        counts = identify_all(
            *(store, listener, corpus, arguments.out, identification_facts, candidates, arguments.channel),
            *(progress, hearers),
        )
    print(f"{arguments.out}: " + ", ".join(f"{count} {answer}" for answer, count in sorted(counts.items())))
    return 0


def _hearers(arguments: argparse.Namespace) -> Optional[Hearers]:
    """Return the processes that hear recordings; None: this process does."""
    workers = workers_of(arguments)
    if workers == THIS_PROCESS:
        return None
    return Hearers(ListenerChoice(embedder_choice(arguments, workers), limits_of(arguments)), workers)


def _enrol_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox enrol-all",
        description="Enrol the speakers of a corpus. Speakers who are already enrolled are skipped, so that an "
        "interrupted run resumes.",
        epilog="Exit codes: 0 all are enrolled, 4 some are not because of their recordings, 1 failed, 2 wrong usage.",
    )
    add_source_arguments(parser)
    add_enrolment_arguments(parser)
    parser.add_argument(
        "--problems", type=user_path, metavar="FILE", help="csv of what was not enrolled; default: standard error"
    )
    _add_common(parser)
    return parser


def _identify_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox identify-all",
        description="Identify the speakers of many recordings. Recordings that are already in the file are skipped, so "
        "that an interrupted run resumes.",
    )
    add_source_arguments(parser)
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="FILE", help="output of `identify --json`, a recording a line"
    )
    add_candidate_arguments(parser)
    _add_common(parser)
    return parser


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add SOURCE and the options for its layout."""
    parser.add_argument("source", type=user_path, metavar="SOURCE", help="folder of recordings, or a list of them")
    add_layout_arguments(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_limit_arguments(parser)
    add_store_argument(parser)
    add_model_arguments(parser)
    add_worker_arguments(parser)
