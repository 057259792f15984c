"""Mix conversations from a corpus: mindvox make-conversations CORPUS OUT [--num N] [--overlap X] ..."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import soundfile

from mindvox.arguments import Parser
from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, to_int16
from mindvox.corpus.layouts import add_layout_arguments, open_corpus
from mindvox.corpus.noises import NoiseFolder, RoomFolder
from mindvox.corpus.quality import read_usable
from mindvox.corpus.tree import Recording
from mindvox.diarization.conversations import Conversation, Detector, mix, overlap_share, speech_pieces
from mindvox.diarization.rttm import write_rttm
from mindvox.errors import InputError, UsageError
from mindvox.files import atomic_path, lock_folder, user_path
from mindvox.progress import Progress

REFERENCE = "reference.rttm"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Mix conversations with their RTTM from recordings of single speakers; a seed reproduces them."""
    arguments = _parser().parse_args(argv)
    least, most = arguments.speakers
    if not 1 <= least <= most:
        raise UsageError(f"--speakers: expected 1 <= least <= most, got {least} {most}.")
    if arguments.num < 1:
        raise UsageError(f"--num: expected at least 1, got {arguments.num}.")
    options = Conversation(arguments.speech, arguments.turn, arguments.pause, arguments.overlap, tuple(arguments.snr))
    rooms = RoomFolder.open(arguments.rooms) if arguments.rooms else None
    noises = NoiseFolder.open(arguments.noises) if arguments.noises else None
    by_speaker: dict[str, list[Recording]] = {}
    corpus = open_corpus(arguments.corpus, arguments.layout, arguments.speaker_pattern, arguments.data_list)
    for found in corpus.recordings:
        by_speaker.setdefault(found.spk_id, []).append(found)
    if len(by_speaker) < most:
        raise InputError(f"{arguments.corpus}: expected at least {most} speakers, got {len(by_speaker)}.")
    from mindvox.speech.detector import SpeechDetector

    detector = SpeechDetector.open()
    turns_of = {}
    progress = Progress(arguments.num, "conversations")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with lock_folder(arguments.out):
        for number in range(arguments.num):
            rng = np.random.default_rng((arguments.seed, number))
            chosen = rng.permutation(sorted(by_speaker))[: rng.integers(least, most + 1)]
            pieces = {
                str(speaker): _pieces(corpus.folder, by_speaker[speaker], detector, options, rng) for speaker in chosen
            }
            mixture = mix(pieces, options, int(rng.integers(2**32)), rooms, noises)
            name = f"conversation_{number:04}"
            with atomic_path(arguments.out / f"{name}.wav") as temporary:
                soundfile.write(temporary, to_int16(mixture.waveform), SAMPLE_RATE, format="WAV")
            turns_of[name] = mixture.turns
            progress.show(1)
        write_rttm(arguments.out / REFERENCE, turns_of)
    share = np.mean([overlap_share(turns) for turns in turns_of.values()])
    print(f"{arguments.out}: {arguments.num} conversations, {share:.1%} of the speech is overlap; {REFERENCE}")
    return 0


def _pieces(
    folder: str, recordings: Sequence[Recording], detector: Detector, options: Conversation, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return enough speech of one speaker, from recordings in random order."""
    pieces: list[np.ndarray] = []
    for index in rng.permutation(len(recordings)):
        found = recordings[index]
        stop = None if found.stop_s is None else round(found.stop_s * SAMPLE_RATE)
        try:
            clip = read_usable(Path(folder, found.wav), round(found.start_s * SAMPLE_RATE), stop)
        except BadAudio as error:
            raise InputError(f"{Path(folder, found.wav)}: {error.reason}. Remove it.") from None
        pieces += speech_pieces(clip.waveform, detector)
        if sum(map(len, pieces)) >= options.speech_s * SAMPLE_RATE:
            break
    return pieces


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox make-conversations", description=main.__doc__)
    parser.add_argument("corpus", type=user_path, metavar="CORPUS", help="holds wav/<speaker>/<session>/<file>")
    parser.add_argument("out", type=user_path, metavar="OUT", help=f"folder for the recordings and {REFERENCE}")
    defaults = Conversation()
    numbers = {
        "speech": (defaults.speech_s, "speech per speaker, s"),
        "turn": (defaults.turn_s, "mean length of a turn before it ends at the next pause, s"),
        "pause": (defaults.pause_s, "mean pause between turns, s"),
        "overlap": (defaults.overlap, "duration of overlap as a share of the speech, 0 to 0.3"),
    }
    for name, (default, text) in numbers.items():
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{text} (default: {default:g})"
        )
    parser.add_argument("--num", type=int, default=10, metavar="N", help="number of conversations (default: 10)")
    parser.add_argument(
        "--speakers", type=int, nargs=2, default=(2, 6), metavar="N", help="least and greatest number (default: 2 6)"
    )
    parser.add_argument(
        "--rooms", type=user_path, metavar="DIR", help="folder of room responses; each speaker gets one"
    )
    parser.add_argument("--noises", type=user_path, metavar="DIR", help="folder of noises; one is in the background")
    parser.add_argument(
        "--snr", type=float, nargs=2, default=defaults.snr_db, metavar="DB", help="range of speech-to-noise ratios, dB"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed (default: 1)")
    add_layout_arguments(parser)
    return parser
