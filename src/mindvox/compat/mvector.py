"""mvector's predictor (yeyupiaoling/VoiceprintRecognition-Pytorch 1.1): its methods on a store of speakers.

    predictor = MVectorPredictor(audio_db_path="audio_db")
    predictor.register("a.wav", "Anna")
    name, score = predictor.recognition("b.wav")

A folder `audio_db` of recordings, `audio_db/<user>/<file>`, is read as in mvector, and new recordings are added to it.
Its `audio_indexes.bin` is a pickle and is not read: the embeddings are computed again into `speakers.db` beside it.
"""

import argparse
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Optional, Union

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE, audio_of_array, is_audio_name, read_audio
from mindvox.decisions import cosine
from mindvox.embedder import DEFAULT_MODEL, Embedder, UnusableRecording
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, user_text
from mindvox.speakers.identification import Candidates
from mindvox.speakers.store import ADD, ModelIdentity, NoSuchSpeaker, Sample, SpeakerStore, check_name, open_store

if TYPE_CHECKING:
    from mindvox.diarization.pipeline import Diarizer

STORE = "speakers.db"
BATCH_FILES = 64
THRESHOLD = 0.6  # mvector's default

Audio = Union[PathLike, BinaryIO, bytes, np.ndarray]
Spans = Sequence[Union[Mapping[str, float], Sequence[float]]]


