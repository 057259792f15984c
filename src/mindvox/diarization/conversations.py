"""Mix conversations from recordings of single speakers; who speaks when is known.

The speech comes from a corpus and is cut at the speakers' pauses. Turns of random length follow each other with random
pauses. Some turns begin before the previous one ends, until the requested share of speech overlaps. Rooms and noise are
added at the end. The seed determines everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Protocol

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.corpus.noises import NoiseFolder, RoomFolder
from mindvox.diarization.turns import MAX_PAUSE_S, Turn
from mindvox.errors import InputError, UsageError
from mindvox.frontend.distortions import add_noise, reverberate, room_spectrum

LEVEL_DB = -26.0  # root mean square of a speaker, dB relative to full scale
MAX_OVERLAP_OF_TURN = 0.5  # largest overlap of two turns, as a share of the shorter one: never three talk at once
TRIES = 20


class Detector(Protocol):
    """A speech detector, for example `mindvox.speech.detector.SpeechDetector`."""

    def segments(self, waveform: np.ndarray) -> Sequence[tuple[float, float]]:
        """Return the speech in 16 kHz samples, (start, end) in seconds."""


@dataclass(frozen=True)
class Conversation:
    """Options for drawing conversations.

    Args:
        speech_s: speech per speaker in s; of a speaker with less, all speech is used.
        turn_s: mean of an exponentially distributed length in s; a turn ends at the first pause after this length.
        pause_s: mean pause between turns in s; exponentially distributed.
        overlap: time in which two speakers talk, as a share of the time in which anybody talks, 0 to 0.3.
        snr_db: lower and upper bound of the signal-to-noise ratio in dB, if noise is added.
        level_db: largest deviation of a speaker's level from LEVEL_DB, up or down, in dB.

    Raises:
        UsageError: a value is out of range.
    """

    speech_s: float = 30.0
    turn_s: float = 4.0
    pause_s: float = 0.5
    overlap: float = 0.0
    snr_db: tuple[float, float] = (10.0, 25.0)
    level_db: float = 3.0

    def __post_init__(self) -> None:
        if min(self.speech_s, self.turn_s, self.pause_s) <= 0 or self.level_db < 0:
            raise UsageError(f"expected lengths above 0 s and level_db of at least 0 dB, got {self}.")
        if not 0 <= self.overlap <= 0.3:
            raise UsageError(f"overlap: expected 0 to 0.3 of the speech, got {self.overlap:g}.")
        if self.snr_db[0] > self.snr_db[1]:
            raise UsageError(f"snr_db: expected the lower bound first, got {self.snr_db}.")


@dataclass(frozen=True)
class Mixture:
    """A mixed conversation.

    Attributes:
        waveform: (N,), float32, 16 kHz.
        turns: who speaks when; pauses shorter than 0.3 s do not end a turn.
    """

    waveform: np.ndarray
    turns: list[Turn]


def speech_pieces(waveform: np.ndarray, detector: Detector) -> list[np.ndarray]:
    """Cut a recording (N,) at pauses of 0.3 s or more, and drop the pauses."""
    joined: list[tuple[float, float]] = []
    for start, end in detector.segments(waveform):
        if joined and start - joined[-1][1] < MAX_PAUSE_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [waveform[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in joined]


def mix(
    pieces: Mapping[str, Sequence[np.ndarray]],
    options: Conversation,
    seed: int,
    rooms: Optional[RoomFolder] = None,
    noises: Optional[NoiseFolder] = None,
) -> Mixture:
    """Mix a conversation.

    Args:
        pieces: speech of each speaker, without pauses at the ends; see `speech_pieces`.
        options: how the conversation is drawn.
        seed: seed of all random numbers.
        rooms: each speaker gets the echo of one of these rooms; None: no echo.
        noises: one of these is mixed into the background; None: no noise.

    Raises:
        InputError: a speaker has no speech, or the turns leave too little room for the overlap.
    """
    rng = np.random.default_rng(seed)
    for speaker, own in pieces.items():
        if not sum(map(len, own)):
            raise InputError(f"{speaker}: no speech to mix.")
    order, speeches, room = _draw_order(pieces, options, rng)
    starts = _draw_starts([len(speech) for speech in speeches], room, options, rng)
    end = max(start + len(speech) for start, speech in zip(starts, speeches, strict=True))
    num_samples = end + round(rng.exponential(options.pause_s) * SAMPLE_RATE)
    voices = {speaker: np.zeros(num_samples, np.float32) for speaker in pieces}
    found: list[Turn] = []
    for speaker, start, speech in zip(order, starts, speeches, strict=True):
        voices[speaker][start : start + len(speech)] = speech
        found.append(Turn(start / SAMPLE_RATE, (start + len(speech)) / SAMPLE_RATE, speaker))
    waveform = np.zeros(num_samples, np.float32)
    for voice in voices.values():
        waveform += _placed(voice, options, rng, rooms)
    if noises is not None:
        waveform = _with_noise(waveform, options, rng, noises)
    peak = float(np.abs(waveform).max())
    return Mixture(waveform / np.float32(max(1.0, peak / 0.99)), sorted(found))


def overlap_share(turns: Sequence[Turn]) -> float:
    """Return the time in which more than one speaker talks, as a share of the time in which anybody talks."""
    edges = sorted([(turn.start_s, 1) for turn in turns] + [(turn.end_s, -1) for turn in turns])
    speech_s = overlap_s = 0.0
    number = 0
    for (time_s, change), (next_s, _) in zip(edges, edges[1:], strict=False):
        number += change
        speech_s += (next_s - time_s) * (number > 0)
        overlap_s += (next_s - time_s) * (number > 1)
    return overlap_s / speech_s if speech_s else 0.0


def _draw_turns(pieces: Sequence[np.ndarray], options: Conversation, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a speaker's turns."""
    turns: list[list[np.ndarray]] = []
    left, wanted = round(options.speech_s * SAMPLE_RATE), 0.0
    for index in rng.permutation(len(pieces)):
        piece = pieces[index][: max(0, left)]
        left -= len(piece)
        if not len(piece):
            break
        if wanted <= 0:
            turns.append([])
            wanted = rng.exponential(options.turn_s) * SAMPLE_RATE
        turns[-1].append(piece)
        wanted -= len(piece)
    return [np.concatenate(parts) for parts in turns]


