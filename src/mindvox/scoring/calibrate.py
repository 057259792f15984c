"""Calibrate the scores of one system, or fuse those of several systems, to log-likelihood ratios.

`mindvox calibrate fit [NAME=]SCORES.tsv:COLUMN ... --to CALIBRATION.json` and
`mindvox calibrate apply CALIBRATION.json [NAME=]SCORES.tsv ... --to OUT.tsv`.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.corpus.names import Names
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, named_path, read_csv, read_json, sha256_file, user_path, write_json
from mindvox.scoring.calibration import fit_llr
from mindvox.scoring.embeddings import INDEX_HEADER, Identity
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.scoring.measures import format_measures
from mindvox.scoring.quality_measures import MEASURES, QualitySource
from mindvox.scoring.score_files import ScoreTable, align, read_scores, write_scores
from mindvox.scoring.trial_list import some

FORMAT_VERSION = 1
COLUMN = "llr"
COHORT_SIZE = 300  # as in wespeaker


@dataclass(frozen=True)
class Quality:
    """The quality measures of a calibration, and how the embeddings for them were made.

    Attributes:
        measures: names from quality_measures.MEASURES.
        cohort_size: number of most similar cohort speakers that cohort_mean averages over.
        identity: identity of the embeddings of the fit; other embeddings must be made the same way.
    """

    measures: list[str]
    cohort_size: int
    identity: Identity


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration or fusion.

    Attributes:
        columns: for each system, the column of its score file.
        quality: quality measures, or None.
        llr: weights of the systems' scores, in the order of `columns`, then of the quality measures.
        speakers: speakers of the fit, sorted.
        training: facts about the fit, for readers of the file.
    """

    columns: dict[str, str]
    quality: Optional[Quality]
    llr: LinearLlr
    speakers: list[str]
    training: dict[str, Any]

    def save(self, path: PathLike) -> None:
        """Write the calibration as JSON."""
        write_json(
            path,
            {
                "format_version": FORMAT_VERSION,
                "systems": [{"name": name, "column": column} for name, column in self.columns.items()],
                "quality": asdict(self.quality) if self.quality else None,
                "weights": [
                    {"input": name, "weight": weight}
                    for name, weight in zip(self.llr.names, self.llr.weights, strict=True)
                ],
                "offset": self.llr.offset,
                "speakers": self.speakers,
                "training": self.training,
            },
        )

    @classmethod
    def open(cls, path: PathLike) -> "Calibration":
        """Read a calibration that `save` wrote.

        Raises:
            InputError: the file is missing, or is not a calibration.
        """
        stored = read_json(path)
        try:
            if stored["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {stored['format_version']}")
            columns = {str(system["name"]): str(system["column"]) for system in stored["systems"]}
            quality = stored["quality"]
            if quality is not None:
                measures = [str(measure) for measure in quality["measures"]]
                quality = Quality(measures, int(quality["cohort_size"]), Identity(**quality["identity"]))
            names = tuple(str(item["input"]) for item in stored["weights"])
            weights = tuple(float(item["weight"]) for item in stored["weights"])
            llr = LinearLlr(names, weights, float(stored["offset"]))
            if not all(map(math.isfinite, (*weights, llr.offset))):
                raise ValueError("weights that are not finite")
            if names != (*columns, *_measure_inputs(quality.measures if quality else [])):
                raise ValueError(f"weights of {', '.join(names)}")
            return cls(columns, quality, llr, [str(name) for name in stored["speakers"]], stored["training"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: expected a calibration of version {FORMAT_VERSION}, got {error}.") from None

    def check_unseen_speakers(self, table: ScoreTable, speakers: set[str]) -> None:
        """Raise InputError for trials with speakers of the fit: the results would be too good."""
        shared = speakers & set(self.speakers)
        if shared:
            raise InputError(
                f"{table.path}: {len(shared)} of its {len(speakers)} speakers are among those of the fit, such as "
                f"{some(shared)}. Fit on other speakers, or pass --allow_seen_speakers."
            )


def _measure_inputs(measures: Sequence[str]) -> list[str]:
    return [f"{measure} {kind}" for measure in measures for kind in ("min", "max", "ratio")]


@dataclass(frozen=True)
class ScoredTrials:
    """Trials that all systems have scored.

    Attributes:
        table: the first system's file, which gives the order of trials.
        scores: each system's scores in that order.
    """

    table: ScoreTable
    scores: dict[str, np.ndarray]

    @classmethod
    def read(cls, files: Mapping[str, str], columns: Mapping[str, str]) -> "ScoredTrials":
        """Read each system's file, take its column, and match the trials by name."""
        tables = {system: read_scores(path) for system, path in files.items()}
        rows = align(tables)
        scores = {system: table.column(columns[system])[rows[system]] for system, table in tables.items()}
        return cls(next(iter(tables.values())), scores)

    def inputs(self, quality: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return scores and quality measures side by side (T, M)."""
        return np.column_stack([*self.scores.values(), *quality.values()])


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fit a calibration or fusion of score files, or apply one."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)
    return 0


def _fit(arguments: argparse.Namespace) -> None:
    """Fit weights on scored trials with known truth, print them and the error rates before and after."""
    if not 0 < arguments.p_target < 1 or not 0 <= arguments.ridge < math.inf:
        raise UsageError("expected --p_target between 0 and 1, and --ridge at least 0.")
    files, columns = _systems_and_columns(arguments.systems)
    trials = ScoredTrials.read(files, columns)
    is_target = trials.table.truth()
    speakers = trials.table.speakers(_speaker_by_name(arguments.speakers))
    source = _quality_source(arguments, arguments.quality)
    measured = source.measure(trials.table, arguments.quality, arguments.cohort_size) if source else {}
    inputs = trials.inputs(measured)
    llr = fit_llr(inputs, is_target, [*columns, *measured], arguments.p_target, arguments.ridge)
    training = {
        "p_target": arguments.p_target,
        "ridge": arguments.ridge,
        "num_trials": len(is_target),
        "num_targets": int(np.count_nonzero(is_target)),
        "files": [{"name": Path(path).name, "sha256": sha256_file(path)} for path in files.values()],
        "versions": {name: version(name) for name in ("numpy", "scipy")},
    }
    quality = Quality(arguments.quality, arguments.cohort_size, source.evaluation.identity) if source else None
    Calibration(columns, quality, llr, sorted(speakers), training).save(arguments.to)
    print(f"{trials.table.describe()}, {len(speakers)} speakers")
    print(llr.formula())
    for name, weight in zip(columns, llr.weights, strict=False):
        if weight < 0:
            print(f"{name}: its weight is negative: here a higher score speaks against the same speaker")
    print(format_measures({**trials.scores, COLUMN: llr(inputs)}, is_target))
    print(f"written: {arguments.to}")


def _apply(arguments: argparse.Namespace) -> None:
    """Turn scores of other speakers' trials into log-likelihood ratios; print error rates before and after."""
    calibration = Calibration.open(arguments.calibration)
    trials = ScoredTrials.read(_files(arguments.systems, calibration.columns), calibration.columns)
    if not arguments.allow_seen_speakers:
        speakers = trials.table.speakers(_speaker_by_name(arguments.speakers))
        calibration.check_unseen_speakers(trials.table, speakers)
    quality = calibration.quality
    source = _quality_source(arguments, quality.measures if quality else [])
    measured = {}
    if source and quality:
        source.check_same_model(quality.identity)
        measured = source.measure(trials.table, quality.measures, quality.cohort_size)
    columns = {**trials.scores, COLUMN: calibration.llr(trials.inputs(measured))}
    table = trials.table
    write_scores(arguments.to, table.is_target, table.enrol, table.test, columns)
    print(table.describe())
    print(calibration.llr.formula())
    if table.is_target is not None and 0 < np.count_nonzero(table.is_target) < len(table):
        print(format_measures(columns, table.is_target))
    else:
        print("no error rates: they need target and non-target trials")
    print(f"written: {arguments.to}")


def _systems_and_columns(systems: Sequence[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Split the name and FILE:COLUMN of each system; a single system without a name is named after its column."""
    files: dict[str, str] = {}
    columns: dict[str, str] = {}
    for name, rest in systems:
        path, _, column = rest.rpartition(":")
        if not path or not column:
            raise UsageError(f"expected [NAME=]SCORES.tsv:COLUMN, got {_word(name, rest)!r}.")
        if not name and len(systems) > 1:
            raise UsageError(f"several systems need names: expected NAME=SCORES.tsv:COLUMN, got {rest!r}.")
        name = name or column
        if name in files or name == COLUMN:
            raise UsageError(f"{name}: give the system of {rest} a name of its own, other than {COLUMN!r}, by NAME=...")
        files[name], columns[name] = path, column
    return files, columns


def _files(systems: Sequence[tuple[str, str]], columns: Mapping[str, str]) -> dict[str, str]:
    """Return the file of each fitted system, in the order of the fit, from the given names and files."""
    named = dict(systems)
    if len(systems) == len(columns) == 1 and "" in named:
        named = {next(iter(columns)): named[""]}
    if named.keys() != columns.keys() or len(systems) != len(columns):
        expected = " ".join(f"{name}=SCORES.tsv" for name in columns)
        got = " ".join(_word(name, path) for name, path in systems)
        raise UsageError(f"expected the systems of the fit, {expected}, got {got}.")
    return {name: named[name] for name in columns}


def _word(name: str, rest: str) -> str:
    return f"{name}={rest}" if name else rest


def _speaker_by_name(path: Optional[Path]) -> Optional[dict[str, str]]:
    if path is None:
        return None
    names = Names()
    return {names(utt_id, str(path)): spk_id for utt_id, spk_id in read_csv(path, INDEX_HEADER)}


def _quality_source(arguments: argparse.Namespace, measures: Sequence[str]) -> Optional[QualitySource]:
    if not measures:
        return None
    if arguments.embeddings is None:
        raise UsageError("quality measures need --embeddings, the folder with the embedding stores eval and norm.")
    return QualitySource.open(arguments.embeddings, arguments.store if "duration" in measures else None)


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if len(set(names)) < len(names) or not set(names) <= set(MEASURES):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(MEASURES)}, got {text!r}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox calibrate",
        description=main.__doc__,
        epilog="`mindvox calibrate pairs` fits on recordings, for `mindvox verify`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="fit on scored trials with known truth", description=_fit.__doc__)
    fit.set_defaults(command=_fit)
    fit.add_argument(
        "systems",
        nargs="+",
        type=named_path,
        metavar="[NAME=]SCORES.tsv:COLUMN",
        help="score file and column of a system; several systems are fused",
    )
    fit.add_argument("--to", type=user_path, required=True, metavar="CALIBRATION.json", help="file to write")
    fit.add_argument(
        "--p_target", type=float, default=0.5, metavar="P", help="effective prior to optimise for (%(default)s)"
    )
    fit.add_argument(
        "--ridge", type=float, default=0.0, metavar="R", help="penalty on weights of standardised inputs (%(default)s)"
    )
    fit.add_argument(
        "--quality", type=_measures, default=[], metavar="LIST", help=f"quality measures, some of {','.join(MEASURES)}"
    )
    fit.add_argument(
        "--cohort_size",
        type=int,
        default=COHORT_SIZE,
        metavar="N",
        help="number of most similar speakers that cohort_mean averages over (%(default)s)",
    )
    apply = commands.add_parser("apply", help="apply to trials of other speakers", description=_apply.__doc__)
    apply.set_defaults(command=_apply)
    apply.add_argument("calibration", type=user_path, metavar="CALIBRATION.json", help="file of `fit`")
    apply.add_argument(
        "systems",
        nargs="+",
        type=named_path,
        metavar="[NAME=]SCORES.tsv",
        help="score file of each system of the fit",
    )
    apply.add_argument(
        "--to", type=user_path, required=True, metavar="OUT.tsv", help="score file to write, with a column llr"
    )
    apply.add_argument("--allow_seen_speakers", action="store_true", help="accept trials of the fit's speakers")
    for command in (fit, apply):
        command.add_argument(
            "--embeddings",
            type=user_path,
            metavar="RESULT",
            help="folder with the embedding stores eval and norm; for --quality",
        )
        command.add_argument(
            "--store", type=user_path, metavar="DATA", help="evaluation store, for the quality measure duration"
        )
        command.add_argument(
            "--speakers",
            type=user_path,
            metavar="INDEX.csv",
            help="table of the speakers, 'utt_id,spk_id', if names do not begin with the speaker",
        )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
