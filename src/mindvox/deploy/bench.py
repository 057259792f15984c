"""Throughput of exported models over batch sizes, and ROC-AUC, in the steps of the Ascend 310P guide.

    mindvox bench preprocess VoxCeleb1 input speaker
    mindvox bench infer --model MODEL [MODEL ...] --data_path input --result result
    mindvox bench postprocess result/output_bs1 speaker
    mindvox bench originroc CHECKPOINT VoxCeleb1

The last step measures the checkpoint itself, without intermediate files (the guide's
get_originroc.py).

`input` holds `mels<i>.bin`, the model input of utterance i: float32, 80 x 200 (mels x frames);
`speaker` holds `speakers<i>.txt`, the index of its speaker; `result/output_bs<B>` holds
`mels<i>_output_0.bin`, its embedding from a batch of B. `meta.json` beside the features
describes the front end that made them.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from mindvox.arguments import Parser
from mindvox.corpus.audio import SUFFIX_EXAMPLES, BadAudio
from mindvox.corpus.quality import read_usable
from mindvox.corpus.walk import walk_audio
from mindvox.data.store import check_feats
from mindvox.engines.engine import Engine, load_engine
from mindvox.engines.exported import ExportedModel, find_exported
from mindvox.errors import InputError, run
from mindvox.files import lock_folder, read_json, user_path, write_json
from mindvox.frontend import FrontEnd, check_front_end, front_end_of
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import cut_frames
from mindvox.scoring.metrics import roc_auc

FORMAT_VERSION = 1
BATCH_SIZES = (1, 4, 8, 16, 32, 64)
NUM_FRAMES = 200
MELS_FILE = re.compile(r"mels([1-9]\d*)\.bin")
EMBEDDING_FILE = re.compile(r"mels([1-9]\d*)_output_0\.bin")
SPEAKER_FILE = re.compile(r"speakers([1-9]\d*)\.txt")


def preprocess(
    dataset: Path, inputs: Path, speakers: Path, num_frames: int = NUM_FRAMES, model: Optional[Path] = None
) -> int:
    """Write features and labels of every recording DATASET/<speaker>/<session>/<file>, or below DATASET/wav.

    Args:
        num_frames: number of frames taken from the start; shorter utterances are repeated.
        model: exported model whose front end makes the features; None: SpeechBrain's fbank.

    Returns:
        The number of utterances.

    Raises:
        InputError: there are no recordings, or one cannot be read.
    """
    recordings = _recordings(dataset)
    front_end = front_end_of(ExportedModel.read(find_exported(model)).front_end, str(model)) if model else Fbank()
    for folder in (inputs, speakers):
        _make_empty(folder)
    for index, (path, label) in enumerate(tqdm(recordings, "computing features", disable=None), 1):
        feats = _features_of(path, front_end, num_frames)
        (inputs / f"mels{index}.bin").write_bytes(feats.T.astype("<f4").tobytes())
        (speakers / f"speakers{index}.txt").write_text(f"{label}\n")
    meta = {"format_version": FORMAT_VERSION, "front_end": front_end.to_dict(), "num_frames": num_frames}
    write_json(inputs / "meta.json", meta)
    num_speakers = len({label for _, label in recordings})
    print(f"{len(recordings)} utterances of {num_speakers} speakers: {inputs}, {speakers}")
    return len(recordings)


def _recordings(dataset: Path) -> list[tuple[Path, int]]:
    """Return every recording of a corpus with the index of its speaker."""
    root = dataset / "wav" if (dataset / "wav").is_dir() else dataset
    names = walk_audio(root).names
    if not names:
        raise InputError(f"{dataset}: expected <speaker>/<session>/<file> ({SUFFIX_EXAMPLES}) in it, found none.")
    speakers = [Path(name).parts[0] for name in names]
    label_of = {speaker: label for label, speaker in enumerate(sorted(set(speakers)))}
    return [(root / name, label_of[speaker]) for name, speaker in zip(names, speakers, strict=True)]


def _features_of(path: Path, front_end: FrontEnd, num_frames: int) -> np.ndarray:
    """Return the first frames (num_frames, F) of a recording, as the model takes them."""
    try:
        waveform = front_end.prepare(read_usable(path, sample_rate=front_end.sample_rate).waveform)
    except BadAudio as error:
        raise InputError(f"{path}: {error.reason}.") from None
    feats = front_end.finish(cut_frames(front_end(waveform), num_frames))
    check_feats(str(path), feats, front_end.size)
    return feats


def originroc(
    checkpoint: Path,
    dataset: Path,
    num_frames: int = NUM_FRAMES,
    batch_size: int = 16,
    device_target: str = "auto",
    device_id: int = 0,
) -> float:
    """Print and return the area under the ROC of a checkpoint before any export (the guide's get_originroc.py).

    The guide cuts its frames at random positions and leaves out utterances above 19 s; here the first frames are taken.

    Args:
        checkpoint: the checkpoint, or a folder whose last one is taken.
        dataset: as in `preprocess`.
        num_frames: number of frames taken from the start; shorter utterances are repeated.
        batch_size: number of utterances in a batch.
        device_target, device_id: device to run on.

    Raises:
        InputError: recordings or checkpoint are missing, a recording cannot be read, or the model has another length.
    """
    from mindvox.device import set_device  # imported here, because the other steps run without MindSpore
    from mindvox.models import fewest_frames, load_model, windows_of
    from mindvox.models.checkpoint import find_checkpoint
    from mindvox.scoring.embeddings import cell_encoder

    recordings = _recordings(dataset)
    path = find_checkpoint(checkpoint)
    model, meta = load_model(path, set_device(device_target, device_id), fold=True)
    windows = windows_of(meta["model"])
    needed = windows.num_frames if windows else max(num_frames, fewest_frames(meta["model"]))
    if needed != num_frames:
        raise InputError(f"{path}: takes {needed} frames, got {num_frames}. Pass --frames={needed}.")
    front_end = front_end_of(meta["front_end"], str(path))
    encode = cell_encoder(model, front_end.size, batch_size)
    embeddings = []
    for first in tqdm(range(0, len(recordings), batch_size), "embedding", disable=None):
        batch = [_features_of(found, front_end, num_frames) for found, _ in recordings[first : first + batch_size]]
        embeddings.append(encode(np.stack(batch)))
    area = _area(np.concatenate(embeddings), np.array([label for _, label in recordings]))
    print(f"origin roc_auc:\n{area:.4f}")
    return area


def infer(
    models: Sequence[Path],
    inputs: Path,
    result: Path,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    loops: int = 20,
    device_target: str = "auto",
    device_id: int = 0,
) -> dict[int, float]:
    """Write embeddings for every batch size, and print a table of throughputs.

    Args:
        models: exported models; for each batch size, the first one that supports it is used.
        loops: number of timed calls for each batch size, after one untimed call; the median counts.
        device_target, device_id: see `load_engine`.

    Returns:
        Utterances per second by batch size.

    Raises:
        InputError: features and models do not fit together, or no model supports a batch size.
    """
    feats, front_end = _read_features(inputs)
    engines = [load_engine(model, device_target=device_target, device_id=device_id) for model in models]
    for model, engine in zip(models, engines, strict=True):
        check_front_end(engine.exported.front_end, front_end, str(inputs))
        if engine.exported.input_kind != "features":
            raise InputError(f"{model}: takes waveforms; export a model with --input=features.")
        if engine.exported.num_frames not in (None, feats.shape[1]):
            raise InputError(f"{model}: takes {engine.exported.num_frames} frames, {inputs} has {feats.shape[1]}.")
    chosen = {size: _engine_for(size, engines) for size in batch_sizes}
    rates = {}
    print(f"{'batchsize':>9} {'utterances/s':>13} {'ms a call':>10}  engine")
    for size, engine in chosen.items():
        call_s = _median_call_s(engine, feats, size, loops)
        rates[size] = size / call_s
        print(f"{size:9} {rates[size]:13.1f} {1000 * call_s:10.2f}  {engine.name}", flush=True)
        embeddings = np.concatenate(
            [engine.encode(feats[first : first + size]) for first in range(0, len(feats), size)]
        )
        folder = result / f"output_bs{size}"
        _make_empty(folder)
        for index, embedding in enumerate(embeddings, 1):
            (folder / f"mels{index}_output_0.bin").write_bytes(embedding.astype("<f4").tobytes())
    return rates


def postprocess(result: Path, speakers: Path) -> float:
    """Print and return the area under the ROC of the cosines of all pairs of utterances.

    Raises:
        InputError: embeddings and labels do not belong together, or there are too few speakers or pairs.
    """
    embeddings = np.stack([_read_floats(path) for path in _numbered(result, EMBEDDING_FILE)])
    paths = _numbered(speakers, SPEAKER_FILE)
    labels = np.array([_read_label(path) for path in paths])
    if len(labels) != len(embeddings):
        raise InputError(f"{result} has {len(embeddings)} embeddings, {speakers} has {len(labels)} labels.")
    area = _area(embeddings, labels)
    print(f"roc_auc: \n{area:.4f}")
    return area


def _area(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC of the cosines of all pairs; embeddings (U, D), speaker indices (U,)."""
    embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows, columns = np.triu_indices(len(labels), 1)
    return roc_auc((embeddings @ embeddings.T)[rows, columns], labels[rows] == labels[columns])


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one step."""
    arguments = _parse(argv)
    if arguments.step == "preprocess":
        with lock_folder(arguments.input), lock_folder(arguments.speaker):
            preprocess(arguments.dataset, arguments.input, arguments.speaker, arguments.frames, arguments.model)
    elif arguments.step == "infer":
        device = (arguments.device_target, arguments.device_id)
        with lock_folder(arguments.result):
            infer(arguments.model, arguments.data_path, arguments.result, arguments.batch_size, arguments.loop, *device)
    elif arguments.step == "originroc":
        device = (arguments.device_target, arguments.device_id)
        originroc(arguments.checkpoint, arguments.dataset, arguments.frames, arguments.batch_size, *device)
    else:
        postprocess(arguments.result, arguments.speaker)
    return 0


def _parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(
        prog="mindvox bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("preprocess", help="write features and labels of a corpus")
    step.add_argument(
        "dataset", type=user_path, help="folder of <speaker>/<session>/<file>, such as VoxCeleb1's test set"
    )
    step.add_argument("input", type=user_path, help="folder of features to write")
    step.add_argument("speaker", type=user_path, help="folder of labels to write")
    step.add_argument("--frames", type=_count, default=NUM_FRAMES, help="frames per utterance (default: 200)")
    step.add_argument("--model", type=user_path, help="exported model whose front end is used (default: fbank)")
    step = steps.add_parser("infer", help="measure throughput by batch size, and write embeddings")
    step.add_argument("--model", type=user_path, nargs="+", required=True, help="exported models that take features")
    step.add_argument("--data_path", type=user_path, required=True, metavar="INPUT", help="folder of features")
    step.add_argument("--result", type=user_path, required=True, help="folder of embeddings to write")
    step.add_argument(
        "--batch_size", type=_count, nargs="+", default=list(BATCH_SIZES), help="batch sizes (default: 1 4 8 16 32 64)"
    )
    step.add_argument("--loop", type=_count, default=20, help="number of timed calls for each batch size (default: 20)")
    step.add_argument(
        "--device_target", default="auto", choices=("auto", "CPU", "GPU", "Ascend"), help="device for a MINDIR"
    )
    step.add_argument("--device_id", type=int, default=0, help="index of the device")
    step = steps.add_parser("postprocess", help="compute the ROC-AUC of embeddings")
    step.add_argument("result", type=user_path, help="folder of embeddings, such as result/output_bs1")
    step.add_argument("speaker", type=user_path, help="folder of labels")
    step = steps.add_parser("originroc", help="compute the ROC-AUC of a checkpoint")
    step.add_argument("checkpoint", type=user_path, help="checkpoint, or folder of checkpoints")
    step.add_argument("dataset", type=user_path, help="folder of <speaker>/<session>/<file>")
    step.add_argument("--frames", type=_count, default=NUM_FRAMES, help="frames per utterance (default: 200)")
    step.add_argument("--batch_size", type=_count, default=16, help="utterances per batch (default: 16)")
    step.add_argument("--device_target", default="auto", choices=("auto", "CPU", "GPU", "Ascend"), help="device to use")
    step.add_argument("--device_id", type=int, default=0, help="index of the device")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got '{text}'")
    return int(text)


def _make_empty(folder: Path) -> None:
    """Make a folder, or remove an earlier run's files from it; other files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name == "meta.json" or any(
            pattern.fullmatch(path.name) for pattern in (MELS_FILE, EMBEDDING_FILE, SPEAKER_FILE)
        ):
            path.unlink()


