"""The training store: MindRecord files, which MindSpore shuffles and splits over ranks, and their manifest.

The manifest is written last: a folder without it is not a store.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from mindvox.corpus.table_io import write_speakers
from mindvox.corpus.tree import Skipped
from mindvox.data.store import SKIPPED_FILE, WholeOrAbsent, check_feats, check_wave, explain_full_disk, remove_files
from mindvox.errors import InputError
from mindvox.files import PathLike, read_json, sha256_file, sync, write_json
from mindvox.frontend import front_end_of

if TYPE_CHECKING:  # importing MindSpore takes seconds; only functions that use MindRecord import it
    from mindspore.mindrecord import FileWriter

FORMAT_VERSION = 1
FEATURES, WAVEFORM = "fbank", "waveform"  # "fbank" means any features: the first version knew only those
MANIFEST_FILE = "manifest.json"
PLAN_FILE = "plan.json"
SPEAKERS_FILE = "speakers.csv"
SHARD_MARKERS = "shard-*.json"
SOURCE_TABLES = "*.sources.csv"
OWN_FILES = (  # in the order of removal
    *(MANIFEST_FILE, PLAN_FILE, SHARD_MARKERS),
    *("shard-*.mindrecord", "shard-*.mindrecord.db", SOURCE_TABLES, SKIPPED_FILE),
)

# A file has a header and at least two pages, by default 16 + 2 * 32 MiB. The header lists the pages, 200 bytes each.
HEADER_BYTES = 1 << 20
PAGE_BYTES = 1 << 22
MAX_PAGE_BYTES = 1 << 28
PAGE_OVERHEAD_BYTES = 1 << 12
MAX_SHARD_BYTES = 1 << 32  # any two consecutive pages hold more than one page of data: at most 2048 pages
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Shard:
    """One MindRecord file of a store."""

    file: str
    sha256: str
    index_sha256: str
    num_bytes: int
    num_utterances: int


@dataclass(frozen=True)
class Manifest:
    """The description of a training store.

    Args:
        kind: content of a record: FEATURES, before mean subtraction, or WAVEFORM, samples at 16 kHz.
        front_end: how the features were computed, FrontEnd.to_dict(); None for waveforms.
        settings: further settings that decide the content: chunks, augmentation, seed, utterance table.
        num_utterances: number of records: utterances, or chunks of them.
        num_frames: total number of frames of all records, or of samples of waveforms.
        num_speakers: number of speakers in speakers.csv.
        speakers_sha256: hash of speakers.csv.
        shards: the files, in order.
        skipped: recordings that were left out, with reasons.
        num_converted: number of recordings that were not 16 kHz mono.
    """

    kind: str
    front_end: Optional[dict[str, Any]]
    settings: dict[str, Any]
    num_utterances: int
    num_frames: int
    num_speakers: int
    speakers_sha256: str
    shards: list[Shard]
    skipped: list[Skipped]
    num_converted: int = 0

    @property
    def sha256(self) -> str:
        """Hash of the speakers and of the records in their order, independent of the location."""
        parts = (self.speakers_sha256, *(shard.sha256 for shard in self.shards))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Record(NamedTuple):
    """A row of a store of features: an utterance or a chunk of one; feats (T, F), float32."""

    utt_id: str
    label: int
    feats: np.ndarray


class WaveRecord(NamedTuple):
    """A row of a store of waveforms: an utterance or a chunk of one; wave (N,), int16."""

    utt_id: str
    label: int
    wave: np.ndarray


def read_manifest(folder: PathLike) -> Manifest:
    """Read the description of a training store.

    Raises:
        InputError: the folder holds no complete store, or one of its files is missing or has another size.
    """
    path = Path(folder, MANIFEST_FILE)
    if not path.exists():
        raise InputError(
            f"{folder}: not a complete training store: no {MANIFEST_FILE}. Let train_data_prepare.py make it."
        )
    manifest = _parse_manifest(read_json(path), path)
    num_records = sum(shard.num_utterances for shard in manifest.shards)
    if manifest.num_utterances != num_records:
        raise InputError(
            f"{path}: says {manifest.num_utterances} records, got {num_records} in its shards. Prepare it again."
        )
    for shard in manifest.shards:
        shard_path = Path(folder, shard.file)
        if not (shard_path.exists() and index_path(shard_path).exists()):
            raise InputError(f"{shard_path}: missing, or its .db is. Copy the whole folder again or prepare it again.")
        if shard_path.stat().st_size != shard.num_bytes:
            raise InputError(
                f"{shard_path}: expected {shard.num_bytes} bytes, got {shard_path.stat().st_size}. Copy it again."
            )
    return manifest


def _parse_manifest(stored: Any, path: Path) -> Manifest:
    try:
        version = stored["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(f"{path}: expected format_version {FORMAT_VERSION}, got {version}. Prepare it again.")
        shards = [Shard(**shard) for shard in stored["shards"]]
        skipped = [Skipped(**entry) for entry in stored["skipped"]]
        if stored["kind"] not in (FEATURES, WAVEFORM):
            raise InputError(f"{path}: expected kind {FEATURES} or {WAVEFORM}, got {stored['kind']}. Prepare it again.")
        rest = {key: value for key, value in stored.items() if key not in ("format_version", "shards", "skipped")}
        return Manifest(**rest, shards=shards, skipped=skipped)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a manifest of a training store ({error}). Prepare it again.") from None


def shard_paths(folder: PathLike) -> list[str]:
    """Return the MindRecord files of a store, for MindDataset."""
    return [str(Path(folder, shard.file)) for shard in read_manifest(folder).shards]


def index_path(shard_path: Path) -> Path:
    """Return the index that belongs to a MindRecord file."""
    return shard_path.with_name(shard_path.name + ".db")


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write the description of a folder, which completes the store."""
    skipped = [entry._asdict() for entry in manifest.skipped]
    stored = {"format_version": FORMAT_VERSION, **asdict(manifest), "skipped": skipped}
    write_json(Path(folder, MANIFEST_FILE), stored)


