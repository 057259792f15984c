"""The schemas of answers, for the OpenAPI description of the service."""

from typing import Annotated, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field

SPEAKER_ID = "9f1c2b7e4d0a4c55a1e3b8f26d7c9e01"
Score = Annotated[float, Field(ge=-1.0001, le=1.0001, examples=[0.6373], description="Cosine, from -1 to 1.")]


class Shape(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid")


class QualityShape(Shape):
    """The measured quality of a recording; see mindvox.speech.quality.Quality."""

    duration_s: float = Field(examples=[4.4], description="Duration in s.")
    net_speech_s: float = Field(examples=[3.4], description="Length of its speech in s.")
    level_dbfs: Optional[float] = Field(examples=[-31.2], description="Level of the speech in dB, full scale is 0.")
    clipped_share: float = Field(examples=[0.0], description="Share of clipped samples, 0 to 1.")
    snr_db: Optional[float] = Field(examples=[31.0], description="Ratio of speech to steady noise in dB, at most 60.")
    bandwidth_hz: Optional[float] = Field(examples=[8000.0], description="Highest frequency with speech in Hz.")
    voice_agreement: Optional[float] = Field(
        examples=[None], description="Cosine between parts of the speech; low if several people speak."
    )


class ProblemShape(Shape):
    """Why a recording cannot be used."""

    code: Literal["no_speech", "too_short", "too_noisy", "several_speakers", "unusable"]
    text: str = Field(examples=["0.6 s of speech, at least 1 s are needed"])


class RecordingShape(Shape):
    """An examined recording."""

    name: str = Field(examples=["a.flac"])
    problem: Optional[ProblemShape] = Field(examples=[None])
    quality: Optional[QualityShape]


class ThresholdsShape(Shape):
    """The thresholds that a score is compared with; see mindvox.rules.Thresholds."""

    accept: float = Field(examples=[0.713])
    reject: float = Field(examples=[-4.61])
    source: str
    why: str
    of: Literal["cosine", "log-likelihood ratio"]
    least_cosine: Optional[float] = Field(examples=[0.44])


class SpeakerName(Shape):
    """The id and the name of a speaker."""

    id: Optional[str] = Field(examples=[SPEAKER_ID])
    name: str = Field(examples=["Anna"])


class VerifyShape(Shape):
    """Whether two recordings, or a recording and a speaker, are of the same person."""

    answer: Literal["accept", "reject", "inconclusive"]
    score: Optional[Score]
    llr: Optional[float] = Field(
        examples=[5.32],
        description="Log-likelihood ratio; for a speaker, the mean over the enrolled recordings. null: no calibration "
        "was used, or it has no answer about this recording or the speaker's recordings.",
    )
    thresholds: ThresholdsShape
    reason: str = Field(examples=[""])
    meaning: str = Field(examples=["Both are the same person, by the thresholds."])
    recordings: list[RecordingShape]
    speaker: Optional[SpeakerName] = Field(None, examples=[None])


class SpeakerShape(Shape):
    """The stored data of a speaker, without embeddings."""

    id: str = Field(examples=[SPEAKER_ID])
    name: str = Field(examples=["Anna"])
    group: str = Field(examples=["staff"])
    consent: str = Field(examples=["signed form, 2026-11-01"])
    expires: Optional[str] = Field(examples=["2027-11-27T09:30:00Z"])
    created: str = Field(examples=["2026-11-27T09:30:00Z"])
    changed: str = Field(examples=["2026-11-27T09:30:00Z"])
    num_recordings: int = Field(examples=[2])
    net_speech_s: float = Field(examples=[5.1])


class MatchShape(Shape):
    """A speaker with a similar voice."""

    id: Optional[str] = Field(examples=[SPEAKER_ID])
    name: str = Field(examples=["Anna"])
    score: Score


class NearShape(Shape):
    """Another speaker whose voice seems to be the same."""

    name: str
    score: Score


class EnrolledShape(SpeakerShape):
    """A speaker who was enrolled, or to whom recordings were added."""

    same_voice: list[NearShape]
    notes: list[str] = Field(examples=[[]], description="Consequences of recordings in the telephone band.")
    recordings: list[RecordingShape]


class SpeakersShape(Shape):
    """A page of speakers, in the order of their names."""

    speakers: list[SpeakerShape]
    next: Optional[str] = Field(examples=[None], description="`after` for the next page; null: this is the last one.")


class NameThresholdShape(Shape):
    """The score from which a name is given."""

    value: float = Field(examples=[0.4500])
    origin: str
    num_speakers: int
    target_rate: Optional[float]


class IdentifyShape(Shape):
    """Who speaks in a recording."""

    recording: str = Field(examples=["who.wav"])
    answer: Literal["identified", "unknown", "inconclusive"]
    speaker: Optional[SpeakerName]
    score: Optional[Score]
    threshold: NameThresholdShape
    matches: list[MatchShape]
    code: str = Field(examples=[""])
    reason: str = Field(examples=[""])
    quality: Optional[QualityShape]
    llr: Optional[float] = Field(
        examples=[5.32],
        description="Log-likelihood ratio of the nearest speaker against one other person; null: see /v1/verify.",
    )
    recordings: list[RecordingShape]


class ConversationSpeaker(Shape):
    """A speaker of a conversation."""

    speaker: str = Field(examples=["speaker_1"])
    speech_s: float = Field(examples=[12.3])
    is_enrolled: bool
    score: Optional[Score]
    quality: Optional[QualityShape]


class TurnShape(Shape):
    """A span of time in which somebody speaks without a pause."""

    start_s: float = Field(examples=[0.3])
    end_s: float = Field(examples=[2.1])
    speaker: str = Field(examples=["speaker_1"])


class DiarizeShape(Shape):
    """Who speaks when."""

    format_version: int
    recording: str = Field(examples=["meeting.wav"])
    duration_s: float = Field(examples=[30.0])
    num_speakers: int = Field(examples=[2])
    speakers: list[ConversationSpeaker]
    turns: list[TurnShape]
    notes: list[str]


class EmbedShape(Shape):
    """An embedding."""

    recording: str = Field(examples=["a.flac"])
    embedding: list[float] = Field(examples=[[0.12, -0.05]])
    model: str = Field(examples=["campplus_zh_en"])
    fingerprint: str = Field(description="SHA-256 of the model and its front end.")


class HealthShape(Shape):
    """The service runs."""

    status: Literal["ok"]
    needs_token: bool = Field(description="Whether calls need a token.")
    allows_embeddings: bool


class ReadyShape(Shape):
    """The service can process requests."""

    status: Literal["ready"]
    model: str = Field(examples=["campplus_zh_en"])
    engine: str = Field(examples=["onnxruntime 1.31.1 CPU"])
    num_workers: int
    num_speakers: int


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mindvox:problem:no_such_speaker"])
    title: str
    status: int = Field(examples=[404])
    detail: str
    code: str = Field(examples=["no_such_speaker"], description="For programs; the same codes as on the command line.")
    recording: Optional[str] = Field(None, description="The recording that caused the problem.")
