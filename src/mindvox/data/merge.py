"""Join training stores that were prepared in parts, and distribute their records over files of equal size."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mindvox.config import TrainPrepConfig, require
from mindvox.corpus.table_io import read_speakers
from mindvox.data.shards import ShardResult, describe_shards, plan_identity, read_marker, read_plan, sources_path
from mindvox.data.sources import read_sources
from mindvox.data.store import check_free_space, holds_store
from mindvox.data.train_store import (
    MANIFEST_FILE,
    PLAN_FILE,
    SPEAKERS_FILE,
    Manifest,
    TrainStoreWriter,
    read_manifest,
    read_shard,
    verify_shards,
)
from mindvox.data.verify import verify_train_store
from mindvox.errors import InputError, UsageError
from mindvox.files import lock_folder
from mindvox.progress import Progress

SAME_KEYS = ("kind", "front_end", "settings", "speakers_sha256")


@dataclass(frozen=True)
class StorePart:
    """A store to join, or the shards that one part made of it.

    Args:
        folder: folder of the store.
        manifest: description of its content.
        indices: indices of its shards in the plan; empty for a complete store.
        num_shards: number of shards in the plan; 0 for a complete store.
    """

    folder: Path
    manifest: Manifest
    indices: tuple[int, ...] = ()
    num_shards: int = 0


def merge_stores(config: TrainPrepConfig) -> None:
    """Join the stores in `feat_folder` and its sub-folders `part-*` into one in `feat_folder_merge`.

    They can be complete stores, or parts i/n of one store in separate folders.

    Raises:
        InputError: a store is missing, damaged or incomplete, they were made differently, two hold the same record, the
            disk is full, or `feat_folder_merge` holds another store.
    """
    require(config, "feat_folder", "feat_folder_merge")
    target = Path(config.feat_folder_merge)
    if config.verify:
        verify_train_store(target)
        return
    sources = _find_sources(Path(config.feat_folder))
    if target.resolve() in {source.folder.resolve() for source in sources}:
        raise UsageError(f"feat_folder_merge: {target} is one of the stores to join: choose another folder.")
    _check_alike(sources)
    _check_complete(sources)
    first = sources[0].manifest
    settings = {**first.settings, "merged_sha256": _content_sha256(sources)}
    with lock_folder(target):
        _merge(config, sources, settings)


def _merge(config: TrainPrepConfig, sources: Sequence[StorePart], settings: dict[str, Any]) -> None:
    target, first = Path(config.feat_folder_merge), sources[0].manifest
    made_from = {key: getattr(first, key) for key in SAME_KEYS} | {"settings": settings}
    if holds_store(target, MANIFEST_FILE, made_from, "feat_folder_merge"):
        print(f"{target}: already merged, {read_manifest(target).num_utterances} records")
        return
    check_free_space(target, sum(shard.num_bytes for source in sources for shard in source.manifest.shards))
    for source in sources:
        verify_shards(source.folder, source.manifest)
    speakers = read_speakers(sources[0].folder / SPEAKERS_FILE)
    with TrainStoreWriter(target, first.front_end, speakers, config.shard_utterances, settings) as writer:
        _copy_records(sources, writer)
        # Each part lists the files that were left out of the table.
        writer.skipped = list(dict.fromkeys(entry for source in sources for entry in source.manifest.skipped))
        writer.num_converted = sum(source.manifest.num_converted for source in sources)
    merged = read_manifest(target)
    print(f"{target}: {merged.num_utterances} records of {len(sources)} stores in {len(merged.shards)} files")


def _find_sources(folder: Path) -> list[StorePart]:
    parts = sorted(path for path in folder.glob("part-*") if path.is_dir())
    folders = [folder] if (folder / MANIFEST_FILE).exists() or (folder / PLAN_FILE).exists() else []
    if not folders and not parts:
        raise InputError(
            f"{folder}: no complete training store here or in sub-folders part-*. Run train_data_prepare.py first."
        )
    return [_open_source(path) for path in folders + parts]


def _open_source(folder: Path) -> StorePart:
    if (folder / MANIFEST_FILE).exists() or not (folder / PLAN_FILE).exists():
        return StorePart(folder, read_manifest(folder))
    plan = read_plan(folder)
    identity = plan_identity(plan)
    found: dict[int, ShardResult] = {}
    for index in range(plan["num_shards"]):
        result = read_marker(folder, index, identity)
        if result is not None:
            found[index] = result
    return StorePart(folder, describe_shards(folder, plan, list(found.values())), tuple(found), plan["num_shards"])


def _check_alike(sources: Sequence[StorePart]) -> None:
    first = asdict(sources[0].manifest)
    for source in sources[1:]:
        other = asdict(source.manifest)
        differing = [key for key in SAME_KEYS if other[key] != first[key]]
        if differing:
            raise InputError(
                f"{source.folder}: another {', '.join(differing)} than {sources[0].folder}. Prepare all parts alike."
            )
        first_files, files = _augmentation_contents(sources[0]), _augmentation_contents(source)
        differing = [name for name in files.keys() & first_files.keys() if files[name] != first_files[name]]
        if differing:
            raise InputError(
                f"{source.folder}: made with other files of {', '.join(sorted(differing))} than {sources[0].folder}. "
                "Prepare all parts alike."
            )


def _augmentation_contents(source: StorePart) -> dict[str, dict[str, str]]:
    """Return the content hash of each noise and room response that a store was made with."""
    tables = {name: sources_path(source.folder, name) for name in ("noise_folder", "rir_folder")}
    return {
        name: {file: stamp.sha256 for file, stamp in read_sources(table).items()}
        for name, table in tables.items()
        if table.exists()
    }


def _check_complete(sources: Sequence[StorePart]) -> None:
    """Raise InputError unless the incomplete parts together form one store."""
    parts = [source for source in sources if source.num_shards]
    if not parts:
        return
    names = ", ".join(str(part.folder) for part in parts)
    if len({part.num_shards for part in parts}) > 1:
        raise InputError(f"{names}: shards of different sizes. Prepare all parts with one shard_utterances.")
    found = [index for part in parts for index in part.indices]
    missing = sorted(set(range(parts[0].num_shards)) - set(found))
    if missing:
        raise InputError(
            f"{names}: not a complete training store: {len(missing)} of {parts[0].num_shards} shards are missing, the "
            f"first is number {missing[0]}. Let train_data_prepare.py finish every part."
        )
    if len(found) > len(set(found)):
        raise InputError(f"{names}: {len(found) - len(set(found))} shards are in two of them. Remove one of each.")


def _content_sha256(sources: Sequence[StorePart]) -> str:
    hashes = [shard.sha256 for source in sources for shard in source.manifest.shards]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _copy_records(sources: Sequence[StorePart], writer: TrainStoreWriter) -> None:
    """Copy all records; raise InputError if a store lacks some, or two stores hold the same record."""
    total = sum(source.manifest.num_utterances for source in sources)
    progress = Progress(total, "records")
    seen: set[str] = set()
    for group in _groups(sources):
        names: set[str] = set()
        for path, num_expected in group:
            num_records = 0
            for record in read_shard(path):
                if record.utt_id in seen:
                    raise InputError(f"{path.parent}: '{record.utt_id}' is also in another of the stores. Remove one.")
                writer.add(*record)
                names.add(record.utt_id)
                num_records += 1
                progress.show(1)
            if num_records != num_expected:
                raise InputError(f"{path}: {MANIFEST_FILE} says {num_expected} records, got {num_records}.")
        seen |= names


def _groups(sources: Sequence[StorePart]) -> list[list[tuple[Path, int]]]:
    """Return the files of each store with their numbers of records; parts of one store are joined in its order."""
    groups, parts = [], []
    for source in sources:
        shards = [(source.folder / shard.file, shard.num_utterances) for shard in source.manifest.shards]
        if source.num_shards:
            parts += shards
        else:
            groups.append(shards)
    return groups + ([sorted(parts, key=lambda shard: shard[0].name)] if parts else [])