def verify_shards(folder: PathLike, manifest: Manifest) -> None:
    """Read every file of a store; raise InputError if one differs from what was written."""
    for shard in manifest.shards:
        path = Path(folder, shard.file)
        for part, expected in ((path, shard.sha256), (index_path(path), shard.index_sha256)):
            if sha256_file(part) != expected:
                raise InputError(f"{part}: damaged: not the content that {MANIFEST_FILE} names. Copy it again.")


def read_shard(path: PathLike) -> Iterator[Union[Record, WaveRecord]]:
    """Yield the records of one file."""
    import mindspore.dataset as ds

    rows = ds.MindDataset([str(path)], shuffle=False, num_parallel_workers=1)
    for row in rows.create_dict_iterator(num_epochs=1, output_numpy=True):
        utt_id, label = str(row["utt_id"]), int(row["label"])
        if "wave" in row:
            yield WaveRecord(utt_id, label, decode_wave(row["wave"]))
        else:
            yield Record(utt_id, label, row["feats"])


def decode_wave(stored: np.ndarray) -> np.ndarray:
    """Return the samples (N,), int16, of a `wave` as MindDataset gives it."""
    return np.frombuffer(stored.tobytes(), "<i2")


def page_bytes_for(num_bytes: int, what: str) -> int:
    """Return the page size of a file for records of this size.

    Raises:
        InputError: no page can hold such a record; `what` names it.
    """
    page_bytes = PAGE_BYTES
    while page_bytes < num_bytes + PAGE_OVERHEAD_BYTES:
        page_bytes *= 2
    if page_bytes > MAX_PAGE_BYTES:
        raise InputError(
            f"{what}: a record of {num_bytes / 1e6:.0f} MB is more than a MindRecord page can hold. Cut the "
            "recording, or store chunks with whole_utterance: false."
        )
    return page_bytes


class TrainStoreWriter(WholeOrAbsent):
    """Writes a training store; the end of a `with` block completes it, an exception removes what was written.

    Args:
        folder: created if missing; leftovers of an interrupted run are removed.
        front_end: how the features are computed, FrontEnd.to_dict(); None: store waveforms.
        speakers: label of each speaker: 0, 1, ... in the order of their ids.
        shard_utterances: greatest number of records in a file.
        settings: further settings that decide the content, JSON values.
    """

    def __init__(
        self,
        folder: PathLike,
        front_end: Optional[Mapping[str, Any]],
        speakers: Mapping[str, int],
        shard_utterances: int = 10000,
        settings: Optional[Mapping[str, Any]] = None,
    ) -> None:
        if dict(speakers) != {spk_id: label for label, spk_id in enumerate(sorted(speakers))}:
            raise ValueError("expected speakers with the labels 0, 1, ... in the order of their ids.")
        self.folder = Path(folder)
        self.front_end = None if front_end is None else dict(front_end)
        self.speakers = dict(speakers)
        self.shard_utterances = shard_utterances
        self.settings = dict(settings or {})
        self.skipped: list[Skipped] = []
        self.num_converted = 0
        self.num_utterances = 0
        self.num_frames = 0
        self._shards: list[Shard] = []
        self._open_shard: Optional[ShardWriter] = None

    def __enter__(self) -> "TrainStoreWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_files(self.folder, OWN_FILES)
        with explain_full_disk(self.folder):
            write_speakers(self.folder / SPEAKERS_FILE, self.speakers)
        return self

    def add(self, utt_id: str, label: int, content: np.ndarray) -> None:
        """Append a record.

        Args:
            utt_id: name of the utterance or chunk.
            label: label of its speaker.
            content: features (T, F), T >= 1, float32, finite, before mean subtraction; or samples (N,), N >= 1, int16.
        """
        if not 0 <= label < len(self.speakers):
            raise ValueError(f"{utt_id}: expected a label below {len(self.speakers)}, got {label}.")
        with explain_full_disk(self.folder):
            self._shard_for(utt_id, content.nbytes).add(utt_id, label, content)
        self.num_utterances += 1
        self.num_frames += len(content)

    def _shard_for(self, utt_id: str, num_bytes: int) -> "ShardWriter":
        """Return the current file if it has room, else a new one with large enough pages."""
        if self._open_shard is not None:
            shard = self._open_shard
            if shard.has_room(num_bytes) and shard.num_utterances < self.shard_utterances:
                return shard
            self._close_shard()
        path = self.folder / shard_file(len(self._shards))
        self._open_shard = ShardWriter(path, self.front_end, page_bytes_for(num_bytes, utt_id))
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
                kind=FEATURES if self.front_end else WAVEFORM,
                front_end=self.front_end,
                settings=self.settings,
                num_utterances=self.num_utterances,
                num_frames=self.num_frames,
                num_speakers=len(self.speakers),
                speakers_sha256=sha256_file(self.folder / SPEAKERS_FILE),
                shards=self._shards,
                skipped=self.skipped,
                num_converted=self.num_converted,
            )
            write_manifest(self.folder, manifest)

    def _abandon(self) -> None:
        remove_files(self.folder, OWN_FILES)


