"""Write embeddings of recordings as an .npz file or an embedding store."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from mindvox.corpus.table_io import write_skipped
from mindvox.corpus.trials import speaker_of
from mindvox.embedder import Embedder
from mindvox.errors import InputError
from mindvox.extraction import Extracted
from mindvox.files import atomic_path, lock_folder, lock_output
from mindvox.scoring.embeddings import EmbeddingStore, Identity

NPZ = ".npz"
FORMAT_VERSION = 1


def lock_for(out: Path) -> AbstractContextManager[None]:
    """Keep other processes from writing the same embeddings."""
    return lock_output(out) if out.suffix == NPZ else lock_folder(out)


def parts_folder_of(out: Path) -> Path:
    """Return the folder for the finished parts of embeddings in progress."""
    return out.with_name(f".{out.name}.parts") if out.suffix == NPZ else out / ".parts"


def write_embeddings(
    out: Path, source: Path, extracted: Extracted, embedder: Embedder, speakers: Mapping[str, str]
) -> Path:
    """Write embeddings and, beside them, the list of unusable recordings, which may be empty.

    Args:
        out: FILE.npz gets the arrays `names` (U,), `embeddings` (U, D), and `meta`, a JSON text, with FILE.skipped.csv
            beside it. Anything else is a folder, which becomes an embedding store with skipped.csv in it.
        source: origin of the recordings, for messages.
        speakers: speakers by the recordings' names; for others, the first part of the name is the speaker.

    Returns:
        The path of the list of unusable recordings.

    Raises:
        InputError: no recording is usable; the list is written, the embeddings are not.
    """
    skipped = out.with_suffix(".skipped.csv") if out.suffix == NPZ else out / "skipped.csv"
    embeddings = extracted.embeddings
    write_skipped(skipped, embeddings.skipped)
    if not embeddings.names:
        name, reason = embeddings.skipped[0]
        raise InputError(f"{source}: no recording can be used, see {skipped}; {name}: {reason}.")
    identity = _identity(extracted, embedder)
    if out.suffix == NPZ:
        meta = json.dumps({"format_version": FORMAT_VERSION, **identity.to_dict()}, sort_keys=True)
        with atomic_path(out) as temporary:
            np.savez(temporary, names=np.array(embeddings.names), embeddings=embeddings.vectors, meta=np.array(meta))
    else:
        spk_ids = [speakers.get(name) or speaker_of(name) for name in embeddings.names]
        EmbeddingStore(embeddings.names, spk_ids, embeddings.vectors, identity).save(out)
    return skipped


def _identity(extracted: Extracted, embedder: Embedder) -> Identity:
    exported = embedder.engine.exported
    has_windows = extracted.embeddings.has_windows and exported.windows is None
    return Identity(
        exported.file_sha256,
        extracted.content_sha256,
        embedder.engine.name,
        exported.cut_frames,
        exported.front_end,
        max_frames=embedder.max_frames if has_windows else None,
    )
