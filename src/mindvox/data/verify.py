"""Check finished stores: every byte, and the content of the records."""

from pathlib import Path

import numpy as np

from mindvox.corpus.table_io import read_speakers
from mindvox.data.eval_store import META_FILE, content_files, content_sha256, read_store
from mindvox.data.store import check_feats, check_wave
from mindvox.data.train_store import (
    MANIFEST_FILE,
    SPEAKERS_FILE,
    Manifest,
    Record,
    read_manifest,
    read_shard,
    verify_shards,
)
from mindvox.errors import InputError
from mindvox.files import PathLike, sha256_file
from mindvox.frontend import front_end_of


def verify_train_store(folder: PathLike) -> None:
    """Check a training store and print its content.

    Raises:
        InputError: a file is missing or damaged, or a record contradicts the manifest.
    """
    manifest = read_manifest(folder)
    speakers_path = Path(folder, SPEAKERS_FILE)
    if sha256_file(speakers_path) != manifest.speakers_sha256:
        raise InputError(f"{speakers_path}: not the speakers that {MANIFEST_FILE} names. Copy it again.")
    read_speakers(speakers_path)
    verify_shards(folder, manifest)
    frames = [_verify_shard(Path(folder, shard.file), shard.num_utterances, manifest) for shard in manifest.shards]
    num_records = sum(shard.num_utterances for shard in manifest.shards)
    if (manifest.num_utterances, manifest.num_frames) != (num_records, sum(frames)):
        raise InputError(f"{folder}: {MANIFEST_FILE} contradicts the shards: prepare the store again.")
    print(
        f"{folder}: verified: {num_records} records ({manifest.kind}) of {manifest.num_speakers} speakers in "
        f"{len(manifest.shards)} shards, {len(manifest.skipped)} recordings skipped"
    )


def _verify_shard(path: Path, num_expected: int, manifest: Manifest) -> int:
    """Read every record of a file and return their number of frames."""
    size = front_end_of(manifest.front_end, path).size if manifest.front_end else 0
    num_records = num_frames = 0
    for record in read_shard(path):
        try:
            if isinstance(record, Record):
                check_feats(record.utt_id, record.feats, size)
            else:
                check_wave(record.utt_id, record.wave)
        except ValueError as error:
            raise InputError(f"{path}: {error} Prepare the store again.") from None
        if not 0 <= record.label < manifest.num_speakers:
            raise InputError(f"{path}: {record.utt_id}: label {record.label} of {manifest.num_speakers} speakers.")
        num_records += 1
        num_frames += len(record[2])
    if num_records != num_expected:
        raise InputError(f"{path}: {MANIFEST_FILE} says {num_expected} records, got {num_records}. Prepare it again.")
    return num_frames


def verify_eval_store(folder: PathLike) -> None:
    """Check the store of an evaluation or of a cohort, and print its content.

    Raises:
        InputError: a file is missing or damaged.
    """
    store = read_store(folder)
    if content_sha256(Path(folder), content_files(store.front_end)) != store.sha256:  # read_store checks size and time
        raise InputError(f"{folder}: damaged: not the content that {META_FILE} names. Copy it again.")
    for row, utt_id in enumerate(store.utt_ids):
        if not np.isfinite(store.of_utterance(row)).all():
            raise InputError(f"{folder}: {utt_id}: features that are not finite. Prepare the store again.")
    print(f"{folder}: verified: {len(store.utt_ids)} utterances of {len(set(store.spk_ids))} speakers")