def shard_file(index: int) -> str:
    """Return the file name of the shard with this index."""
    return f"{shard_name(index)}.mindrecord"


def shard_name(index: int) -> str:
    """Return the prefix of the names of all files of the shard with this index."""
    return f"shard-{index:05d}"


class ShardWriter:
    """Writes one MindRecord file.

    Args:
        path: path of the file; it must not exist.
        front_end: FrontEnd.to_dict() of the features; None: the file holds waveforms.
        page_bytes: page_bytes_for() the largest record.
    """

    def __init__(self, path: Path, front_end: Optional[Mapping[str, Any]], page_bytes: int) -> None:
        self.path = path
        self.num_utterances = 0
        self._num_bytes = 0
        self._size = front_end_of(front_end, path).size if front_end else None
        self._page_bytes = page_bytes
        self._rows: list[dict[str, Any]] = []
        self._writer = _open_mindrecord(path, self._size, page_bytes)

    def has_room(self, num_bytes: int) -> bool:
        """Return whether a record of this size fits a page and the file."""
        return num_bytes + PAGE_OVERHEAD_BYTES <= self._page_bytes and self._num_bytes + num_bytes <= MAX_SHARD_BYTES

    def add(self, utt_id: str, label: int, content: np.ndarray) -> None:
        """Append a record: features (T, F), float32, or samples (N,), int16."""
        row: dict[str, Any] = {"utt_id": utt_id, "label": int(label)}
        if self._size is None:
            check_wave(utt_id, content)
            row["wave"] = content.astype("<i2").tobytes()
        else:
            check_feats(utt_id, content, self._size)
            row["feats"] = np.ascontiguousarray(content)
        self._rows.append(row)
        self.num_utterances += 1
        self._num_bytes += content.nbytes
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        num_rows = len(rows)
        self._writer.write_raw_data(rows)
        if len(rows) != num_rows:  # MindRecord removes rows that do not fit the schema from the list and continues
            raise RuntimeError(f"{self.path}: MindRecord refused {num_rows - len(rows)} of {num_rows} rows.")

    def close(self, mode: int) -> Shard:
        """Complete the file, set the permissions of it and its index to `mode`, and count its content."""
        if self._rows:
            self._flush()
        self._writer.commit()
        index = index_path(self.path)
        for path in (self.path, index):
            path.chmod(mode)  # MindRecord creates files that only their owner can read
            sync(path)
        num_stored = _num_records(self.path)
        if num_stored != self.num_utterances:
            raise RuntimeError(f"{self.path}: MindRecord stored {num_stored} of {self.num_utterances} records.")
        num_bytes = self.path.stat().st_size
        return Shard(self.path.name, sha256_file(self.path), sha256_file(index), num_bytes, num_stored)


def _open_mindrecord(path: Path, size: Optional[int], page_bytes: int) -> "FileWriter":
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), shard_num=1)
    writer.set_header_size(HEADER_BYTES)
    writer.set_page_size(page_bytes)
    content = {"wave": {"type": "bytes"}} if size is None else {"feats": {"type": "float32", "shape": [-1, size]}}
    writer.add_schema({"utt_id": {"type": "string"}, "label": {"type": "int32"}, **content})
    writer.add_index(["label"])
    return writer


def _num_records(path: Path) -> int:
    import mindspore.dataset as ds

    return ds.MindDataset([str(path)]).get_dataset_size()
