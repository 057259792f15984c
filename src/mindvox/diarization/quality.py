"""Measure the quality of each speaker's speech in a recording: bandwidth, noise, level."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.diarization.recording import Recording
from mindvox.diarization.turns import Turn, speakers_of, speech_of
from mindvox.speech.quality import Quality, measure_speech

MOST_SPEECH_S = 60.0  # most speech per speaker that is measured


def qualities_of(recording: Recording, turns: Iterable[Turn]) -> dict[str, Quality]:
    """Return the quality of each speaker, measured on the first minute of their turns; the lengths are of all turns.

    The noise is measured in the pauses within turns.

    Raises:
        UnusableRecording: the file is damaged.
    """
    turns = sorted(turns)
    found = {}
    for speaker in speakers_of(turns):
        speech = _speech(recording, [turn for turn in turns if turn.speaker == speaker])
        if speech.size:
            seconds = speech_of(turns, speaker)
            found[speaker] = replace(measure_speech(speech, speech), duration_s=seconds, net_speech_s=seconds)
    return found


def _speech(recording: Recording, turns: Iterable[Turn]) -> np.ndarray:
    """Return the samples of turns, concatenated, at most MOST_SPEECH_S of them."""
    parts, left = [np.empty(0, np.float32)], round(MOST_SPEECH_S * SAMPLE_RATE)
    for turn in turns:
        start = round(turn.start_s * SAMPLE_RATE)
        stop = min(round(turn.end_s * SAMPLE_RATE), start + left, recording.num_samples)
        if stop > start:
            parts.append(recording.part(start, stop))
            left -= stop - start
    return np.concatenate(parts)
