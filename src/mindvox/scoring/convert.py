"""Convert embedding stores from and to Kaldi's archives.

`mindvox convert-scores export STORE PREFIX` writes PREFIX.ark, PREFIX.scp and PREFIX.utt2spk;
`mindvox convert-scores import FILE STORE --utt2spk FILE --model FILE_OR_NAME` makes a store of FILE.ark or
FILE.scp. Both need the extra kaldi.

An archive may hold pickled objects, and an scp file shell commands, which the reading library would execute. Here only
plain vectors are read; anything else is refused before the library sees it.
"""

import argparse
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.corpus.names import Names
from mindvox.errors import InputError, UsageError, run
from mindvox.files import atomic_path, lock_folder, lock_output, sha256_file, text_lines, user_path, user_text
from mindvox.scoring.embeddings import EmbeddingStore, Identity, check_finite

VECTOR_KINDS = (b"\0BFV ", b"\0BDV ")  # binary float32 and float64
HEADER_BYTES = 10  # the kind, the byte 4, and the size as int32
LARGEST_VECTOR = 1 << 20  # numbers
LONGEST_NAME = 4096  # bytes
LONGEST_TEXT = 1 << 24  # bytes of a vector written as text
PLACE = re.compile(r"(?P<file>[^|\[\]]+?)(?::(?P<offset>\d+))?")  # no pipe, no range of rows
_ONLY = "commands, pipes, objects and ranges are not run or read."


def read_kaldi(path: Path) -> tuple[list[str], np.ndarray]:
    """Read the vectors of an .ark or .scp file.

    Returns:
        Names in the file's order, without repetition, and float32 (U, D).

    Raises:
        InputError: the file is missing or damaged, holds anything but vectors of equal size, names an utterance
            twice, or contains a command; the message says where.
    """
    try:
        if path.suffix == ".scp":
            entries = list(_scp_entries(path))
        else:
            with open(path, "rb") as stream:
                entries = list(_ark_entries(path, stream))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: cannot read {error.filename}: {error.strerror}.") from None
    spellings = Names()
    names = [spellings(name, str(path)) for name, _ in entries]
    if not entries:
        raise InputError(f"{path}: expected vectors, got none.")
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise InputError(f"{path}: {twice} is there twice.")
    sizes = {len(vector) for _, vector in entries}
    if len(sizes) > 1 or 0 in sizes:
        raise InputError(f"{path}: expected vectors of one size, got sizes {', '.join(map(str, sorted(sizes)[:5]))}.")
    embeddings = np.array([vector for _, vector in entries], dtype=np.float32)
    check_finite(embeddings, names)
    return names, embeddings


