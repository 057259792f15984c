"""Embeddings of an evaluation store: making them, keeping them on disk, and knowing what made them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np
from tqdm import tqdm

from src.data.eval_store import EvalStore
from src.errors import InputError
from src.files import PathLike, atomic_path, read_csv, read_json, write_csv, write_json
from src.frontend import fbank

if TYPE_CHECKING:
    from mindspore import nn

FORMAT_VERSION = 1
INDEX_HEADER = ("utt_id", "spk_id")
MIN_FRAMES = 9  # the widest convolution: kernel 3, dilation 4; also the least cut_frames

Encode = Callable[[np.ndarray], np.ndarray]
"""Mean-subtracted feats (B, T, F), float32, to embeddings (B, D)."""


@dataclass(frozen=True)
class Identity:
    """What embeddings depend on, by content: two sets with equal identities are the same.

    Attributes:
        model_sha256: of the checkpoint or exported model file.
        store_sha256: of the evaluation store.
        engine: program, version and device that computed, such as "mindspore 2.10.0 CPU".
        cut_frames: frames kept of each utterance, or of each crop; None: all.
        front_end: parameters of the features.
        num_crops: crops of each utterance that have an embedding of their own; 0: the utterance has one.
    """

    model_sha256: str
    store_sha256: str
    engine: str
    cut_frames: Optional[int]
    front_end: dict
    num_crops: int = 0

    def differences(self, other: "Identity") -> list[str]:
        """Return the names of the attributes that differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    def differences_in_making(self, other: "Identity") -> list[str]:
        """Return the names of the attributes that differ between embeddings of other utterances: all but the store."""
        return [name for name in self.differences(other) if name != "store_sha256"]


@dataclass(frozen=True)
class EmbeddingStore:
    """Named embeddings: `embeddings.npy`, `index.csv` and `meta.json` in a folder, from Python and C++ alike.

    Attributes:
        utt_ids, spk_ids: names of the rows; every utt_id stands once.
        embeddings: float32 (U, D), U >= 1, finite; with crops (U, identity.num_crops, D).
        identity: what they were made of.
    """

    utt_ids: list[str]
    spk_ids: list[str]
    embeddings: np.ndarray
    identity: Identity

    def save(self, folder: PathLike) -> None:
        """Write the store; meta.json comes last, so that a folder with one is whole."""
        folder = Path(folder)
        (folder / "meta.json").unlink(missing_ok=True)
        with atomic_path(folder / "embeddings.npy") as temporary:
            np.save(temporary, self.embeddings)
        write_csv(folder / "index.csv", INDEX_HEADER, zip(self.utt_ids, self.spk_ids, strict=True))
        write_json(folder / "meta.json", {"format_version": FORMAT_VERSION, **asdict(self.identity)})

    @classmethod
    def open(cls, folder: PathLike) -> "EmbeddingStore":
        """Open a store, embeddings memory-mapped.

        Raises:
            InputError: a file is missing or damaged, the files do not fit together, or an embedding is not finite.
        """
        folder = Path(folder)
        if not (folder / "meta.json").is_file():
            raise InputError(f"{folder}: expected a finished embedding store, but there is no meta.json.")
        identity = _identity(folder / "meta.json")
        index = read_csv(folder / "index.csv", INDEX_HEADER)
        utt_ids = [utt_id for utt_id, _ in index]
        try:
            embeddings = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{folder / 'embeddings.npy'}: missing or damaged ({error}). Make it again.") from None
        if not utt_ids or len(set(utt_ids)) < len(utt_ids):
            raise InputError(f"{folder / 'index.csv'}: expected each utterance once, got {len(utt_ids)} rows.")
        leading = (len(index), identity.num_crops) if identity.num_crops else (len(index),)
        if embeddings.dtype != np.float32 or embeddings.shape[:-1] != leading:
            raise InputError(
                f"{folder / 'embeddings.npy'}: expected float32 ({', '.join(map(str, leading))}, D) as index.csv has "
                f"rows, got {embeddings.dtype} {embeddings.shape}."
            )
        check_finite(embeddings, utt_ids)
        return cls(utt_ids, [spk_id for _, spk_id in index], embeddings, identity)


def _identity(path: Path) -> Identity:
    meta = read_json(path)
    names = [field.name for field in fields(Identity)]
    needed = set(names) - {"num_crops"}  # which those who know no crops leave out
    if not isinstance(meta, dict) or meta.get("format_version") != FORMAT_VERSION or not meta.keys() >= needed:
        raise InputError(f"{path}: expected format_version {FORMAT_VERSION} and {', '.join(names)}. Make it again.")
    return Identity(**{name: meta[name] for name in names if name in meta})


def check_finite(embeddings: np.ndarray, utt_ids: Sequence[str]) -> None:
    """Raise InputError when an embedding has a NaN or infinite value, with the first such utterance's name."""
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=tuple(range(1, embeddings.ndim))))
    if len(bad):
        raise InputError(
            f"{len(bad)} of {len(utt_ids)} embeddings have NaN or infinite values; the first is of {utt_ids[bad[0]]}."
        )


def load_or_extract(
    folder: PathLike, identity: Identity, store: EvalStore, encode: Encode, batch_size: int
) -> EmbeddingStore:
    """Open the embeddings in `folder` when they have this identity, else make and save them; print which, and why."""
    found, reason = _reusable(Path(folder), identity)
    if found is not None:
        print(f"{folder}: embeddings reused: same model, features, cut and engine")
        return found
    print(f"{folder}: making embeddings: {reason}")
    embeddings = extract(encode, store, identity.cut_frames, batch_size, num_crops=identity.num_crops)
    made = EmbeddingStore(list(store.utt_ids), list(store.spk_ids), embeddings, identity)
    made.save(folder)
    return made


