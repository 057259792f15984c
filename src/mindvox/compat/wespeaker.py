"""wespeaker's `Speaker` (wenet-e2e/wespeaker, 2024): its methods on an exported model.

    model = load_model("chinese")
    model.register("Anna", "a.wav")
    model.recognize("b.wav")   # {"name": "Anna", "confidence": 0.87}

As in wespeaker, registered speakers are only in memory; `mindvox.speakers` stores them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.audio import BadAudio, audio_of_array, read_audio
from mindvox.decisions import cosine
from mindvox.diarization.clustering import Count
from mindvox.diarization.pipeline import Diarizer
from mindvox.diarization.rttm import write_rttm
from mindvox.diarization.segmentation import Segmenter
from mindvox.diarization.turns import Turn
from mindvox.embedder import DEFAULT_MODEL, Embedder, UnusableRecording
from mindvox.errors import InputError
from mindvox.files import PathLike, text_lines
from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector, only_speech

Labelled = tuple[str, float, float, int]
"""A turn: recording, start in s, end in s, number of the speaker."""

MODELS = {"chinese": DEFAULT_MODEL, "english": "resnet221_en_wespeaker", "campplus": DEFAULT_MODEL}


class Speaker:
    """wespeaker's class on an exported model.

    Differences: embeddings are NumPy arrays; an unusable recording raises UnusableRecording; diarization is MindVox's,
    which finds overlaps too. As in wespeaker, a recording without speech has the embedding None after `set_vad(True)`.

    Args:
        model_dir: a public model, an exported model, or a folder with one.

    Raises:
        InputError: the model is missing.
    """

    def __init__(self, model_dir: PathLike) -> None:
        self.embedder = Embedder.open(model_dir)
        self.table: dict[str, np.ndarray] = {}
        self.apply_vad = False
        self._detector: Optional[SpeechDetector] = None
        self._diarizer: Optional[Diarizer] = None
        self._count = Count()

    def set_vad(self, apply_vad: bool) -> None:
        """Embed only speech, or everything; the default is everything."""
        self.apply_vad = apply_vad

    def set_resample_rate(self, resample_rate: int) -> None:
        """Accept only the model's sample rate; every recording is converted to it anyway."""
        rate = self.embedder.front_end.sample_rate
        if resample_rate != rate:
            raise InputError(f"resample_rate: expected {rate} Hz, the model's, got {resample_rate}.")

    def set_wavform_norm(self, wavform_norm: bool) -> None:
        """Do nothing: the scale of samples belongs to the model's front end."""

    def set_gpu(self, device_id: int) -> None:
        """Accept only -1: the model runs on the CPU."""
        if device_id >= 0:
            raise InputError(f"device_id: expected -1, the CPU, got {device_id}.")

    def set_device(self, device: str) -> None:
        """Accept only the CPU."""
        if device != "cpu":
            raise InputError(f"device: expected cpu, got {device}.")

    def extract_embedding(self, audio_path: PathLike) -> Optional[np.ndarray]:
        """Return the embedding (D,) of a recording; None: it has no speech, after `set_vad(True)`."""
        if not self.apply_vad:
            return self.embedder.embed(audio_path)
        try:
            waveform = read_audio(audio_path, sample_rate=SAMPLE_RATE).waveform
        except BadAudio as error:
            raise UnusableRecording(str(audio_path), error.reason) from None
        return self.extract_embedding_from_pcm(waveform, SAMPLE_RATE)

    def extract_embedding_from_pcm(self, pcm: np.ndarray, sample_rate: int) -> Optional[np.ndarray]:
        """Return the embedding of samples, (N,), or (channels, N) as in torchaudio; see extract_embedding."""
        samples = np.asarray(pcm)
        if samples.ndim == 2:
            samples = samples.T
        if not self.apply_vad:
            return self.embedder.embed(samples, sample_rate)
        samples = audio_of_array(samples, sample_rate, SAMPLE_RATE).waveform
        if self._detector is None:
            self._detector = SpeechDetector.open()
        speech = only_speech(samples, self._detector.segments(samples))
        return self.embedder.embed(speech, SAMPLE_RATE) if speech.size else None

    def extract_embedding_list(self, scp_path: PathLike) -> "tuple[list[str], list[Optional[np.ndarray]]]":
        """Return names and embeddings of a list with lines `<name> <path>`."""
        listed = list(_listed(scp_path))
        return [name for name, _ in listed], [self.extract_embedding(path) for _, path in listed]

    def compute_similarity(self, audio_path1: PathLike, audio_path2: PathLike) -> float:
        """Return the similarity of two recordings, see `cosine_similarity`; 0 if one has no speech."""
        embeddings = (self.extract_embedding(audio_path1), self.extract_embedding(audio_path2))
        if embeddings[0] is None or embeddings[1] is None:
            return 0.0
        return self.cosine_similarity(embeddings[0], embeddings[1])

    def cosine_similarity(self, e1: np.ndarray, e2: np.ndarray) -> float:
        """Return the cosine of two embeddings mapped from [-1, 1] to [0, 1], as in wespeaker."""
        return (cosine(np.asarray(e1), np.asarray(e2)) + 1) / 2

    def register(self, name: str, audio_path: PathLike) -> None:
        """Register a speaker; as in wespeaker, a registered name is kept and a line says so."""
        if name in self.table:
            print(f"Speaker {name} already registered, ignore")
            return
        embedding = self.extract_embedding(audio_path)
        if embedding is None:
            raise UnusableRecording(str(audio_path), "no speech")
        self.table[name] = embedding

    def recognize(self, audio_path: PathLike) -> dict[str, Any]:
        """Return name and confidence (0 to 1) of the nearest registered speaker, even for a stranger; no name: none."""
        query = self.extract_embedding(audio_path)
        if query is None or not self.table:
            return {"name": "", "confidence": 0.0}
        scores = {name: self.cosine_similarity(query, known) for name, known in self.table.items()}
        name = max(scores, key=lambda one: scores[one])
        return {"name": name, "confidence": scores[name]}

    def set_diarization_params(
        self, num_spks: Optional[int] = None, min_num_spks: int = 1, max_num_spks: int = 20
    ) -> None:
        """Set the number of speakers, or its bounds, for `diarize`; windows and the like are MindVox's own."""
        self._count = Count(min_num_spks, max_num_spks) if num_spks is None else Count(num_spks, num_spks)

    def diarize(self, audio_path: PathLike, utt: str = "unk") -> list[Labelled]:
        """Return who speaks when, sorted by time; speakers are 0, 1, ...

        Raises:
            InputError: segmentation_pyannote was not fetched.
        """
        if self._diarizer is None:
            self._diarizer = Diarizer(self.embedder, segmenter=Segmenter.open())
        found = self._diarizer.diarize(audio_path, self._count)
        number = {name: place for place, name in enumerate(found.speakers)}
        return [(utt, turn.start_s, turn.end_s, number[turn.speaker]) for turn in found.turns]

    def diarize_list(self, scp_path: PathLike) -> tuple[list[str], list[list[Labelled]]]:
        """Return names and turns of a list with lines `<name> <path>`."""
        listed = list(_listed(scp_path))
        return [name for name, _ in listed], [self.diarize(path, name) for name, path in listed]

    def make_rttm(self, merged_segment_to_labels: Iterable[Labelled], outfile: PathLike) -> None:
        """Write turns to an RTTM file."""
        turns: dict[str, list[Turn]] = {}
        for utt, start_s, end_s, label in merged_segment_to_labels:
            turns.setdefault(utt, []).append(Turn(start_s, end_s, str(label)))
        write_rttm(outfile, turns)


def _listed(scp_path: PathLike) -> Iterator[tuple[str, str]]:
    """Yield names and paths of a list with lines `<name> <path>`."""
    for line_no, line in text_lines(scp_path, "list of recordings"):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise InputError(f"{scp_path}:{line_no}: expected '<name> <path>', got {line!r}.")
        yield fields[0], fields[1]


def load_model(language: str) -> Speaker:
    """Return the model "chinese", "english" or "campplus", which `mindvox fetch` has stored, or any public model."""
    return Speaker(MODELS.get(language, language))


def load_model_local(model_dir: PathLike) -> Speaker:
    """Return the exported model in a folder."""
    if not Path(model_dir).is_dir():
        raise InputError(f"{model_dir}: no such folder, expected one with an exported model.")
    return Speaker(model_dir)