def _draw_order(
    pieces: Mapping[str, Sequence[np.ndarray]], options: Conversation, rng: np.random.Generator
) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Return the speaker of each turn, the turns, and how many samples of each turn the next one may overlap.

    The turns are redrawn if they leave too little room for the requested overlap.
    """
    share = 0.0
    for _ in range(TRIES):
        turns = {speaker: _draw_turns(own, options, rng) for speaker, own in pieces.items()}
        order = _alternating({speaker: len(own) for speaker, own in turns.items()}, rng)
        queue = {speaker: iter(own) for speaker, own in turns.items()}
        speeches = [next(queue[speaker]) for speaker in order]
        pairs = zip(order, order[1:], speeches, speeches[1:], strict=False)
        room = np.array([MAX_OVERLAP_OF_TURN * min(len(x), len(y)) * (a != b) for a, b, x, y in pairs])
        share = max(share, room.sum() / (sum(map(len, speeches)) - room.sum()))
        if share >= options.overlap:
            return order, speeches, room
    raise InputError(
        f"turns of {options.turn_s:g} s on average leave room for {share:.0%} of overlap, not for "
        f"{options.overlap:.0%}: ask for less overlap or give more speech."
    )


def _alternating(counts: Mapping[str, int], rng: np.random.Generator) -> list[str]:
    """Return the order of speakers, drawn in proportion to their remaining turns; nobody repeats except at the end."""
    left = dict(counts)
    order: list[str] = []
    while any(left.values()):
        others = {speaker: count for speaker, count in left.items() if count and speaker != (order or [""])[-1]}
        if not others:  # the last speaker has the remaining turns
            others = {speaker: count for speaker, count in left.items() if count}
        names, weights = list(others), np.array(list(others.values()), float)
        order.append(names[rng.choice(len(names), p=weights / weights.sum())])
        left[order[-1]] -= 1
    return order


def _draw_starts(
    lengths: Sequence[int], room: np.ndarray, options: Conversation, rng: np.random.Generator
) -> list[int]:
    """Return the first sample of each turn, with pauses, and with overlaps up to the requested share."""
    wanted = options.overlap * sum(lengths) / (1 + options.overlap)
    overlaps = np.zeros(len(room))
    while wanted - overlaps.sum() >= 1:  # each round lengthens some overlaps, up to the limit of their turns
        drawn = rng.uniform(0.2, 1.0, len(room)) * room * rng.integers(2, size=len(room))
        drawn = np.minimum(drawn, room - overlaps)
        overlaps += drawn * min(1.0, (wanted - overlaps.sum()) / max(drawn.sum(), 1e-9))
        if overlaps.sum() >= room.sum() - len(room):
            break
    starts = [round(rng.exponential(options.pause_s) * SAMPLE_RATE)]
    for index, length in enumerate(lengths[:-1]):
        overlap = round(overlaps[index])
        pause = 0 if overlap else round(max(MAX_PAUSE_S, rng.exponential(options.pause_s)) * SAMPLE_RATE)
        starts.append(starts[-1] + length - overlap + pause)
    return starts


def _placed(
    voice: np.ndarray, options: Conversation, rng: np.random.Generator, rooms: Optional[RoomFolder]
) -> np.ndarray:
    """Return a speaker's voice (N,) at a drawn level, in a drawn room."""
    level_db = LEVEL_DB + rng.uniform(-options.level_db, options.level_db)
    spoken = np.flatnonzero(voice)
    gain = 10 ** (level_db / 20) / max(float(np.sqrt(np.square(voice[spoken], dtype=np.float64).mean())), 1e-9)
    voice = voice * np.float32(gain)
    if rooms is None:
        return voice
    response = rooms.response(int(rng.integers(len(rooms))))
    padded = np.pad(voice, (0, len(response)))  # the convolution is circular
    return reverberate(padded, room_spectrum(response, len(padded)))[: len(voice)]


def _with_noise(
    waveform: np.ndarray, options: Conversation, rng: np.random.Generator, noises: NoiseFolder
) -> np.ndarray:
    index = int(rng.integers(len(noises)))
    start = int(rng.integers(noises.num_samples(index)))
    return add_noise(waveform, noises.segment(index, start, len(waveform)), rng.uniform(*options.snr_db))
