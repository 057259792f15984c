"""Who spoke when: from a recording to turns.

    diarizer = Diarizer.open()
    found = diarizer.diarize("meeting.wav")
    found.turns  # [Turn(start_s=0.3, end_s=2.1, speaker="speaker_1"), ...]

The steps are those of pyannote.audio 3.1 (Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech):
windows of 10 s in which a network separates up to three speakers, embeddings of these speakers, clustering over the
whole recording, and a vote of the windows in each frame. pyannote.audio has one embedding per speaker of a window. Here
each stretch of speech has its own, because the network sometimes merges two people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.diarization.clustering import CLUSTERINGS, Count, cluster
from mindvox.diarization.embedding import Voices, embed_voices
from mindvox.diarization.frames import FRAME_STEP, Windows
from mindvox.diarization.quality import qualities_of
from mindvox.diarization.reconstruction import assign, centroids_of, clusterable, tidied, turns_of, with_second
from mindvox.diarization.recording import Recording
from mindvox.diarization.segmentation import Segmenter, windows_of_speech
from mindvox.diarization.turns import MAX_PAUSE_S, Turn, speakers_of
from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.errors import UsageError
from mindvox.files import PathLike
from mindvox.progress import Progress
from mindvox.speech.quality import Quality

if TYPE_CHECKING:
    from mindvox.speech.detector import SpeechDetector

NETWORK, DETECTOR = "pyannote", "silero"
SEGMENTATIONS = (NETWORK, DETECTOR)
NOBODY_SPEAKS = "Nobody speaks."
MIN_OVERLAP_S, MIN_OVERLAP_SHARE = 0.5, 0.02  # with this much overlap, in s and share, there are two speakers
PART_SAMPLES = 600 * SAMPLE_RATE  # samples that the speech detector processes at once


@dataclass(frozen=True)
class Options:
    """Options of diarization, with the sources of the defaults.

    Args:
        segmentation: "pyannote": segmentation-3.0 finds speech, speaker changes and overlaps. "silero": Silero finds
            speech, and one speaker talks at a time.
        step_s: step between the network's windows in s; a quarter of the window. pyannote.audio uses a tenth.
        max_speech_s: most speech in s that is embedded per stretch without break or overlap; more takes longer.
        clustering: one of CLUSTERINGS.
        threshold: cosine from which clusters are one speaker; docs/diarization.md says on what data it was fitted.
        min_alone_s: least speech without overlap, in s, for an embedding to be clustered; other embeddings are only
            assigned to clusters.
        min_cluster_size: least number of embeddings per speaker in a long recording; see `cluster`.
        min_pause_s: shorter pauses of a speaker, in s, are filled; NIST's rule for turns (Rich Transcription 2009).
        min_turn_s: shorter turns, in s, are dropped; pyannote.audio 3.1: 0.

    Raises:
        UsageError: a value is out of range.
    """

    segmentation: str = NETWORK
    step_s: float = 2.5
    max_speech_s: float = 2.0
    clustering: str = "agglomerative"
    threshold: float = 0.35
    min_alone_s: float = 1.0
    min_cluster_size: int = 2
    min_pause_s: float = MAX_PAUSE_S
    min_turn_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("segmentation", self.segmentation, SEGMENTATIONS),
            ("clustering", self.clustering, tuple(CLUSTERINGS)),
        ):
            if value not in known:
                raise UsageError(f"{name}: expected one of {', '.join(known)}, got {value!r}.")
        if not 0.1 <= self.step_s <= 10:
            raise UsageError(f"step_s: expected 0.1 to 10 s, got {self.step_s:g}.")
        if not -1 <= self.threshold <= 1:
            raise UsageError(f"threshold: expected a cosine from -1 to 1, got {self.threshold:g}.")
        if self.max_speech_s < 0.5 or min(self.min_alone_s, self.min_pause_s, self.min_turn_s) < 0:
            raise UsageError(f"expected max_speech_s of at least 0.5 s and other lengths of at least 0 s, got {self}.")
        if self.min_cluster_size < 1:
            raise UsageError(f"min_cluster_size: expected at least 1, got {self.min_cluster_size}.")


@dataclass(frozen=True)
class Diarization:
    """Who spoke when in a recording.

    Attributes:
        recording: the recording's name.
        duration_s: the recording's duration in s.
        turns: the turns, sorted by time; speakers are speaker_1, speaker_2, ... in the order of their first words.
            Empty if nobody speaks.
        embeddings: the embedding of each speaker, (D,), float32, of length 1.
        scores: for each speaker named from the store, the cosine with the enrolled voice.
        notes: what a reader must know about the result, one sentence each.
        qualities: the quality of each speaker's turns; `voice_agreement` is None.
    """

    recording: str
    duration_s: float
    turns: list[Turn]
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    qualities: dict[str, Quality] = field(default_factory=dict)

    @property
    def speakers(self) -> list[str]:
        """Speakers in the order of their first words."""
        return speakers_of(self.turns)


class Diarizer:
    """Loaded models and their options. One diarizer serves many recordings, one at a time or in threads.

    Args:
        embedder: the speaker model.
        options: see Options.
        segmenter: the segmentation network; needed for the segmentation "pyannote".
        detector: the speech detector; needed for the segmentation "silero", unless each call gives `speech`.
    """

    def __init__(
        self,
        embedder: Embedder,
        options: Optional[Options] = None,
        segmenter: Optional[Segmenter] = None,
        detector: Optional["SpeechDetector"] = None,
    ) -> None:
        self.embedder = embedder
        self.options = options or Options()
        self.segmenter = segmenter
        self.detector = detector

    @classmethod
    def open(
        cls, model: PathLike = DEFAULT_MODEL, options: Optional[Options] = None, engine: str = "auto"
    ) -> "Diarizer":
        """Load the models that the options need.

        Args:
            model, engine: the speaker model, see `Embedder.open`. It must take features of 16 kHz and any length.

        Raises:
            InputError: a model was not fetched, or is damaged.
        """
        options = options or Options()
        segmenter = detector = None
        if options.segmentation == NETWORK:
            segmenter = Segmenter.open()
        else:
            from mindvox.speech.detector import SpeechDetector

            detector = SpeechDetector.open()
        return cls(Embedder.open(model, engine), options, segmenter, detector)

    def diarize(
        self,
        source: Union[PathLike, np.ndarray],
        count: Optional[Count] = None,
        *,
        sample_rate: Optional[int] = None,
        channel: Optional[int] = None,
        speech: Optional[Sequence[tuple[float, float]]] = None,
        show_progress: bool = False,
    ) -> Diarization:
        """Return who speaks when.

        Args:
            source: a file; or samples (N,) or (N, channels), see `audio_of_array`.
            count: bounds of the number of speakers; None: none.
            sample_rate: sample rate of an array in Hz; None: 16000.
            channel: the only channel to use, from 0; None: the mean of all.
            speech: where somebody speaks, (start, end) in seconds; the network still separates the speakers there, and
                the rest counts as silence. None: `options.segmentation` finds the speech.
            show_progress: print the progress every few seconds.

        Raises:
            UnusableRecording: the source cannot be read, has no samples, or is longer than a day.
            InputError: the speaker model does not fit.
        """
        count = count or Count()
        recording = Recording(source, sample_rate, channel)
        windows = self._windows(recording, speech, show_progress)
        progress = Progress(len(windows.activity), "windows") if show_progress else None
        voices = embed_voices(self.embedder, recording, windows, self.options.max_speech_s, progress)
        if not len(voices.windows):
            note = NOBODY_SPEAKS if not windows.activity.any() else "Too little speech for an embedding."
            return Diarization(recording.name, recording.duration_s, [], notes=[note])
        centroids = self._centroids(voices, count, windows.counts())
        turns = turns_of(windows, assign(windows, voices, centroids), windows.counts(), len(centroids))
        turns = [turn._replace(end_s=min(turn.end_s, recording.duration_s)) for turn in turns]
        turns = tidied(turns, self.options.min_pause_s, self.options.min_turn_s)
        names = {number: f"speaker_{place}" for place, number in enumerate(speakers_of(turns), 1)}
        turns = [turn._replace(speaker=names[turn.speaker]) for turn in turns]
        return Diarization(
            recording.name,
            recording.duration_s,
            turns,
            {names[number]: centroids[int(number)].astype(np.float32) for number in names},
            notes=_notes(len(names), count),
            qualities=qualities_of(recording, turns),
        )

    def _centroids(self, voices: Voices, count: Count, counts: np.ndarray) -> np.ndarray:
        """Return the mean embedding of each speaker (K, D).

        Args:
            counts: number of speakers in each frame.
        """
        options = self.options
        embeddings = clusterable(voices, options.min_alone_s)
        if len(embeddings) < count.least:
            embeddings = voices.embeddings
        labels = cluster(embeddings, options.clustering, options.threshold, count, options.min_cluster_size)
        centroids = centroids_of(embeddings, labels)
        if len(centroids) == 1 and count.most != 1 and len(voices.windows) > 1 and _two_talk_at_once(counts):
            return with_second(centroids, voices)
        return centroids

    def _windows(
        self, recording: Recording, speech: Optional[Sequence[tuple[float, float]]], show_progress: bool
    ) -> Windows:
        progress = Progress(recording.duration_s, "s") if show_progress else None
        if self.options.segmentation == NETWORK:
            if self.segmenter is None:
                raise ValueError("`segmenter` is needed for the segmentation 'pyannote'.")
            step_frames = max(1, round(self.options.step_s * SAMPLE_RATE / FRAME_STEP))
            windows = self.segmenter.windows(recording, step_frames, progress)
            return windows if speech is None else windows.within(speech)
        if speech is None:
            speech = self._speech(recording, progress)
        return windows_of_speech(speech, recording.num_samples)

    def _speech(self, recording: Recording, progress: Optional[Progress]) -> list[tuple[float, float]]:
        """Return where the detector finds speech; a long recording is processed in parts."""
        if self.detector is None:
            raise ValueError("`detector` is needed for the segmentation 'silero'.")
        found: list[tuple[float, float]] = []
        for start in range(0, recording.num_samples, PART_SAMPLES):
            waveform = recording.part(start, min(start + PART_SAMPLES, recording.num_samples))
            offset_s = start / SAMPLE_RATE
            found += [(offset_s + first, offset_s + last) for first, last in self.detector.segments(waveform)]
            if progress is not None:
                progress.show(len(waveform) / SAMPLE_RATE)
        return found


def diarize(
    source: Union[PathLike, np.ndarray],
    num_speakers: Optional[int] = None,
    *,
    min_speakers: int = 1,
    max_speakers: Optional[int] = None,
    options: Optional[Options] = None,
) -> Diarization:
    """Return who speaks when in one recording; `Diarizer` serves many recordings and has more options.

    Args:
        source: a file, or samples at 16 kHz; see `Diarizer.diarize`.
        num_speakers: number of speakers; None: it is estimated, within the bounds.
        min_speakers, max_speakers: the bounds, inclusive.

    Raises:
        UsageError: the numbers contradict each other.
        UnusableRecording, InputError: see `Diarizer`.
    """
    return Diarizer.open(options=options).diarize(source, count_of(num_speakers, min_speakers, max_speakers))


def count_of(num_speakers: Optional[int], min_speakers: int = 1, max_speakers: Optional[int] = None) -> Count:
    """Return a user's numbers as bounds.

    Raises:
        UsageError: both a number of speakers and bounds are given, or no number is within the bounds.
    """
    if num_speakers is None:
        return Count(min_speakers, max_speakers)
    if (min_speakers, max_speakers) != (1, None):
        raise UsageError("num_speakers: give either num_speakers, or min_speakers and max_speakers.")
    return Count(num_speakers, num_speakers)


def _two_talk_at_once(counts: np.ndarray) -> bool:
    """Return whether there is enough overlap to conclude that there are at least two speakers."""
    overlap, speech = np.count_nonzero(counts > 1), np.count_nonzero(counts)
    return overlap * FRAME_STEP >= MIN_OVERLAP_S * SAMPLE_RATE and overlap >= MIN_OVERLAP_SHARE * speech


def _notes(num_found: int, count: Count) -> list[str]:
    if num_found == 0:
        return [NOBODY_SPEAKS]
    if num_found < count.least:
        return [f"Asked for at least {count.least} speakers, heard {num_found}."]
    return []
