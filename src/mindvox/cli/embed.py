"""Embeddings of recordings: mindvox embed FILE_OR_FOLDER --out FILE.npz|FOLDER [--model MODEL]."""

import argparse
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments, open_embedder
from mindvox.errors import InputError
from mindvox.files import user_path
from mindvox.progress import Progress, quantity
from mindvox.scoring.recordings import lock_for, write_embeddings


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write names and embeddings of recordings, and a list of those that cannot be used."""
    arguments = _parser().parse_args(argv)
    source, out = arguments.source, arguments.out
    if not source.exists():
        raise InputError(f"{source}: no such file or folder.")
    embedder = open_embedder(arguments)
    with lock_for(out):
        if source.is_dir():
            embeddings = embedder.folder(source, arguments.channel, progress=Progress(0, "recordings"))
        else:
            embeddings = embedder.embed_many({source.name: source}, arguments.channel)
        skipped = write_embeddings(out, source, embeddings, embedder)
    made = quantity(len(embeddings.names), "embedding")
    print(f"{out}: {made} of {embedder.emb_size} numbers, {embedder.engine.name}")
    if embeddings.skipped:
        name, reason = embeddings.skipped[0]
        what = quantity(len(embeddings.skipped), "recording")
        print(f"skipped: {what} that cannot be used, listed in {skipped}, such as {name}: {reason}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox embed",
        description="Write names and embeddings of recordings, and a list of those that cannot be used.",
        allow_abbrev=False,
    )
    parser.add_argument("source", type=user_path, metavar="FILE_OR_FOLDER", help="recording, or folder of recordings")
    parser.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="OUT",
        help="FILE.npz: arrays `names` and `embeddings`; else a folder: an embedding store, as `mindvox infer` writes",
    )
    add_model_arguments(parser)
    return parser
