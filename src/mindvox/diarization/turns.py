"""Turns: who speaks from when to when. All parts of diarization exchange this form."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_PAUSE_S = 0.3  # a shorter pause is inside a turn: NIST's rule for reference turns (Rich Transcription 2009)


class Turn(NamedTuple):
    """A span of time in which a speaker talks without a break.

    Attributes:
        start_s: start in the recording, in s.
        end_s: end in the recording, in s.
        speaker: the speaker, a name or a number within the recording.
    """

    start_s: float
    end_s: float
    speaker: str


def speakers_of(turns: Iterable[Turn]) -> list[str]:
    """Return the speakers in the order of their first words."""
    return list(dict.fromkeys(turn.speaker for turn in sorted(turns)))


def speech_of(turns: Iterable[Turn], speaker: str) -> float:
    """Return how long a speaker talks in s."""
    return sum(turn.end_s - turn.start_s for turn in turns if turn.speaker == speaker)


def joined(turns: Iterable[Turn], max_gap_s: float = 0.0) -> list[Turn]:
    """Join turns of one speaker that touch, overlap, or are at most `max_gap_s` apart; sort by time."""
    found: list[Turn] = []
    by_speaker: dict[str, list[Turn]] = {}
    for turn in sorted(turns):
        by_speaker.setdefault(turn.speaker, []).append(turn)
    for own in by_speaker.values():
        last = own[0]
        for turn in own[1:]:
            if turn.start_s - last.end_s <= max_gap_s:
                last = last._replace(end_s=max(last.end_s, turn.end_s))
            else:
                found.append(last)
                last = turn
        found.append(last)
    return sorted(found)


def renamed(turns: Sequence[Turn], names: dict[str, str]) -> list[Turn]:
    """Rename speakers; those who are not in `names` keep their names."""
    return [turn._replace(speaker=names.get(turn.speaker, turn.speaker)) for turn in turns]