class MVectorPredictor:
    """mvector's class on an exported model.

    Differences: features come from the model's front end, not from `configs`; unusable recordings raise
    UnusableRecording; embeddings do not depend on the batch, so there is no `batch_size`; the store of speakers decides
    who is nearest; diarization is MindVox's, which finds overlaps too.

    Args:
        configs: mvector's configuration; accepted but without effect, because an exported model describes itself.
        threshold: least cosine of the same speaker. The default is mvector's; the best one depends on the model, see
            docs/speakers.md.
        audio_db_path: folder of the users' recordings; None: no folder, and nothing can be registered.
        model_path: a public model, an exported model, or a folder that holds one.
        use_gpu: must be False: models run on the CPU.

    Raises:
        InputError: the model is missing, or `use_gpu` is True.
    """

    def __init__(
        self,
        configs: Any = None,
        threshold: float = THRESHOLD,
        audio_db_path: Optional[PathLike] = None,
        model_path: PathLike = DEFAULT_MODEL,
        use_gpu: bool = False,
    ) -> None:
        if use_gpu:
            raise InputError("use_gpu: expected False, because models run on the CPU.")
        del configs
        self.threshold = threshold
        self.embedder = Embedder.open(model_path)
        self.audio_db_path = audio_db_path
        self._store: Optional[SpeakerStore] = None
        self._diarizer: Optional[Diarizer] = None
        if audio_db_path is not None:
            Path(audio_db_path).mkdir(parents=True, exist_ok=True)
            self._store = open_store(Path(audio_db_path, STORE), ModelIdentity.of(self.embedder))
            self._read_folder(Path(audio_db_path), self._store)

    def predict(self, audio_data: Audio, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """Return the embedding (D,) of a recording.

        Args:
            audio_data: a path, an opened file, a file's bytes, or samples (N,).
            sample_rate: sample rate of samples in Hz.
        """
        if isinstance(audio_data, np.ndarray):
            return self.embedder.embed(audio_data, sample_rate)
        if isinstance(audio_data, (str, Path)):
            return self.embedder.embed(audio_data)
        return self.embedder.embed(*_decode(audio_data))

    def predict_batch(self, audios_data: "list[Audio]", sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """Return the embeddings (B, D) of recordings; see `predict`."""
        return np.stack([self.predict(audio_data, sample_rate) for audio_data in audios_data])

    def contrast(self, audio_data1: Audio, audio_data2: Audio) -> float:
        """Return the cosine of two recordings."""
        return cosine(self.predict(audio_data1), self.predict(audio_data2))

    def register(self, audio_data: Audio, user_name: str, sample_rate: int = SAMPLE_RATE) -> tuple[bool, str]:
        """Enrol a user or add a recording; it is copied into `audio_db_path`. Return True and a message."""
        store, folder = self._opened()
        name = _folder_name(user_name)
        embedding = self.predict(audio_data, sample_rate)
        number = 0
        while (path := folder / name / f"{number}.wav").exists():
            number += 1
        _keep(audio_data, sample_rate, path)
        store.put(name, [Sample(embedding, path.name)], mode=ADD)
        return True, "registered"

    def recognition(
        self, audio_data: Audio, threshold: Optional[float] = None, sample_rate: int = SAMPLE_RATE
    ) -> "list[Any]":
        """Return name and cosine of the nearest user; two None if nobody reaches the threshold.

        Args:
            threshold: None: the object's threshold. As in mvector, a given threshold is kept for later calls.
        """
        store, _ = self._opened()
        if threshold:
            self.threshold = threshold
        found = store.search(self.predict(audio_data, sample_rate)[None])[0]
        if not found or found[0].score < self.threshold:
            return [None, None]
        return [found[0].name, round(found[0].score, 5)]

    def get_users(self) -> "list[str]":
        """Return the users, with one entry for each of their recordings, as in mvector."""
        store, _ = self._opened()
        return [name for name in store.names() for _ in store.get(name).samples]

    def remove_user(self, user_name: str) -> bool:
        """Delete a user with all recordings; return False if there is no such user."""
        store, folder = self._opened()
        name = _folder_name(user_name)
        try:
            store.delete(name)
        except NoSuchSpeaker:
            return False
        shutil.rmtree(folder / name, ignore_errors=True)
        return True

    def speaker_diarization(
        self,
        audio_data: Audio,
        sample_rate: int = SAMPLE_RATE,
        speaker_num: Optional[int] = None,
        search_audio_db: bool = False,
    ) -> "list[dict[str, Any]]":
        """Return who speaks when: dictionaries with `speaker`, `start` and `end` in s, sorted by time.

        Args:
            audio_data, sample_rate: see `predict`.
            speaker_num: number of speakers; None: it is estimated.
            search_audio_db: whether users get their names, from the object's threshold on; all others are 陌生人0,
                陌生人1, ... (strangers). Without it, speakers are 0, 1, ...

        Raises:
            InputError: segmentation_pyannote was not fetched, or there is no `audio_db_path` to search.
        """
        return self._diarize(audio_data, None, sample_rate, speaker_num, search_audio_db)

    def speaker_diarization_from_timestamps(
        self,
        audio_data: Audio,
        timestamps: Spans,
        sample_rate: int = SAMPLE_RATE,
        speaker_num: Optional[int] = None,
        search_audio_db: bool = False,
    ) -> "list[dict[str, Any]]":
        """Return who speaks when within given spans, `{"start": s, "end": s}` or (s, s); see `speaker_diarization`."""
        spans = [
            (span["start"], span["end"]) if isinstance(span, Mapping) else (span[0], span[1]) for span in timestamps
        ]
        return self._diarize(audio_data, spans, sample_rate, speaker_num, search_audio_db)

    def _diarize(
        self,
        audio_data: Audio,
        speech: "Optional[list[tuple[float, float]]]",
        sample_rate: int,
        speaker_num: Optional[int],
        search_audio_db: bool,
    ) -> "list[dict[str, Any]]":
        from mindvox.diarization.names import name_speakers  # imported here: they need SciPy, which takes 0.25 s
        from mindvox.diarization.pipeline import Diarizer, count_of
        from mindvox.diarization.segmentation import Segmenter

        if self._diarizer is None:
            self._diarizer = Diarizer(self.embedder, segmenter=Segmenter.open())
        source: Union[PathLike, np.ndarray]
        if isinstance(audio_data, (str, Path)):
            source, rate = audio_data, None
        elif isinstance(audio_data, np.ndarray):
            source, rate = audio_data, sample_rate
        else:
            source, rate = _decode(audio_data)
        found = self._diarizer.diarize(source, count_of(speaker_num), sample_rate=rate, speech=speech)
        names: dict[str, Any] = {name: number for number, name in enumerate(found.speakers)}
        if search_audio_db:
            store, _ = self._opened()
            strangers = {name: f"陌生人{number}" for name, number in names.items()}
            found = name_speakers(found, store, self.embedder, Candidates(threshold=self.threshold))
            names = {name: name if name in found.scores else strangers[name] for name in found.speakers}
        return [{"speaker": names[turn.speaker], "start": turn.start_s, "end": turn.end_s} for turn in found.turns]

    def _opened(self) -> tuple[SpeakerStore, Path]:
        if self._store is None or self.audio_db_path is None:
            raise InputError("audio_db_path: expected a folder for the users' recordings, got None.")
        return self._store, Path(self.audio_db_path)

    def _read_folder(self, folder: Path, store: SpeakerStore) -> None:
        """Enrol the recordings of a folder that are not yet in the store."""
        for user in sorted(path for path in folder.iterdir() if path.is_dir()):
            name = check_name(user.name)
            try:
                known = {sample.source for sample in store.get(name).samples}
            except NoSuchSpeaker:
                known = set()
            new = [path for path in sorted(user.iterdir()) if is_audio_name(path.name) and path.name not in known]
            for first in range(0, len(new), BATCH_FILES):
                made = self.embedder.embed_many({path.name: path for path in new[first : first + BATCH_FILES]})
                if made.skipped:
                    raise UnusableRecording(str(user / made.skipped[0].utt_id), made.skipped[0].reason)
                store.put(name, list(map(Sample, made.vectors, made.names)), mode=ADD)


def add_predictor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --threshold and --model_path as in mvector's programs."""
    parser.add_argument("--threshold", type=float, default=THRESHOLD, metavar="X", help="least cosine of one person")
    parser.add_argument(
        "--model_path", type=user_text, default=DEFAULT_MODEL, help="public or exported model, or folder with one"
    )


def _folder_name(user_name: str) -> str:
    """Return a user's name after checking that it can be a folder's name."""
    name = check_name(user_name)
    if name in (".", "..") or any(character in name for character in "/\\:"):
        raise InputError(f"name of a user: expected a valid name of a folder, got {user_name!r}.")
    return name


def _decode(audio_data: Union[BinaryIO, bytes]) -> tuple[np.ndarray, int]:
    """Return the samples and the sample rate of a file's bytes."""
    import soundfile

    try:
        if isinstance(audio_data, bytes):
            return soundfile.read(io.BytesIO(audio_data), dtype="float32")
        audio_data.seek(0)
        return soundfile.read(audio_data, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise UnusableRecording("the recording", f"not a readable audio file ({error})") from None


def _keep(audio_data: Audio, sample_rate: int, path: Path) -> None:
    """Copy a recording that was embedded to a wav file, mono, 16 kHz."""
    import soundfile

    if isinstance(audio_data, (str, Path)):
        clip = read_audio(audio_data)
    elif isinstance(audio_data, np.ndarray):
        clip = audio_of_array(audio_data, sample_rate)
    else:
        clip = audio_of_array(*_decode(audio_data))
    with atomic_path(path) as temporary:
        soundfile.write(temporary, clip.waveform, SAMPLE_RATE)
