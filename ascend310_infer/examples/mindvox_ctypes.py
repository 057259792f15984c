"""libmindvox from Python by ctypes alone: neither NumPy nor MindSpore is needed.

    python mindvox_ctypes.py LIBRARY MODEL A.wav B.wav      # the cosine of two 16-bit mono recordings

It shows how a language without bindings calls the library. In Python itself, `mindvox.embedder.Embedder` does more.
"""

import array
import ctypes
import sys
import wave
from collections.abc import Sequence
from typing import Any, Optional

OK = 0
FLOATS = ctypes.POINTER(ctypes.c_float)
SHORTS = ctypes.POINTER(ctypes.c_int16)
TEXT = ctypes.c_char_p
HANDLE = ctypes.c_void_p
OUT_HANDLE = ctypes.POINTER(HANDLE)
SIZE = ctypes.c_size_t


class Options(ctypes.Structure):
    """mindvox_options."""

    _fields_ = [
        ("struct_size", SIZE),
        ("num_threads", ctypes.c_int32),
        ("num_workers", ctypes.c_int32),
        ("precision", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("device_id", ctypes.c_uint32),
        ("reserved", ctypes.c_int32),
        ("max_frames", ctypes.c_int64),
        ("min_duration_s", ctypes.c_double),
        ("max_clipped_fraction", ctypes.c_double),
        ("cache_folder", TEXT),
        ("lite_config", TEXT),
    ]


class Description(ctypes.Structure):
    """mindvox_description."""

    _fields_ = [
        ("struct_size", SIZE),
        ("embedding_size", SIZE),
        ("sample_rate", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("min_duration_s", ctypes.c_double),
        ("engine", TEXT),
        ("min_samples", ctypes.c_int64),
        ("window_samples", ctypes.c_int64),
        ("window_step_samples", ctypes.c_int64),
    ]


SIGNATURES = {
    "mindvox_embedder_create": [TEXT, ctypes.POINTER(Options), OUT_HANDLE],
    "mindvox_embedder_destroy": [HANDLE],
    "mindvox_embedder_describe": [HANDLE, ctypes.POINTER(Description)],
    "mindvox_embed": [HANDLE, FLOATS, SIZE, ctypes.c_int32, FLOATS, SIZE],
    "mindvox_embed_int16": [HANDLE, SHORTS, SIZE, ctypes.c_int32, FLOATS, SIZE],
    "mindvox_embed_file": [HANDLE, TEXT, FLOATS, SIZE],
    "mindvox_cosine": [FLOATS, FLOATS, SIZE, ctypes.POINTER(ctypes.c_double)],
    "mindvox_speakers_create": [SIZE, OUT_HANDLE],
    "mindvox_speakers_destroy": [HANDLE],
    "mindvox_speakers_add": [HANDLE, TEXT, FLOATS, SIZE, SIZE],
    "mindvox_speakers_remove": [HANDLE, TEXT],
    "mindvox_speakers_count": [HANDLE, ctypes.POINTER(SIZE)],
    "mindvox_speakers_contains": [HANDLE, TEXT, ctypes.POINTER(ctypes.c_int32)],
    "mindvox_speakers_search": [HANDLE, FLOATS, SIZE, ctypes.c_double, SIZE, OUT_HANDLE],
    "mindvox_speakers_list": [HANDLE, OUT_HANDLE],
    "mindvox_speakers_verify": [
        HANDLE, TEXT, FLOATS, SIZE, ctypes.c_double, ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_double),
    ],
    "mindvox_matches_count": [HANDLE, ctypes.POINTER(SIZE)],
    "mindvox_matches_get": [HANDLE, SIZE, ctypes.POINTER(TEXT), ctypes.POINTER(ctypes.c_double)],
    "mindvox_matches_destroy": [HANDLE],
}  # fmt: skip


class MindvoxError(Exception):
    """A call failed; `status` is the code of mindvox_status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Library:
    """libmindvox.so, whose functions raise MindvoxError: `library.call("embed", ...)` is `mindvox_embed(...)`."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.mindvox_last_error.restype = TEXT
        self._library.mindvox_version.restype = ctypes.c_int32
        for name, argtypes in SIGNATURES.items():
            getattr(self._library, name).argtypes = argtypes
            getattr(self._library, name).restype = ctypes.c_int32

    @property
    def version(self) -> int:
        """Version of the library: 10000 times major, plus 100 times minor, plus patch."""
        return self._library.mindvox_version()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status; the text of an error is this thread's."""
        status = getattr(self._library, f"mindvox_{name}")(*arguments)
        if status != OK:
            raise MindvoxError(status, self._library.mindvox_last_error().decode(errors="replace"))


class Embedder:
    """A model with its front end: samples to embeddings."""

    def __init__(self, library: Library, model_file: str, **options: Any) -> None:
        self._library = library
        self.handle = HANDLE()
        given = Options(struct_size=ctypes.sizeof(Options), **options)
        library.call("embedder_create", model_file.encode(), ctypes.byref(given), ctypes.byref(self.handle))
        description = Description(struct_size=ctypes.sizeof(Description))
        library.call("embedder_describe", self.handle, ctypes.byref(description))
        self.embedding_size = description.embedding_size
        self.sample_rate = description.sample_rate
        self.min_duration_s = description.min_duration_s
        self.min_samples = description.min_samples
        self.window_samples = description.window_samples
        self.window_step_samples = description.window_step_samples
        self.engine = description.engine.decode()

    def embed(self, samples: array.array, sample_rate: int) -> array.array:
        """Return the embedding of mono samples: array('f') of full scale 1, or array('h') of 16 bits."""
        if samples.typecode not in "fh":
            raise ValueError(f"expected array('f') or array('h'), got array({samples.typecode!r}).")
        name, kind = ("embed", FLOATS) if samples.typecode == "f" else ("embed_int16", SHORTS)
        embedding = array.array("f", bytes(4 * self.embedding_size))
        self._library.call(
            name, self.handle, _pointer(samples, kind), len(samples), sample_rate, _pointer(embedding), len(embedding)
        )
        return embedding

    def embed_file(self, path: str) -> array.array:
        """Return the embedding of a recording in any format that libsndfile reads."""
        embedding = array.array("f", bytes(4 * self.embedding_size))
        self._library.call("embed_file", self.handle, path.encode(), _pointer(embedding), len(embedding))
        return embedding

    def close(self) -> None:
        """Free the model."""
        self._library.call("embedder_destroy", self.handle)


class Speakers:
    """A set of speakers in memory."""

    def __init__(self, library: Library, embedding_size: int) -> None:
        self._library = library
        self._size = embedding_size
        self.handle = HANDLE()
        library.call("speakers_create", embedding_size, ctypes.byref(self.handle))

    def add(self, name: str, embeddings: Sequence[array.array]) -> None:
        """Add a speaker by one or more embeddings."""
        rows = array.array("f", b"".join(embedding.tobytes() for embedding in embeddings))
        self._library.call("speakers_add", self.handle, name.encode(), _pointer(rows), len(embeddings), self._size)

    def remove(self, name: str) -> None:
        """Remove a speaker."""
        self._library.call("speakers_remove", self.handle, name.encode())

    def __len__(self) -> int:
        count = SIZE()
        self._library.call("speakers_count", self.handle, ctypes.byref(count))
        return count.value

    def __contains__(self, name: str) -> bool:
        is_there = ctypes.c_int32()
        self._library.call("speakers_contains", self.handle, name.encode(), ctypes.byref(is_there))
        return bool(is_there.value)

    def names(self) -> list[str]:
        """Return all names, sorted by their UTF-8."""
        matches = HANDLE()
        self._library.call("speakers_list", self.handle, ctypes.byref(matches))
        return [name for name, _ in self._read(matches)]

    def search(self, embedding: array.array, threshold: float, max_matches: int) -> list[tuple[str, float]]:
        """Return the names and cosines of the speakers who reach the threshold, best first."""
        matches = HANDLE()
        self._library.call(
            "speakers_search", self.handle, _pointer(embedding), len(embedding), threshold, max_matches,
            ctypes.byref(matches),
        )  # fmt: skip
        return self._read(matches)

    def verify(self, name: str, embedding: array.array, threshold: float) -> tuple[bool, float]:
        """Return whether the cosine with a speaker reaches the threshold, and the cosine."""
        is_accepted, cosine = ctypes.c_int32(), ctypes.c_double()
        self._library.call(
            "speakers_verify", self.handle, name.encode(), _pointer(embedding), len(embedding), threshold,
            ctypes.byref(is_accepted), ctypes.byref(cosine),
        )  # fmt: skip
        return bool(is_accepted.value), cosine.value

    def close(self) -> None:
        """Free the set."""
        self._library.call("speakers_destroy", self.handle)

    def _read(self, matches: HANDLE) -> list[tuple[str, float]]:
        count, name, cosine = SIZE(), TEXT(), ctypes.c_double()
        self._library.call("matches_count", matches, ctypes.byref(count))
        read = []
        for i in range(count.value):
            self._library.call("matches_get", matches, i, ctypes.byref(name), ctypes.byref(cosine))
            read.append(((name.value or b"").decode(), cosine.value))
        self._library.call("matches_destroy", matches)
        return read


def cosine_of(library: Library, a: array.array, b: array.array) -> float:
    """Return the cosine of two embeddings."""
    cosine = ctypes.c_double()
    library.call("cosine", _pointer(a), _pointer(b), len(a), ctypes.byref(cosine))
    return cosine.value


def read_wav(path: str) -> tuple[array.array, int]:
    """Return the samples and the rate (Hz) of a 16-bit mono WAV."""
    with wave.open(path) as file:
        if (file.getsampwidth(), file.getnchannels()) != (2, 1):
            raise ValueError(f"{path}: expected 16-bit mono samples.")
        return array.array("h", file.readframes(file.getnframes())), file.getframerate()


def _pointer(values: array.array, kind: Any = FLOATS) -> Any:
    return ctypes.cast(values.buffer_info()[0], kind)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the cosine of two recordings."""
    words = sys.argv[1:] if argv is None else list(argv)
    if len(words) != 4:
        print("usage: python mindvox_ctypes.py LIBRARY MODEL A.wav B.wav", file=sys.stderr)
        return 2
    try:
        library = Library(words[0])
        embedder = Embedder(library, words[1])
        a, b = (embedder.embed(*read_wav(path)) for path in words[2:])
        print(f"cosine {cosine_of(library, a, b):.6f}")
        embedder.close()
    except (MindvoxError, OSError, ValueError, wave.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
