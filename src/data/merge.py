"""Joining training stores that were prepared in parts, and sharing their records out to files of equal size."""

import hashlib
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from src.config import TrainPrepConfig, require
from src.corpus.table_io import read_speakers
from src.data.store import check_free_space, holds_store
from src.data.train_store import (
    MANIFEST_FILE,
    SPEAKERS_FILE,
    Manifest,
    TrainStoreWriter,
    read_manifest,
    read_records,
    verify_shards,
)
from src.errors import InputError, UsageError

SAME_KEYS = ("kind", "front_end", "settings", "speakers_sha256")


def merge_stores(config: TrainPrepConfig) -> None:
    """Join the stores in `feat_folder` and its sub-folders `part-*` into one in `feat_folder_merge`.

    Raises:
        InputError: a store is missing, damaged or incomplete, they were made differently, two hold the same record,
            there is no room, or another store is in `feat_folder_merge`.
    """
    require(config, "feat_folder", "feat_folder_merge")
    sources = _find_sources(Path(config.feat_folder))
    target = Path(config.feat_folder_merge)
    if target.resolve() in {source.resolve() for source in sources}:
        raise UsageError(f"feat_folder_merge: {target} is one of the stores to join: choose another folder.")
    manifests = [read_manifest(source) for source in sources]
    first = manifests[0]
    _check_alike(sources, manifests)
    settings = {**first.settings, "merged_sha256": _content_sha256(manifests)}
    made_from = {key: getattr(first, key) for key in SAME_KEYS} | {"settings": settings}
    if holds_store(target, MANIFEST_FILE, made_from, "feat_folder_merge"):
        print(f"{target}: already merged, {read_manifest(target).num_utterances} records")
        return
    check_free_space(target, sum(shard.num_bytes for manifest in manifests for shard in manifest.shards))
    for source, manifest in zip(sources, manifests, strict=True):
        verify_shards(source, manifest)
    speakers = read_speakers(sources[0] / SPEAKERS_FILE)
    with TrainStoreWriter(target, first.front_end, speakers, config.shard_utterances, settings) as writer:
        _copy_records(sources, manifests, writer)
        writer.skipped = [entry for manifest in manifests for entry in manifest.skipped]
    merged = read_manifest(target)
    print(f"{target}: {merged.num_utterances} records of {len(sources)} stores in {len(merged.shards)} files")


def _find_sources(folder: Path) -> list[Path]:
    parts = sorted(path for path in folder.glob("part-*") if path.is_dir())
    sources = [folder] if (folder / MANIFEST_FILE).exists() else []
    if not sources and not parts:
        raise InputError(
            f"{folder}: no complete training store here or in sub-folders part-*. Run train_data_prepare.py first."
        )
    return sources + parts


def _check_alike(sources: list[Path], manifests: list[Manifest]) -> None:
    first = asdict(manifests[0])
    for source, manifest in zip(sources[1:], manifests[1:], strict=True):
        other = asdict(manifest)
        differing = [key for key in SAME_KEYS if other[key] != first[key]]
        if differing:
            raise InputError(f"{source}: another {', '.join(differing)} than {sources[0]}. Prepare all parts alike.")


def _content_sha256(manifests: list[Manifest]) -> str:
    hashes = [shard.sha256 for manifest in manifests for shard in manifest.shards]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _copy_records(sources: list[Path], manifests: list[Manifest], writer: TrainStoreWriter) -> None:
    """Copy all records; raise InputError when a store lacks some, or a record is in two of them."""
    seen: set[str] = set()
    total = sum(manifest.num_utterances for manifest in manifests)
    with tqdm(total=total, desc="merging", unit=" records", disable=None) as bar:
        for source, manifest in zip(sources, manifests, strict=True):
            names = []
            for record in read_records(source):
                if record.utt_id in seen:
                    raise InputError(f"{source}: '{record.utt_id}' is also in another of the stores. Remove one.")
                writer.add(*record)
                names.append(record.utt_id)
                bar.update()
            if len(names) != manifest.num_utterances:
                raise InputError(f"{source}: {MANIFEST_FILE} says {manifest.num_utterances} records, got {len(names)}.")
            seen.update(names)
