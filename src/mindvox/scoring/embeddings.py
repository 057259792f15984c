"""Embeddings of an evaluation store: making and storing them, and recording how they were made."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from mindvox.data.eval_store import EvalStore
from mindvox.engines.engine import Encode, encode_named, fill_batches
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, atomic_path, read_csv, read_json, write_csv, write_json
from mindvox.frontend import frames, front_end_of
from mindvox.frontend.frames import Windows
from mindvox.progress import quantity

if TYPE_CHECKING:
    from mindspore import nn

FORMAT_VERSION = 1
LATER_KEYS = ("crop_samples", "max_frames")  # in meta.json only if they are numbers
INDEX_HEADER = ("utt_id", "spk_id")
CROP_SHIFT, CROP_OVERLAP = 160, 240  # samples


@dataclass(frozen=True)
class Identity:
    """Everything that decides embeddings, by content: two sets with equal identities are equal.

    Attributes:
        model_sha256: hash of the checkpoint or exported model.
        store_sha256: hash of the evaluation store.
        engine: program, version and device that computed, such as "mindspore 2.10.0 CPU".
        cut_frames: number of frames kept of each utterance, or of each crop; None: all.
        front_end: how the features are computed, FrontEnd.to_dict().
        num_crops: number of crops of each utterance with their own embeddings; 0: one embedding per utterance.
        crop_samples: length of crops cut from the waveform, samples; None: crops are cut from the features, or there
            are none. Like max_frames, it is in meta.json only if it is a number.
        max_frames: greatest number of frames of a window, if some utterance of the store is longer, so that its
            embedding is a mean over windows; None: every utterance went through the model in one piece. It is in
            meta.json only if it is a number, so that stores without long utterances, also older ones, stay valid.
    """

    model_sha256: str
    store_sha256: str
    engine: str
    cut_frames: Optional[int]
    front_end: dict
    num_crops: int = 0
    crop_samples: Optional[int] = None
    max_frames: Optional[int] = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form stored in meta.json."""
        return {name: value for name, value in asdict(self).items() if name not in LATER_KEYS or value is not None}

    def differences(self, other: "Identity") -> list[str]:
        """Return the names of the attributes that differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    def differences_in_making(self, other: "Identity") -> list[str]:
        """Return the names of differing attributes between embeddings of other utterances: all but the store.

        If only one of them has windows, the other had no utterance that needs them, which is not a difference.
        """
        free = {"store_sha256"}
        if None in (self.max_frames, other.max_frames):
            free.add("max_frames")
        return [name for name in self.differences(other) if name not in free]


@dataclass(frozen=True)
class EmbeddingStore:
    """Named embeddings: `embeddings.npy`, `index.csv` and `meta.json` in a folder, from Python and C++ alike.

    Attributes:
        utt_ids, spk_ids: names of the rows; utt_ids are unique.
        embeddings: float32 (U, D), U >= 1, finite; with crops (U, identity.num_crops, D).
        identity: how the embeddings were made.
    """

    utt_ids: list[str]
    spk_ids: list[str]
    embeddings: np.ndarray
    identity: Identity

    def save(self, folder: PathLike) -> None:
        """Write the store; meta.json comes last, so that a folder with one is complete."""
        folder = Path(folder)
        (folder / "meta.json").unlink(missing_ok=True)
        with atomic_path(folder / "embeddings.npy") as temporary:
            np.save(temporary, self.embeddings)
        write_csv(folder / "index.csv", INDEX_HEADER, zip(self.utt_ids, self.spk_ids, strict=True))
        write_json(folder / "meta.json", {"format_version": FORMAT_VERSION, **self.identity.to_dict()})

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
    needed = set(names) - {"num_crops", *LATER_KEYS}
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
    folder: PathLike,
    identity: Identity,
    store: EvalStore,
    encode: Encode,
    batch_size: int,
    max_frames: int = 0,
    min_frames: int = 1,
    windows: Optional[Windows] = None,
) -> EmbeddingStore:
    """Open the embeddings in `folder` if they have this identity, else make and save them; print which, and why.

    `batch_size`, `max_frames`, `min_frames` and `windows` are those of `extract`.
    """
    found, reason = _reusable(Path(folder), identity)
    if found is not None:
        print(f"{folder}: embeddings reused: same model, features, cut and engine")
        return found
    print(f"{folder}: making embeddings: {reason}")
    embeddings = extract(
        encode,
        store,
        identity.cut_frames,
        batch_size,
        num_crops=identity.num_crops,
        crop_samples=identity.crop_samples,
        max_frames=max_frames,
        min_frames=min_frames,
        windows=windows,
    )
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
    crop_samples: Optional[int] = None,
    max_frames: int = 0,
    min_frames: int = 1,
    windows: Optional[Windows] = None,
) -> np.ndarray:
    """Embed every utterance of a store, or several crops of each.

    Utterances are never padded: a batch holds utterances of equal length. Features are cut first, then finished
    (usually by subtracting their mean). An utterance of more than `max_frames` frames is cut into windows
    (`window_edges`); each is finished separately, and the utterance's embedding is the mean of the windows' embeddings,
    weighted by frames.
    The same applies to a model with its own windows.

    Args:
        encode: the model.
        store: features before mean subtraction.
        cut_frames: number of frames to keep of each utterance; shorter ones are repeated from their start; None: all.
        batch_size: greatest number of utterances or crops in a batch.
        progress: show a bar if stderr is a terminal, and print the speed.
        num_crops: number of crops of `cut_frames` frames to embed of each utterance; 0: no crops.
        crop_samples: length of crops that are cut from the waveform, samples; features of `cut_frames` frames are
            computed of each. None: crops are cut from the features of the whole.
        max_frames: greatest number of frames of a window, and of a whole batch; 0: no limit. It does not affect what
            `cut_frames` cuts, or a model with its own windows.
        min_frames: fewest frames of an utterance.
        windows: the model's own windows of each utterance, or of what `cut_frames` keeps of it; None: the model takes
            any length.

    Returns:
        Embeddings in the store's order, float32 (U, D), or (U, num_crops, D).

    Raises:
        InputError: an utterance is too short, memory runs out, or the model returns NaN or a shape other than (B, D);
            the message names the utterance.
    """
    start = time.perf_counter()
    front_end = front_end_of(store.front_end)
    per_utt = max(1, num_crops)
    lengths = np.full(len(store) * per_utt, cut_frames) if cut_frames else np.asarray(store.num_frames)
    max_frames = 0 if cut_frames or windows else max_frames
    check_max_frames(max_frames, min_frames)
    shortest = int(np.argmin(lengths))
    if lengths[shortest] < min_frames:
        raise InputError(
            f"{store.utt_ids[shortest]}: {lengths[shortest]} frames, an embedding needs at least {min_frames}. "
            "Leave the utterance out, or pass --cut_wav=true, which repeats what is short."
        )
    inputs = _Inputs.of(lengths, max_frames, windows)
    num_inputs = np.bincount(inputs.piece)
    sums: dict[int, np.ndarray] = {}  # sums of the windows' embeddings weighted by frames, in double precision
    embeddings: Optional[np.ndarray] = None
    with tqdm(total=len(inputs.piece), unit="utt", disable=None if progress else True) as bar:
        for rows in _equal_length_batches(inputs.num_frames, batch_size, max_frames):
            names = [store.utt_ids[piece // per_utt] for piece in inputs.piece[rows]]
            cut = [_cut_feats(store, inputs, row, cut_frames, num_crops, crop_samples, windows) for row in rows]
            feats = np.stack([front_end.finish(each) for each in cut])
            batch = encode_named(encode, feats, names)
            if embeddings is None:
                embeddings = np.empty((len(lengths), *batch.shape[1:]), dtype=np.float32)
            if batch.ndim != 2 or batch.shape != (len(rows), embeddings.shape[1]):
                raise InputError(f"{names[0]}: expected embeddings ({len(rows)}, D), the model gave {batch.shape}.")
            check_finite(batch, names)
            for row, embedding in zip(rows, batch, strict=True):
                piece, num_frames = int(inputs.piece[row]), inputs.num_frames[row]
                if num_inputs[piece] == 1:
                    embeddings[piece] = embedding
                else:
                    sums[piece] = sums.get(piece, 0.0) + embedding.astype(np.float64) * num_frames
                    store.release()
            bar.update(len(rows))
    assert embeddings is not None, "a store holds an utterance"
    num_frames_of = np.bincount(inputs.piece, inputs.num_frames)
    for piece, total in sums.items():
        embeddings[piece] = total / num_frames_of[piece]
    if progress:
        elapsed_s = time.perf_counter() - start
        audio_s = lengths.sum() * front_end.frame_shift_s
        print(
            f"{quantity(len(lengths), 'embedding')} in {elapsed_s:.1f} s: {len(lengths) / elapsed_s:.1f} "
            f"{'crops' if num_crops else 'utterances'}/s, {audio_s / elapsed_s:.1f} times real time"
        )
    return embeddings.reshape(len(store), num_crops, -1) if num_crops else embeddings


def check_max_frames(max_frames: int, min_frames: int) -> None:
    """Raise UsageError if windows of at most `max_frames` frames can be shorter than the model's minimum."""
    if 0 < max_frames < 2 * min_frames:
        raise UsageError(f"max_frames: expected 0 or at least {2 * min_frames} frames, got {max_frames}.")


