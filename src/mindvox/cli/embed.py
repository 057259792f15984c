"""Compute embeddings of recordings: mindvox embed SOURCE --out FILE.npz|FOLDER [--model MODEL] [--workers N]."""

import argparse
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.worker_arguments import add_worker_arguments, embedder_choice, workers_of
from mindvox.corpus.layouts import add_layout_arguments
from mindvox.corpus.sources import recordings_of
from mindvox.errors import InputError
from mindvox.extraction import extract, opened, remove_parts
from mindvox.files import user_path
from mindvox.progress import Progress, quantity
from mindvox.scoring.recordings import lock_for, parts_folder_of, write_embeddings


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write names and embeddings of recordings, and a list of unusable ones."""
    arguments = _parser().parse_args(argv)
    source, out, workers = arguments.source, arguments.out, workers_of(arguments)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder.")
    choice = embedder_choice(arguments, workers)
    embedder = opened(choice)
    with lock_for(out):
        corpus = recordings_of(source, arguments.layout, arguments.speaker_pattern, arguments.data_list)
        parts, progress = parts_folder_of(out), Progress(len(corpus.recordings), "recordings")
        extracted = extract(choice, corpus, parts, arguments.channel, workers, progress)
        speakers = {recording.utt_id: recording.spk_id for recording in corpus.recordings}
        try:
            skipped = write_embeddings(out, source, extracted, embedder, speakers)
        except InputError:  # none is usable
            remove_parts(parts)
            raise
        remove_parts(parts)
    embeddings = extracted.embeddings
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
        description="Write names and embeddings of recordings, and a list of unusable ones. An interrupted run resumes "
        "when it is started again.",
    )
    parser.add_argument(
        "source",
        type=user_path,
        metavar="SOURCE",
        help="recording, folder, list with a path a line, or corpus in a layout such as csv or Kaldi",
    )
    parser.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="OUT",
        help="FILE.npz with arrays `names` and `embeddings`; or a folder for an embedding store, as of `mindvox infer`",
    )
    add_layout_arguments(parser)
    add_model_arguments(parser)
    add_worker_arguments(parser)
    return parser
