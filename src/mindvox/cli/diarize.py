"""Find out who spoke when: mindvox diarize FILE... --out DIR [--num_speakers N] ..."""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments
from mindvox.cli.speaker_arguments import add_store_argument
from mindvox.diarization.clustering import CLUSTERINGS
from mindvox.diarization.names import enrol_speakers, name_speakers
from mindvox.diarization.outputs import KINDS, PNG, default_kinds, write_all
from mindvox.diarization.pipeline import SEGMENTATIONS, Diarization, Diarizer, Options, count_of
from mindvox.diarization.turns import speech_of
from mindvox.embedder import UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.files import lock_folder, user_path, user_text
from mindvox.progress import quantity
from mindvox.speakers.identification import TARGET_RATE, Candidates
from mindvox.speakers.store import ModelIdentity, open_store

SETTINGS = {  # help of the options of Options
    "threshold": "cosine above which clusters are one speaker",
    "step_s": "distance between windows of the network, s",
    "min_pause_s": "shortest pause of a speaker; shorter ones are filled, s",
    "min_turn_s": "shortest turn; shorter ones are dropped, s",
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Find out who spoke when, and write RTTM, JSON, CSV, Audacity labels, WebVTT, and timelines in HTML and PNG."""
    arguments = _parser().parse_args(argv)
    least = 1 if arguments.min_speakers is None else arguments.min_speakers
    count = count_of(arguments.num_speakers, least, arguments.max_speakers)
    options = Options(
        segmentation=arguments.segmentation,
        clustering=arguments.clustering,
        **{name: getattr(arguments, name) for name in SETTINGS},
    )
    _check_names(arguments.files)
    kinds = _kinds(arguments.format)
    enrolled = _names_to_enrol(arguments.enrol, arguments.files)
    candidates = Candidates(
        group=arguments.group, target_rate=arguments.target_rate, threshold=arguments.name_threshold
    )
    diarizer = Diarizer.open(arguments.model, options, arguments.engine)
    failed = 0
    with contextlib.ExitStack() as stack:
        store = None
        if arguments.names or enrolled:
            store = stack.enter_context(open_store(arguments.store, ModelIdentity.of(diarizer.embedder)))
        arguments.out.mkdir(parents=True, exist_ok=True)
        stack.enter_context(lock_folder(arguments.out))
        for path in arguments.files:
            try:
                found = diarizer.diarize(path, count, channel=arguments.channel, show_progress=True)
            except UnusableRecording as error:
                print(f"error: {error}", file=sys.stderr)
                failed += 1
                continue
            if store is not None and enrolled:
                enrol_speakers(found, enrolled, store, diarizer.embedder)
            if store is not None and arguments.names:
                found = name_speakers(found, store, diarizer.embedder, candidates)
            print("\n".join([*summary(path, found), _written(write_all(arguments.out, found, kinds))]))
    return 1 if failed else 0


def _kinds(given: Optional[Sequence[str]]) -> list[str]:
    """Return what is written, once each; what cannot be is an error before any work."""
    possible = default_kinds()
    if given and PNG in given and PNG not in possible:
        raise InputError("--format png needs matplotlib: pip install -e '.[plots]'")
    return list(dict.fromkeys(given or possible))


def _written(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"  written: {paths[0]}{more}"


def _names_to_enrol(given: Sequence[tuple[str, str]], files: Sequence[Path]) -> dict[str, str]:
    """Return the names in the store by speaker; what cannot be meant is an error."""
    if given and len(files) > 1:
        raise UsageError("--enrol: give one recording at a time; speaker_1 is somebody else in the next.")
    names = dict(given)
    if len(names) < len(given) or len(set(names.values())) < len(given):
        raise UsageError("--enrol: expected each speaker and each name only once.")
    return names


def _enrolled(text: str) -> tuple[str, str]:
    """Return speaker and name of SPEAKER=NAME. A `type` for argparse."""
    speaker, _, name = user_text(text).partition("=")
    if not speaker or not name:
        raise argparse.ArgumentTypeError(f"expected SPEAKER=NAME, such as speaker_2=Anna, got {text!r}")
    return speaker, name


def summary(path: Path, found: Diarization) -> list[str]:
    """Return lines about the speakers and the duration of their speech."""
    heard = quantity(len(found.speakers), "speaker")
    lines = [f"{path}: {heard} in {found.duration_s:.1f} s", *(f"  {note}" for note in found.notes)]
    for name in found.speakers:
        score = f", score {found.scores[name]:.4f}" if name in found.scores else ""
        lines.append(f"  {name}: {speech_of(found.turns, name):.1f} s{score}")
    return lines


def _check_names(files: Sequence[Path]) -> None:
    """Raise an error for mistakes in the command: a missing file, or two files with the same result names."""
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: {'a folder, expected a recording' if path.is_dir() else 'no such file'}.")
    twice = [name for name, number in Counter(path.stem for path in files).items() if number > 1]
    if twice:
        raise UsageError(f"several recordings are called {twice[0]}: diarize them into different folders.")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox diarize", description=main.__doc__)
    parser.add_argument("files", type=user_path, nargs="+", metavar="FILE", help="recording in any audio format")
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=tuple(KINDS),
        metavar="KIND",
        help=f"kinds of files to write: {', '.join(KINDS)} (default: all; png where matplotlib is installed)",
    )
    parser.add_argument("--num_speakers", type=int, metavar="N", help="number of speakers; default: estimated")
    parser.add_argument("--min_speakers", type=int, metavar="N", help="least number of speakers (default: 1)")
    parser.add_argument("--max_speakers", type=int, metavar="N", help="greatest number of speakers (default: no limit)")
    parser.add_argument("--names", action="store_true", help="name the speakers who are enrolled")
    parser.add_argument("--group", help="group of enrolled speakers to search, for --names")
    parser.add_argument(
        "--target_rate",
        type=float,
        default=TARGET_RATE,
        metavar="P",
        help="share of strangers that may get a name, for --names (default: %(default)s)",
    )
    parser.add_argument(
        "--name_threshold",
        type=float,
        metavar="X",
        help="cosine from which a name is given, for --names, in place of --target_rate",
    )
    parser.add_argument(
        "--enrol",
        type=_enrolled,
        action="append",
        default=[],
        metavar="SPEAKER=NAME",
        help="voice of the recording to enrol, such as speaker_2=Anna; run once without it to see the speakers",
    )
    add_store_argument(parser)
    add_model_arguments(parser)
    defaults: dict[str, Any] = vars(Options())
    parser.add_argument(
        "--segmentation",
        default=defaults["segmentation"],
        choices=SEGMENTATIONS,
        help="segmentation: pyannote finds overlaps and speaker changes, silero only speech (default: %(default)s)",
    )
    parser.add_argument(
        "--clustering", default=defaults["clustering"], choices=tuple(CLUSTERINGS), help="(default: %(default)s)"
    )
    for name, text in SETTINGS.items():
        parser.add_argument(
            f"--{name}", type=float, default=defaults[name], metavar="X", help=f"{text} (default: %(default)s)"
        )
    return parser
