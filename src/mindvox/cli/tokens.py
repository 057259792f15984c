"""Manage the access tokens of the service: mindvox tokens add | list | revoke."""

import argparse
import json
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.serve import add_tokens_argument
from mindvox.cli.speaker_arguments import moment
from mindvox.service.settings import default_tokens
from mindvox.service.tokens import SCOPES, TokenFile
from mindvox.speakers.store import NEVER
from mindvox.speakers.transfer import as_text
from mindvox.terminal import table_lines

COLUMNS = ("id", "name", "scopes", "expires")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make, list and revoke tokens."""
    arguments = _parser().parse_args(argv)
    file = TokenFile(default_tokens() if arguments.tokens is None else arguments.tokens)
    arguments.run(file, arguments)
    return 0


def _add(file: TokenFile, arguments: argparse.Namespace) -> None:
    text = file.add(arguments.name, [scope.strip() for scope in arguments.scopes.split(",")], arguments.expires)
    print(text)


def _list(file: TokenFile, arguments: argparse.Namespace) -> None:
    rows = [COLUMNS]
    for token in file.all():
        expires = None if token.expires is None else as_text(token.expires)
        known = {
            "id": token.id,
            "name": token.name,
            "scopes": list(token.scopes),
            "created": as_text(token.created),
            "expires": expires,
        }
        if arguments.json:
            print(json.dumps(known, ensure_ascii=False))
        rows.append((token.id, token.name, ",".join(token.scopes), expires or "never"))
    if len(rows) > 1 and not arguments.json:
        print("\n".join(table_lines(rows)))


def _revoke(file: TokenFile, arguments: argparse.Namespace) -> None:
    file.revoke(arguments.token)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox tokens", description="Manage the access tokens of the service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    scopes = "; ".join(f"{name}: {meaning}" for name, meaning in SCOPES.items())
    added = commands.add_parser("add", help="make a token and print it once")
    added.add_argument("name", metavar="NAME", help="name of the token's owner")
    added.add_argument("--scopes", required=True, metavar="SCOPE,...", help=scopes)
    added.add_argument(
        "--expires",
        type=moment,
        default=NEVER,
        metavar="WHEN",
        help="end: 90d, a date such as 2027-01-31 (UTC), or never",
    )
    added.set_defaults(run=_add)
    listed = commands.add_parser("list", help="list the tokens, without their secrets")
    listed.add_argument("--json", action="store_true", help="print one JSON object per token")
    listed.set_defaults(run=_list)
    revoked = commands.add_parser("revoke", help="make a token invalid at once")
    revoked.add_argument("token", metavar="ID", help="id or name of the token")
    revoked.set_defaults(run=_revoke)
    for command in (added, listed, revoked):
        add_tokens_argument(command)
    return parser
