"""Serve speaker verification over HTTP, with a web page: mindvox serve [--port N]."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.speaker_arguments import add_store_argument
from mindvox.errors import InputError
from mindvox.files import user_path
from mindvox.service.settings import Limits, Settings

HELP = {
    "max_bytes": "greatest size of a request body, bytes",
    "max_recording_s": "longest recording, s",
    "max_conversation_s": "longest recording to diarize, s",
    "max_recordings": "greatest number of recordings in a request",
    "decode_s": "time limit for decoding a recording, s",
    "work_s": "time limit for embedding a recording, s",
    "body_s": "time limit for receiving a body, s",
    "header_s": "time limit for receiving the headers, s",
    "max_waiting": "greatest number of recordings that wait for a worker; further requests are refused",
    "max_bodies_bytes": "greatest size of all bodies together, bytes",
    "requests_per_minute": "rate limit per token or, without tokens, per address; 0: no limit",
    "burst": "number of requests that may come at once",
    "max_failures": "number of failed verifications in a row that locks a speaker; 0: never",
    "lock_s": "time for which a speaker is locked, s",
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the service until it is stopped."""
    arguments = _parser().parse_args(argv)
    limits = Limits(**{limit.name: getattr(arguments, limit.name) for limit in fields(Limits)})
    settings = Settings(
        host=arguments.host,
        port=arguments.port,
        store=arguments.store,
        tokens=arguments.tokens,
        model=arguments.model,
        engine=arguments.engine,
        num_workers=arguments.num_workers,
        trusted_proxies=tuple(arguments.trusted_proxy),
        allowed_hosts=tuple(arguments.allowed_host),
        audit_log=arguments.audit_log,
        allow_embeddings=arguments.allow_embeddings,
        threshold=arguments.threshold,
        limits=limits,
    )
    try:
        from mindvox.service.server import serve
    except ImportError as error:
        raise InputError(f"serve: {error.name} is not installed: pip install -e '.[serve]'") from None
    serve(settings)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = Parser(
        prog="mindvox serve",
        description="Serve verification, enrolment, identification and diarization over HTTP, and a web page.",
    )
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=defaults.port, metavar="N", help="port; 0: any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--allowed_host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name of the service behind a proxy; repeat for several",
    )
    parser.add_argument(
        "--trusted_proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address of a proxy whose X-Forwarded-For gives the caller's address; repeat for several",
    )
    add_tokens_argument(parser)
    add_store_argument(parser)
    add_model_arguments(parser, with_channel=False)
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="least cosine of the same person; default: the model's threshold"
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=defaults.num_workers,
        metavar="N",
        help="number of processes that decode and embed (default: one per core)",
    )
    parser.add_argument("--allow_embeddings", action="store_true", help="allow callers to get embeddings: /v1/embed")
    parser.add_argument(
        "--audit_log", type=user_path, metavar="FILE", help="log with a line per call; default: standard error"
    )
    for limit in fields(Limits):
        default = getattr(defaults.limits, limit.name)
        parser.add_argument(
            f"--{limit.name}",
            type=type(default),
            default=default,
            metavar="X",
            help=f"{HELP[limit.name]} (default: {default})",
        )
    return parser


def add_tokens_argument(parser: argparse.ArgumentParser) -> None:
    """Add --tokens."""
    parser.add_argument(
        "--tokens",
        type=user_path,
        metavar="FILE",
        help="file of the tokens; default: $MINDVOX_TOKENS, else a file in your data folder",
    )
