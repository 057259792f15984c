"""Arguments that choose the workers, for commands that embed many recordings."""

import argparse

from mindvox.engines.exported import find_exported
from mindvox.errors import UsageError
from mindvox.extraction import EmbedderChoice, Workers


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --dask."""
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of processes with one thread each; 1, the default: one process with all cores",
    )
    parser.add_argument(
        "--dask", default="", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786; local: start one"
    )


def workers_of(arguments: argparse.Namespace) -> Workers:
    """Return the workers of the arguments; raise UsageError."""
    if arguments.workers < 1:
        raise UsageError(f"--workers: expected at least 1, got {arguments.workers}.")
    return Workers(arguments.workers, arguments.dask)


def embedder_choice(arguments: argparse.Namespace, workers: Workers) -> EmbedderChoice:
    """Return the model of the arguments, in the form in which each worker opens it."""
    model = str(find_exported(arguments.model).absolute())
    return EmbedderChoice(model, arguments.engine, num_threads=workers.num_threads)
