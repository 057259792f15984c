"""Embeddings of recordings as files: an .npz, or an embedding store."""

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from mindvox.corpus.table_io import write_skipped
from mindvox.embedder import Embedder, Embeddings
from mindvox.errors import InputError
from mindvox.files import atomic_path, lock_folder, lock_output, sha256_file
from mindvox.scoring.embeddings import EmbeddingStore, Identity

NPZ = ".npz"
FORMAT_VERSION = 1


def lock_for(out: Path) -> AbstractContextManager[None]:
    """Keep other processes from writing the same embeddings."""
    return lock_output(out) if out.suffix == NPZ else lock_folder(out)


def write_embeddings(out: Path, source: Path, embeddings: Embeddings, embedder: Embedder) -> Path:
    """Write embeddings, and beside them the list of recordings that cannot be used, which may be empty.

    Args:
        out: FILE.npz gets the arrays `names` (U,), `embeddings` (U, D), and `meta`, a JSON text; FILE.skipped.csv
            stands beside it. Anything else is a folder, which becomes an embedding store with skipped.csv in it; the
            first part of a name is the speaker.
        source: the recording, or the folder that the names are relative to.

    Returns:
        The list of recordings that cannot be used.

    Raises:
        InputError: none can be used; the list is written, the embeddings are not.
    """
    skipped = out.with_suffix(".skipped.csv") if out.suffix == NPZ else out / "skipped.csv"
    write_skipped(skipped, embeddings.skipped)
    if not embeddings.names:
        name, reason = embeddings.skipped[0]
        raise InputError(f"{source}: no recording can be used, see {skipped}; {name}: {reason}.")
    identity = _identity(source, embeddings, embedder)
    if out.suffix == NPZ:
        meta = json.dumps({"format_version": FORMAT_VERSION, **identity.to_dict()}, sort_keys=True)
        with atomic_path(out) as temporary:
            np.savez(temporary, names=np.array(embeddings.names), embeddings=embeddings.vectors, meta=np.array(meta))
    else:
        speakers = [name.split("/")[0] for name in embeddings.names]
        EmbeddingStore(embeddings.names, speakers, embeddings.vectors, identity).save(out)
    return skipped


def _identity(source: Path, embeddings: Embeddings, embedder: Embedder) -> Identity:
    exported = embedder.engine.exported
    digest = hashlib.sha256()
    for name in embeddings.names:  # as the C++ program does
        path = source / name if source.is_dir() else source
        digest.update(f"{name}\t{sha256_file(path)}\n".encode())
    return Identity(
        exported.file_sha256,
        digest.hexdigest(),
        embedder.engine.name,
        exported.cut_frames,
        exported.front_end,
        max_frames=embedder.max_frames if embeddings.has_windows and exported.windows is None else None,
    )
