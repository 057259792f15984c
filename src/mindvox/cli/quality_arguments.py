"""Arguments for the quality that recordings must have, and a recording's quality as text."""

import argparse
from dataclasses import fields

from mindvox.errors import UsageError
from mindvox.speech.quality import DEFAULT_LIMITS, Limits, Quality

HELP = {
    "min_net_speech_s": "least speech in a recording, s",
    "min_snr_db": "least ratio of speech to steady noise, dB",
    "max_clipped_share": "greatest share of clipped samples, 0 to 1",
    "min_voice_agreement": "least cosine between parts of a recording; below, several people are suspected; -1: off",
}


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option for each of Limits, under its name."""
    for limit in fields(Limits):
        default = getattr(DEFAULT_LIMITS, limit.name)
        parser.add_argument(
            f"--{limit.name}",
            type=float,
            default=default,
            metavar="X",
            help=f"{HELP[limit.name]} (default: {default:g})",
        )


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return the limits of the arguments.

    Raises:
        UsageError: a limit is impossible.
    """
    try:
        return Limits(**{limit.name: getattr(arguments, limit.name) for limit in fields(Limits)})
    except ValueError as error:
        flags = ", ".join(f"--{limit.name}" for limit in fields(Limits))
        raise UsageError(f"{flags}: {error}") from None


def quality_line(name: str, quality: Quality) -> str:
    """Return a line about a recording's quality."""
    words = [f"{quality.duration_s:.1f} s", f"{quality.net_speech_s:.1f} s of speech"]
    if quality.level_dbfs is not None:
        words.append(f"level {quality.level_dbfs:.0f} dB")
    if quality.snr_db is not None:
        words.append(f"{quality.snr_db:.0f} dB over noise")
    if quality.bandwidth_hz is not None:
        words.append(f"up to {quality.bandwidth_hz:.0f} Hz")
    if quality.clipped_share >= 0.001:
        words.append(f"{quality.clipped_share:.1%} clipped")
    if quality.voice_agreement is not None:
        words.append(f"voices agree by {quality.voice_agreement:.2f}")
    return f"{name}: {', '.join(words)}"