def _numbered(folder: Path, pattern: re.Pattern) -> list[Path]:
    """Return the files 1, 2, ... of a kind; raise InputError if there are none or one is missing."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    found = {int(match[1]): path for path in folder.iterdir() if (match := pattern.fullmatch(path.name))}
    missing = next((number for number in range(1, len(found) + 1) if number not in found), None)
    if not found or missing is not None:
        name = pattern.pattern.replace(r"([1-9]\d*)", str(missing or 1)).replace("\\", "")
        raise InputError(f"{folder}: no {name} in it. Run the previous step again.")
    return [found[number] for number in sorted(found)]


def _read_features(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Return features (U, T, F) and their front end."""
    meta = read_json(folder / "meta.json")
    if not isinstance(meta, dict) or meta.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{folder / 'meta.json'}: expected format_version {FORMAT_VERSION}. Run preprocess again.")
    size = front_end_of(meta["front_end"], str(folder / "meta.json")).size
    feats = []
    for path in _numbered(folder, MELS_FILE):
        values = _read_floats(path)
        if values.size != size * meta["num_frames"]:
            raise InputError(f"{path}: expected {size} x {meta['num_frames']} values, got {values.size}.")
        feats.append(values.reshape(size, -1).T)
    return np.ascontiguousarray(np.stack(feats)), meta["front_end"]


def _read_floats(path: Path) -> np.ndarray:
    content = path.read_bytes()
    if not content or len(content) % 4:
        raise InputError(f"{path}: expected float32 values, got {len(content)} bytes.")
    values = np.frombuffer(content, "<f4")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: NaN or infinite values.")
    return values


def _read_label(path: Path) -> int:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isdecimal():
        raise InputError(f"{path}: expected the number of a speaker, got {text[:20]!r}.")
    return int(text)


def _engine_for(size: int, engines: Sequence[Engine]) -> Engine:
    for engine in engines:
        if engine.exported.batch_size in (None, size):
            return engine
    raise InputError(f"batch size {size}: no model takes it. Export one with --batch_size={size}, or with 0 for any.")


def _batches(feats: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield full batches forever, starting over after the last utterance."""
    first = 0
    while True:
        rows = np.arange(first, first + size) % len(feats)
        yield feats[rows]
        first = (first + size) % len(feats)


def _median_call_s(engine: Engine, feats: np.ndarray, size: int, loops: int) -> float:
    batches = _batches(engine.arranged(feats), size)
    engine.run(next(batches))
    times = []
    for _ in range(loops):
        batch = next(batches)
        start = time.perf_counter()
        engine.run(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(run(main))
