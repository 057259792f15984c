"""The training store: MindRecord files, which MindSpore shuffles and splits over ranks, and a manifest of them.

The manifest is written last: a folder without it is no store.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from src.corpus.table_io import write_speakers
from src.corpus.tree import Skipped
from src.data.store import check_feats, explain_full_disk, remove_files
from src.errors import InputError
from src.files import PathLike, read_json, sha256_file, write_json

if TYPE_CHECKING:  # MindSpore takes seconds to import; only functions that touch MindRecord do
    from mindspore.mindrecord import FileWriter

FORMAT_VERSION = 1
KIND = "fbank"
MANIFEST_FILE = "manifest.json"
SPEAKERS_FILE = "speakers.csv"
OWN_FILES = (MANIFEST_FILE, "shard-*.mindrecord", "shard-*.mindrecord.db")  # in the order of removal

# A file has a header and at least two pages, by default 16 + 2 * 32 MiB. The header lists the pages, 200 bytes each.
HEADER_BYTES = 1 << 20
PAGE_BYTES = 1 << 22
MAX_PAGE_BYTES = 1 << 28
PAGE_OVERHEAD_BYTES = 1 << 12
MAX_SHARD_BYTES = 1 << 32  # two pages in a row are more than one page full: at most 2048 pages
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Shard:
    """One MindRecord file of a store."""

    file: str
    sha256: str
    num_bytes: int
    num_utterances: int


@dataclass(frozen=True)
class Manifest:
    """What a training store holds.

    Args:
        kind: what a record holds: "fbank", features before mean subtraction.
        front_end: how they were made, FbankConfig.to_dict().
        settings: what else the content follows from: chunks, seed, utterance table.
        num_utterances: records: utterances, or chunks of them.
        num_frames: frames of all records together.
        num_speakers: speakers in speakers.csv.
        speakers_sha256: of speakers.csv.
        shards: the files, in order.
        skipped: recordings that were left out, and why.
    """

    kind: str
    front_end: dict[str, Any]
    settings: dict[str, Any]
    num_utterances: int
    num_frames: int
    num_speakers: int
    speakers_sha256: str
    shards: list[Shard]
    skipped: list[Skipped]


class Record(NamedTuple):
    """One row of a store: an utterance or a chunk of one; feats (T, F), float32."""

    utt_id: str
    label: int
    feats: np.ndarray


def read_manifest(folder: PathLike) -> Manifest:
    """Read what a training store holds.

    Raises:
        InputError: the folder holds no complete store, or one of its files is missing or of another size.
    """
    path = Path(folder, MANIFEST_FILE)
    if not path.exists():
        raise InputError(
            f"{folder}: not a complete training store: no {MANIFEST_FILE}. Let train_data_prepare.py make it."
        )
    manifest = _parse_manifest(read_json(path), path)
    for shard in manifest.shards:
        shard_path = Path(folder, shard.file)
        if not (shard_path.exists() and index_path(shard_path).exists()):
            raise InputError(f"{shard_path}: missing, or its .db is. Copy the whole folder again or prepare it anew.")
        if shard_path.stat().st_size != shard.num_bytes:
            raise InputError(
                f"{shard_path}: expected {shard.num_bytes} bytes, got {shard_path.stat().st_size}. Copy it again."
            )
    return manifest


def _parse_manifest(stored: Any, path: Path) -> Manifest:
    try:
        version = stored["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(f"{path}: expected format_version {FORMAT_VERSION}, got {version}. Prepare it anew.")
        shards = [Shard(**shard) for shard in stored["shards"]]
        skipped = [Skipped(**entry) for entry in stored["skipped"]]
        rest = {key: value for key, value in stored.items() if key not in ("format_version", "shards", "skipped")}
        return Manifest(**rest, shards=shards, skipped=skipped)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a manifest of a training store ({error}). Prepare it anew.") from None


def shard_paths(folder: PathLike) -> list[str]:
    """Return the MindRecord files of a store, for MindDataset."""
    return [str(Path(folder, shard.file)) for shard in read_manifest(folder).shards]


def index_path(shard_path: Path) -> Path:
    """Return the index that belongs to a MindRecord file."""
    return shard_path.with_name(shard_path.name + ".db")


def verify_shards(folder: PathLike, manifest: Manifest) -> None:
    """Read every file of a store; raise InputError when one is not what was written."""
    for shard in manifest.shards:
        path = Path(folder, shard.file)
        if sha256_file(path) != shard.sha256:
            raise InputError(f"{path}: damaged: not the content that {MANIFEST_FILE} names. Copy it again.")


def read_records(folder: PathLike) -> Iterator[Record]:
    """Yield the records of a store in the order in which they were written."""
    import mindspore.dataset as ds

    for path in shard_paths(folder):
        rows = ds.MindDataset([path], shuffle=False, num_parallel_workers=1)
        for row in rows.create_dict_iterator(num_epochs=1, output_numpy=True):
            yield Record(str(row["utt_id"]), int(row["label"]), row["feats"])


class TrainStoreWriter:
    """Write a training store; the end of a `with` block completes it, an exception removes what was written.

    Args:
        folder: made when absent; leftovers of an interrupted run in it are removed.
        front_end: how features are made, FbankConfig.to_dict().
        speakers: label of each speaker: 0, 1, ... in the order of their ids.
        shard_utterances: most records in a file.
        settings: what else the content follows from, JSON values.
    """

    def __init__(
        self,
        folder: PathLike,
        front_end: Mapping[str, Any],
        speakers: Mapping[str, int],
        shard_utterances: int = 10000,
        settings: Optional[Mapping[str, Any]] = None,
    ) -> None:
        if dict(speakers) != {spk_id: label for label, spk_id in enumerate(sorted(speakers))}:
            raise ValueError("expected speakers with the labels 0, 1, ... in the order of their ids.")
        self.folder = Path(folder)
        self.front_end = dict(front_end)
        self.speakers = dict(speakers)
        self.shard_utterances = shard_utterances
        self.settings = dict(settings or {})
        self.skipped: list[Skipped] = []
        self.num_utterances = 0
        self.num_frames = 0
        self._shards: list[Shard] = []
        self._open_shard: Optional[_ShardWriter] = None

    def __enter__(self) -> "TrainStoreWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_files(self.folder, OWN_FILES)
        with explain_full_disk(self.folder):
            write_speakers(self.folder / SPEAKERS_FILE, self.speakers)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        is_complete = False
        try:
            if kind is None:
                self._finish()
                is_complete = True
        finally:
            if not is_complete:
                remove_files(self.folder, OWN_FILES)

    def add(self, utt_id: str, label: int, feats: np.ndarray) -> None:
        """Append a record.

        Args:
            utt_id: name of the utterance or chunk.
            label: its speaker's.
            feats: (T, F), T >= 1, float32, finite, before mean subtraction.
        """
        check_feats(utt_id, feats, self.front_end["n_mels"])
        if not 0 <= label < len(self.speakers):
            raise ValueError(f"{utt_id}: expected a label below {len(self.speakers)}, got {label}.")
        with explain_full_disk(self.folder):
            self._shard_for(utt_id, feats.nbytes).add(utt_id, label, feats)
        self.num_utterances += 1
        self.num_frames += len(feats)

    def _shard_for(self, utt_id: str, num_bytes: int) -> "_ShardWriter":
        """Return the file that is being written when it has room, else a new one with pages that are large enough."""
        if self._open_shard is not None:
            shard = self._open_shard
            if shard.has_room(num_bytes) and shard.num_utterances < self.shard_utterances:
                return shard
            self._close_shard()
        page_bytes = PAGE_BYTES
        while page_bytes < num_bytes + PAGE_OVERHEAD_BYTES:
            page_bytes *= 2
        if page_bytes > MAX_PAGE_BYTES:
            raise InputError(
                f"{utt_id}: features of {num_bytes / 1e6:.0f} MB are more than a MindRecord page can hold. Cut the "
                "recording, or store chunks with whole_utterance: false."
            )
        path = self.folder / f"shard-{len(self._shards):05d}.mindrecord"
        self._open_shard = _ShardWriter(path, self.front_end["n_mels"], page_bytes)
        return self._open_shard

    def _close_shard(self) -> None:
        if self._open_shard is not None:
            mode = (self.folder / SPEAKERS_FILE).stat().st_mode
            self._shards.append(self._open_shard.close(mode))
            self._open_shard = None

    def _finish(self) -> None:
        with explain_full_disk(self.folder):
            self._close_shard()
            if not self._shards:
                raise InputError(f"{self.folder}: nothing to store: there is no usable utterance.")
            manifest = Manifest(
                kind=KIND,
                front_end=self.front_end,
                settings=self.settings,
                num_utterances=self.num_utterances,
                num_frames=self.num_frames,
                num_speakers=len(self.speakers),
                speakers_sha256=sha256_file(self.folder / SPEAKERS_FILE),
                shards=self._shards,
                skipped=self.skipped,
            )
            skipped = [entry._asdict() for entry in self.skipped]
            write_json(
                self.folder / MANIFEST_FILE, {"format_version": FORMAT_VERSION, **asdict(manifest), "skipped": skipped}
            )


class _ShardWriter:
    """One MindRecord file while it is written."""

    def __init__(self, path: Path, num_mels: int, page_bytes: int) -> None:
        self.path = path
        self.num_utterances = 0
        self._num_bytes = 0
        self._page_bytes = page_bytes
        self._rows: list[dict[str, Any]] = []
        self._writer = _open_mindrecord(path, num_mels, page_bytes)

    def has_room(self, num_bytes: int) -> bool:
        return num_bytes + PAGE_OVERHEAD_BYTES <= self._page_bytes and self._num_bytes + num_bytes <= MAX_SHARD_BYTES

    def add(self, utt_id: str, label: int, feats: np.ndarray) -> None:
        self._rows.append({"utt_id": utt_id, "label": int(label), "feats": np.ascontiguousarray(feats)})
        self.num_utterances += 1
        self._num_bytes += feats.nbytes
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        num_rows = len(rows)
        self._writer.write_raw_data(rows)
        if len(rows) != num_rows:  # MindRecord takes rows that do not fit the schema out of the list, and goes on
            raise RuntimeError(f"{self.path}: MindRecord refused {num_rows - len(rows)} of {num_rows} rows.")

    def close(self, mode: int) -> Shard:
        """Complete the file, give it and its index the permissions `mode`, and count what it holds."""
        if self._rows:
            self._flush()
        self._writer.commit()
        for path in (self.path, index_path(self.path)):
            path.chmod(mode)  # MindRecord makes files that only their owner can read
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        num_stored = _num_records(self.path)
        if num_stored != self.num_utterances:
            raise RuntimeError(f"{self.path}: MindRecord stored {num_stored} of {self.num_utterances} records.")
        return Shard(self.path.name, sha256_file(self.path), self.path.stat().st_size, num_stored)


def _open_mindrecord(path: Path, num_mels: int, page_bytes: int) -> "FileWriter":
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), shard_num=1)
    writer.set_header_size(HEADER_BYTES)
    writer.set_page_size(page_bytes)
    feats = {"type": "float32", "shape": [-1, num_mels]}
    writer.add_schema({"utt_id": {"type": "string"}, "label": {"type": "int32"}, "feats": feats})
    writer.add_index(["label"])
    return writer


def _num_records(path: Path) -> int:
    import mindspore.dataset as ds

    return ds.MindDataset([str(path)]).get_dataset_size()
