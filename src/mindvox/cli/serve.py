"""Speaker verification over HTTP, with a web page: mindvox serve [--port N]."""

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
    "max_bytes": "largest body of a request, bytes",
    "max_recording_s": "longest recording, s",
    "max_conversation_s": "longest recording whose speakers are told apart, s",
    "max_recordings": "most recordings in a request",
    "decode_s": "longest time that decoding a recording may take, s",
    "work_s": "longest time that embedding a recording may take, s",
    "body_s": "time within which a body must arrive, s",
    "header_s": "time within which the headers must arrive, s",
    "max_waiting": "most recordings that wait for a worker; beyond it requests are refused",
    "max_bodies_bytes": "most bytes of all bodies together",
    "requests_per_minute": "requests of one token, or without tokens of one address; 0: any number",
    "burst": "requests that may come at once",
    "max_failures": "failed verifications of a speaker in a row, then it is locked; 0: never",
    "lock_s": "how long a speaker is locked, s",
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the service until it is told to end."""
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
        allow_abbrev=False,
    )
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=defaults.port, metavar="N", help="0: any (default: %(default)s)")
    parser.add_argument(
        "--allowed_host",
        action="append",
        default=[],
        metavar="NAME",
        help="name under which callers reach it, behind a proxy; may be given several times",
    )
    parser.add_argument(
        "--trusted_proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="proxy whose X-Forwarded-For says where a caller is; may be given several times",
    )
    add_tokens_argument(parser)
    add_store_argument(parser)
    add_model_arguments(parser, with_channel=False)
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="same person from this cosine on; default: the model's own"
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=defaults.num_workers,
        metavar="N",
        help="processes that decode and embed (default: the cores, %(default)s)",
    )
    parser.add_argument("--allow_embeddings", action="store_true", help="let callers have embeddings: /v1/embed")
    parser.add_argument(
        "--audit_log", type=user_path, metavar="FILE", help="gets a line for each call; default: standard error"
    )
    for limit in fields(Limits):
        default = getattr(defaults.limits, limit.name)
        parser.add_argument(
            f"--{limit.name}",
            type=type(default),
            default=default,
            metavar="X",
            help=f"{HELP[limit.name]} (default: {default:g})",
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
