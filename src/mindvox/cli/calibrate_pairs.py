"""Fit your own calibration of mindvox verify: mindvox calibrate pairs SOURCE --to FILE [--trials LIST]."""

import argparse
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.quality_arguments import add_limit_arguments
from mindvox.cli.speaker_arguments import open_listener
from mindvox.cli.speaker_batches import add_source_arguments
from mindvox.config.sections import TRIAL_FORMATS
from mindvox.corpus.sources import corpus_of, recordings_of
from mindvox.errors import UsageError
from mindvox.files import user_path
from mindvox.pair_fit import LEAST_SPEAKERS, SPEAKERS_FOR_QUALITY
from mindvox.progress import Progress, quantity
from mindvox.speakers.calibration import OwnCalibration, Rates, Trials, calibrate


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fit a calibration of pairs of recordings, and print how it does on people outside of the fit."""
    arguments = _parser().parse_args(argv)
    rates = _rates(arguments)
    source = arguments.source, arguments.layout, arguments.speaker_pattern, arguments.data_list
    if arguments.trials is None:
        corpus, trials = corpus_of(*source), None
    else:
        corpus = recordings_of(*source)
        trials = Trials.read(arguments.trials, arguments.trial_format, corpus)
    listener = open_listener(arguments)
    made = calibrate(
        *(listener, corpus, arguments.to.name, trials, rates, arguments.channel),
        Progress(len(trials.named(corpus.recordings) if trials else corpus.recordings), "recordings"),
    )
    made.calibration.save(arguments.to)
    print("\n".join(_lines(made)))
    print(f"written: {arguments.to}; to use it: mindvox verify --calibration {arguments.to} A B")
    return 0


def _lines(made: OwnCalibration) -> list[str]:
    """Return lines about the fit and its error rates."""
    calibration = made.calibration
    fitted, held_out = calibration.card["fitted_on"], calibration.card["held_out"]
    shows, needs = calibration.card["shows"], calibration.card["needs"]
    thresholds, num_speakers = calibration.thresholds, fitted["num_speakers"]
    least = "" if thresholds.least_cosine is None else f" and score {thresholds.least_cosine:g}"
    num_others = fitted["num_pairs"] - fitted["num_targets"]
    lines = [
        f"{quantity(num_speakers, 'speaker')}, {quantity(fitted['num_recordings'], 'recording')}: "
        f"{fitted['num_targets']:,} pairs of one person, {num_others:,} of two",
        calibration.llr.formula(),
        f"on people whom a fit did not see: EER {held_out['eer']:.4f}, Cllr {held_out['cllr']:.4f}, minCllr "
        f"{held_out['min_cllr']:.4f}",
        f"  same person from llr {thresholds.accept:.3g}{least}: "
        f"{held_out['accepted_targets']:.2%} of pairs of one person, {held_out['false_accepts']:.2%} of two",
        f"  different people below llr {thresholds.reject:.3g}: {held_out['false_rejects']:.2%} of pairs of one person",
        f"{num_speakers} speakers show no smaller rates than {shows['least_false_accepts']:.2%} false accepts and "
        f"{shows['least_false_rejects']:.2%} false rejects",
        f"  rates of {calibration.false_accepts:.4g} and {calibration.false_rejects:.4g} need "
        f"{needs['num_speakers']} speakers",
    ]
    if num_speakers < SPEAKERS_FOR_QUALITY:
        lines.append(f"fewer than {SPEAKERS_FOR_QUALITY} speakers: length and noise are not weighed")
    return lines + [f"left out: {one.source}: {one.reason}" for one in made.left_out]


def _rates(arguments: argparse.Namespace) -> Rates:
    try:
        return Rates(arguments.false_accepts, arguments.false_rejects, arguments.least_cosine)
    except ValueError as error:
        raise UsageError(f"--false_accepts, --false_rejects, --least_cosine: {error}") from None


def _parser() -> argparse.ArgumentParser:
    defaults = Rates()
    parser = Parser(
        prog="mindvox calibrate pairs",
        description="Fit the calibration of `mindvox verify` on recordings of people whom you know: at least "
        f"{LEAST_SPEAKERS} people with two recordings each.",
    )
    add_source_arguments(parser)
    parser.add_argument("--to", type=user_path, required=True, metavar="CALIBRATION.json", help="file to write")
    parser.add_argument(
        "--trials",
        type=user_path,
        metavar="LIST",
        help="list of the pairs of SOURCE's recordings to compare; default: all pairs",
    )
    parser.add_argument(
        "--trial_format",
        choices=[name for name in TRIAL_FORMATS if name != "voxsrc"],  # voxsrc lists are blind
        default=TRIAL_FORMATS[0],
        help="format of LIST (default: %(default)s)",
    )
    for flag, default, whose in (
        ("--false_accepts", defaults.false_accepts, "accepted pairs among pairs of two people"),
        ("--false_rejects", defaults.false_rejects, "rejected pairs among pairs of one person"),
    ):
        parser.add_argument(
            flag, type=float, default=default, metavar="RATE", help=f"greatest share of {whose} (default: {default:g})"
        )
    parser.add_argument(
        "--least_cosine", type=float, metavar="X", help="lowest cosine of an accepted pair; default: no limit"
    )
    add_limit_arguments(parser)
    add_model_arguments(parser)
    return parser