def _scp_entries(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    streams: dict[str, BinaryIO] = {}
    try:
        for line_no, words in _table(path, "<utterance> <file>[:<offset>]"):
            name, place = words
            match = PLACE.fullmatch(place)
            if not match or match["file"] == "-":
                raise InputError(f"{path}:{line_no}: expected '<utterance> <file>[:<offset>]', got {place!r}; {_ONLY}")
            if match["file"] not in streams:
                streams[match["file"]] = open(_find(match["file"], path), "rb")  # noqa: SIM115 - closed below
            stream = streams[match["file"]]
            stream.seek(int(match["offset"] or 0))
            yield name, _vector(f"{path}:{line_no}: {place}", stream)
    finally:
        for stream in streams.values():
            stream.close()


def _find(name: str, scp: Path) -> Path:
    """Return a file as given, from the working directory as in Kaldi, else beside the scp file."""
    for path in (Path(name), Path(scp.parent, name)):
        if path.is_file():
            return path
    raise InputError(f"{scp}: names {name}, which is not a file here or beside it.")


def _table(path: Path, form: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the two columns of each line of a Kaldi table; the second may hold spaces."""
    for line_no, line in text_lines(path):
        words = line.strip().split(maxsplit=1)
        if len(words) != 2:
            raise InputError(f"{path}:{line_no}: expected '{form}', got {line.strip()[:100]!r}.")
        yield line_no, words


def _ark_entries(path: Path, stream: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    while True:
        start = stream.tell()
        name = b"\n"
        while name == b"\n":  # end of the previous vector written as text
            name = stream.read(1)
        if not name:
            return
        while not name.endswith(b" "):
            byte = stream.read(1)
            if not byte or len(name) > LONGEST_NAME:
                raise InputError(f"{path}: expected '<utterance> <vector>' at byte {start}, got something else.")
            name += byte
        try:
            utt_id = name.decode().strip()
        except UnicodeDecodeError:
            raise InputError(f"{path}: expected a name in UTF-8 at byte {start}, got {name[:50]!r}.") from None
        yield utt_id, _vector(f"{path}: {utt_id}", stream)


def _vector(where: str, stream: BinaryIO) -> np.ndarray:
    """Read one vector at the stream's position, after checking its header."""
    import kaldiio

    header = stream.read(HEADER_BYTES)
    stream.seek(-len(header), io.SEEK_CUR)
    if re.match(rb" *\[", header):
        return _text_vector(where, stream.readline(LONGEST_TEXT))
    kind, size = header[:5], int.from_bytes(header[6:], "little", signed=True)
    if kind not in VECTOR_KINDS or len(header) < HEADER_BYTES or header[5] != 4:
        raise InputError(f"{where}: expected a float vector, got what begins with {header!r}. {_ONLY.capitalize()}")
    vector = kaldiio.matio.read_kaldi(stream) if 0 < size <= LARGEST_VECTOR else np.empty(0)
    if len(vector) != size:
        raise InputError(f"{where}: damaged vector: says {size} numbers, has {len(vector)}. Make it again.")
    return vector


def _text_vector(where: str, line: bytes) -> np.ndarray:
    # Not with kaldiio (2.18): it reads a vector whose first number has no point as whole numbers.
    match = re.fullmatch(rb" *\[([^\[\]]*)\]\s*", line)
    try:
        if match:
            return np.array(match[1].split(), dtype=np.float32)
    except ValueError:
        pass
    raise InputError(f"{where}: expected a vector '[ 0.1 0.2 ]' in one line, got {line[:50]!r}.")


def write_kaldi(prefix: Path, store: EmbeddingStore) -> None:
    """Write PREFIX.ark, PREFIX.scp (which names the ark as given here) and PREFIX.utt2spk.

    Raises:
        InputError: a name has white space, which Kaldi's tables cannot hold, or the store has crops.
    """
    import kaldiio

    if store.embeddings.ndim != 2:
        raise InputError("an archive holds one vector an utterance, this store has several crops of each.")
    spaced = [name for name in (*store.utt_ids, *store.spk_ids) if len(name.split()) != 1]
    if spaced:
        raise InputError(f"{spaced[0]!r}: a Kaldi table cannot hold names with white space.")
    ark, scp, utt2spk = (Path(f"{prefix}.{suffix}") for suffix in ("ark", "scp", "utt2spk"))
    places = []
    with atomic_path(ark) as temporary, open(temporary, "wb") as stream:
        for utt_id, embedding in zip(store.utt_ids, store.embeddings, strict=True):
            stream.write(f"{utt_id} ".encode())
            places.append(f"{utt_id} {ark}:{stream.tell()}\n")
            kaldiio.matio.write_array(stream, np.asarray(embedding))
    for path, lines in ((scp, places), (utt2spk, map("{} {}\n".format, store.utt_ids, store.spk_ids))):
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")


def read_utt2spk(path: Path, utt_ids: Sequence[str]) -> list[str]:
    """Return the speaker of each utterance from a Kaldi utt2spk file.

    Raises:
        InputError: the file is missing, has a line of another form, or lacks an utterance.
    """
    names = Names(utt_ids)
    speaker_of: dict[str, str] = {}
    try:
        for line_no, (name, speaker) in _table(path, "<utterance> <speaker>"):
            known = speaker_of.setdefault(names(name, f"{path}:{line_no}"), speaker)
            if known != speaker:
                raise InputError(f"{path}:{line_no}: gives {name} the speaker {speaker}, an earlier line {known}.")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    missing = [utt_id for utt_id in utt_ids if utt_id not in speaker_of]
    if missing:
        raise InputError(f"{path}: lacks {len(missing)} of {len(utt_ids)} utterances, such as {missing[0]}.")
    return [speaker_of[utt_id] for utt_id in utt_ids]


def import_store(source: Path, folder: Path, utt2spk: Path, model: str) -> EmbeddingStore:
    """Make an embedding store from Kaldi vectors.

    Args:
        source: .ark or .scp.
        folder: folder of the store to write.
        utt2spk: file with the speakers.
        model: file of the model that made the vectors, whose sha256 is stored; or a name for it. Only stores of one
            model can be scored together.
    """
    utt_ids, embeddings = read_kaldi(source)
    model_sha256 = sha256_file(model) if Path(model).is_file() else f"name:{model}"
    identity = Identity(model_sha256, sha256_file(source), "imported from Kaldi", None, {})
    store = EmbeddingStore(utt_ids, read_utt2spk(utt2spk, utt_ids), embeddings, identity)
    store.save(folder)
    return store


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Convert, and print what was written."""
    arguments = _parser().parse_args(argv)
    try:
        import kaldiio  # noqa: F401 - reports its absence before any work
    except ImportError:
        raise UsageError("kaldiio is not installed: pip install -e '.[kaldi]'") from None
    if arguments.command == "export":
        store = EmbeddingStore.open(arguments.store)
        with lock_output(arguments.prefix):
            write_kaldi(arguments.prefix, store)
        print(f"{arguments.prefix}.ark, .scp, .utt2spk: {_size(store)}")
    else:
        with lock_folder(arguments.store):
            store = import_store(arguments.file, arguments.store, arguments.utt2spk, arguments.model)
        print(f"{arguments.store}: {_size(store)}")
    return 0


def _size(store: EmbeddingStore) -> str:
    return f"{len(store.utt_ids)} embeddings of size {store.embeddings.shape[1]}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox convert-scores", description=__doc__.splitlines()[0])
    commands: Any = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write a store as a Kaldi archive")
    export.add_argument("store", type=user_path, metavar="STORE", help="embedding store")
    export.add_argument("prefix", type=user_path, metavar="PREFIX", help="prefix of the files .ark, .scp and .utt2spk")
    load = commands.add_parser("import", help="make a store from a Kaldi archive")
    load.add_argument("file", type=user_path, metavar="FILE", help=".ark or .scp with float vectors")
    load.add_argument("store", type=user_path, metavar="STORE", help="folder of the embedding store")
    load.add_argument("--utt2spk", type=user_path, required=True, metavar="FILE", help="lines '<utterance> <speaker>'")
    load.add_argument("--model", type=user_text, required=True, metavar="FILE_OR_NAME", help="model of the embeddings")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