def _reusable(folder: Path, identity: Identity) -> tuple[Optional[EmbeddingStore], str]:
    """Return the embeddings in `folder`, or why they cannot be used."""
    if not (folder / "meta.json").is_file():
        return None, "there are none yet"
    try:
        found = EmbeddingStore.open(folder)
    except InputError as error:
        return None, str(error)
    different = identity.differences(found.identity)
    return (None, f"those there have another {', '.join(different)}") if different else (found, "")


def extract(
    encode: Encode,
    store: EvalStore,
    cut_frames: Optional[int],
    batch_size: int,
    progress: bool = True,
    num_crops: int = 0,
) -> np.ndarray:
    """Embed every utterance of a store, or several crops of each.

    Utterances are never padded: a batch holds utterances of one length. Features are cut first, then their mean is
    subtracted.

    Args:
        encode: the model.
        store: features before mean subtraction.
        cut_frames: frames to keep of each utterance, repeated from its start when shorter; None: all.
        batch_size: utterances, or crops, in a batch at most.
        progress: show a bar when stderr is a terminal, and print the speed.
        num_crops: so many crops of `cut_frames` frames of each utterance are embedded; 0: no crops.

    Returns:
        Embeddings in the store's order, float32 (U, D), or (U, num_crops, D).

    Raises:
        InputError: an utterance is too short, or the model returns another shape than (B, D), or NaN; the utterance is
            named.
    """
    start = time.perf_counter()
    per_utt = max(1, num_crops)
    lengths = np.full(len(store) * per_utt, cut_frames) if cut_frames else np.asarray(store.num_frames)
    shortest = int(np.argmin(lengths))
    if lengths[shortest] < MIN_FRAMES:
        raise InputError(
            f"{store.utt_ids[shortest]}: {lengths[shortest]} frames, an embedding needs at least {MIN_FRAMES}. "
            "Leave the utterance out, or pass --cut_wav=true, which repeats what is short."
        )
    embeddings = None
    with tqdm(total=len(lengths), unit="utt", disable=None if progress else True) as bar:
        for pieces in _equal_length_batches(lengths, batch_size):
            utts = [piece // per_utt for piece in pieces]
            feats = [_piece(store, piece, cut_frames, num_crops) for piece in pieces]
            batch = np.asarray(encode(np.stack(feats)))
            if embeddings is None:
                embeddings = np.empty((len(lengths), *batch.shape[1:]), dtype=np.float32)
            if batch.ndim != 2 or batch.shape != (len(pieces), embeddings.shape[1]):
                raise InputError(
                    f"{store.utt_ids[utts[0]]}: expected embeddings ({len(pieces)}, D), the model gave {batch.shape}."
                )
            check_finite(batch, [store.utt_ids[utt] for utt in utts])
            embeddings[pieces] = batch
            bar.update(len(pieces))
    if progress:
        elapsed_s = time.perf_counter() - start
        audio_s = lengths.sum() * store.front_end["hop_length_ms"] / 1000
        print(
            f"{len(lengths)} embeddings in {elapsed_s:.1f} s: {len(lengths) / elapsed_s:.1f} "
            f"{'crops' if num_crops else 'utterances'}/s, {audio_s / elapsed_s:.1f} times real time"
        )
    return embeddings.reshape(len(store), num_crops, -1) if num_crops else embeddings


def _equal_length_batches(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    order = np.argsort(lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        yield from (group[start : start + batch_size] for start in range(0, len(group), batch_size))


def _piece(store: EvalStore, piece: int, cut_frames: Optional[int], num_crops: int) -> np.ndarray:
    """Return what an embedding is made of: a whole utterance, its start, or one of its crops; less its mean."""
    if not num_crops:
        feats = store.feats(piece)
        return fbank.subtract_mean(fbank.cut_frames(feats, cut_frames) if cut_frames else feats)
    utt, crop = divmod(int(piece), num_crops)
    feats = fbank.repeat_to(store.feats(utt), max(cut_frames, store.num_frames[utt]))
    first = crop_starts(len(feats), cut_frames, num_crops)[crop]
    return fbank.subtract_mean(feats[first : first + cut_frames])


def crop_starts(num_frames: int, crop_frames: int, num_crops: int) -> np.ndarray:
    """Return the first frames of crops that are spread evenly from start to end, as voxceleb_trainer's are."""
    return np.linspace(0, num_frames - crop_frames, num_crops).astype(int)


def fill_batches(encode: Encode, batch_size: int) -> Encode:
    """Let an engine that takes exactly `batch_size` utterances serve fewer: rows are repeated, the surplus dropped."""
    return lambda feats: encode(fbank.repeat_to(feats, batch_size))[: len(feats)]


def cell_encoder(cell: "nn.Cell", num_mels: int, fixed_batch: Optional[int] = None) -> Encode:
    """Wrap a Cell in evaluation mode, compiled once for all inputs.

    Args:
        cell: feats (B, T, F) to embeddings (B, D).
        num_mels: F.
        fixed_batch: all inputs have one length (cut features) and at most this many utterances: the graph is compiled
            for exactly this shape. None: any lengths; the graph has dynamic shapes, at twice the time for a frame.
    """
    import mindspore as ms  # here, because the scorer of exported models reads embeddings on machines without MindSpore

    def encode(feats: np.ndarray) -> np.ndarray:
        return cell(ms.Tensor(feats)).asnumpy()

    if fixed_batch:
        return fill_batches(encode, fixed_batch)
    cell.set_inputs(ms.Tensor(shape=[None, None, num_mels], dtype=ms.float32))  # else it compiles for every length
    return encode