class _Inputs(NamedTuple):
    """Frames that go through the model together: the piece (an utterance or a crop), the first frame, the number."""

    piece: np.ndarray
    first_frame: np.ndarray
    num_frames: np.ndarray

    @classmethod
    def of(cls, lengths: np.ndarray, max_frames: int, windows: Optional[Windows]) -> "_Inputs":
        """Cut pieces of this many frames into the model's windows, or windows of at most `max_frames`; 0: one window
        each.
        """
        if windows is not None:
            starts = [windows.starts(int(length)) for length in lengths]
            piece = np.repeat(np.arange(len(lengths)), [len(of_piece) for of_piece in starts])
            return cls(piece, np.concatenate(starts), np.full(len(piece), windows.num_frames))
        edges = [frames.window_edges(int(length), max_frames) for length in lengths]
        return cls(
            np.repeat(np.arange(len(lengths)), [len(of_piece) - 1 for of_piece in edges]),
            np.concatenate([of_piece[:-1] for of_piece in edges]),
            np.concatenate([np.diff(of_piece) for of_piece in edges]),
        )


def _equal_length_batches(lengths: np.ndarray, batch_size: int, max_frames: int) -> Iterator[np.ndarray]:
    # Longest first: MindSpore keeps the memory of a batch, which a longer one after it could not reuse.
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        size = min(batch_size, max(1, max_frames // lengths[group[0]])) if max_frames else batch_size
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _cut_feats(
    store: EvalStore,
    inputs: _Inputs,
    row: int,
    cut_frames: Optional[int],
    num_crops: int,
    crop_samples: Optional[int],
    windows: Optional[Windows],
) -> np.ndarray:
    """Return the frames of an embedding: an utterance, its start, a crop, or a window of one of these."""
    piece = int(inputs.piece[row])
    if crop_samples:
        feats = store.features_of(_waveform_crop(store.waveform(piece // num_crops), piece, num_crops, crop_samples))
    else:
        feats = _piece_feats(store, piece, cut_frames, num_crops)
    first = inputs.first_frame[row]
    if windows is not None:
        return windows.cut(feats, first)
    return feats[first : first + inputs.num_frames[row]]


def _piece_feats(store: EvalStore, piece: int, cut_frames: Optional[int], num_crops: int) -> np.ndarray:
    """Return an utterance, its start, or a crop of it."""
    if num_crops:
        assert cut_frames, "crops have a length"
        utt, crop = divmod(piece, num_crops)
        feats = frames.repeat_to(store.feats(utt), max(cut_frames, store.num_frames[utt]))
        first = crop_starts(len(feats), cut_frames, num_crops)[crop]
        return feats[first : first + cut_frames]
    feats = store.feats(piece)
    return frames.cut_frames(feats, cut_frames) if cut_frames else feats


def _waveform_crop(waveform: np.ndarray, piece: int, num_crops: int, crop_samples: int) -> np.ndarray:
    """Return the samples of a crop, cut as in voxceleb_trainer's loadWAV.

    A waveform not longer than a crop is repeated from its start, to one sample more than the crop.
    """
    waveform = frames.repeat_to(waveform, max(crop_samples + 1, len(waveform)))
    first = crop_starts(len(waveform), crop_samples, num_crops)[piece % num_crops]
    return waveform[first : first + crop_samples]


def crop_starts(length: int, crop_length: int, num_crops: int) -> np.ndarray:
    """Return the starts of crops that are evenly spread from start to end, as in voxceleb_trainer."""
    return np.linspace(0, length - crop_length, num_crops).astype(int)


def samples_of_crop(num_frames: int) -> int:
    """Return the length in samples of a crop of `num_frames` frames of 25 ms, 10 ms apart, at 16 kHz
    (voxceleb_trainer).
    """
    return CROP_SHIFT * num_frames + CROP_OVERLAP


def cell_encoder(cell: "nn.Cell", feature_size: int, fixed_batch: Optional[int] = None) -> Encode:
    """Wrap a Cell in evaluation mode, compiled once for all inputs.

    Args:
        cell: feats (B, T, F) to embeddings (B, D).
        feature_size: F.
        fixed_batch: all inputs have equal length (cut features) and at most this many utterances: the graph is compiled
            for exactly this shape. None: any lengths; the graph has dynamic shapes and takes twice the time per frame.
    """
    import mindspore as ms  # imported here, because machines that score exported models may lack MindSpore

    from mindvox.device import release_memory

    is_compiled = False

    def encode(feats: np.ndarray) -> np.ndarray:
        nonlocal is_compiled
        if not is_compiled:
            cell.compile(ms.Tensor(feats))
            release_memory()
            is_compiled = True
        return cell(ms.Tensor(feats)).asnumpy()

    if fixed_batch:
        return fill_batches(encode, fixed_batch)
    cell.set_inputs(ms.Tensor(shape=[None, None, feature_size], dtype=ms.float32))  # else compiled for every length
    return encode
