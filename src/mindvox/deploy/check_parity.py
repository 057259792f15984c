"""Compare exported models with their checkpoint, in every installed engine.

`mindvox check-parity --checkpoint CKPT --exported FILE [FILE ...] [--features DIR]` prints a table and
exits with 1 if an embedding differs more than allowed, or if nothing could be compared.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.config import ROOT, Config
from mindvox.corpus.audio import SUFFIX_EXAMPLES, BadAudio
from mindvox.corpus.quality import read_usable
from mindvox.corpus.walk import walk_audio
from mindvox.data.eval_store import META_FILE, EvalStore, EvalStoreWriter
from mindvox.engines.engine import Encode, encode_named, is_installed, libraries_of, load_engine
from mindvox.engines.exported import ExportedModel, find_exported
from mindvox.engines.pieces import pieces_of_feats, pieces_of_waveform, samples_of_window
from mindvox.errors import InputError, UsageError, run
from mindvox.files import sha256_file, user_path
from mindvox.frontend import FrontEnd, front_end_of
from mindvox.frontend.frames import Windows, window_edges
from mindvox.progress import quantity
from mindvox.scoring.embeddings import EmbeddingStore, check_max_frames
from mindvox.scoring.metrics import eer
from mindvox.scoring.normalisation import unit_length

LEAST_COSINES = {"float32": 0.99999, "int8": 0.5}
"""By the precision of the exported model. For int8 the error rate says more: single utterances may differ much."""
NUM_RANDOM = 8
CPP_BINARY = "ascend310_infer/build/ecapa_infer"
ENGINES = {
    ("MINDIR", "mindspore"): "MINDIR in MindSpore",
    ("ONNX", "onnxruntime"): "ONNX in ONNX Runtime",
    ("ONNX", "openvino"): "ONNX in OpenVINO",
    ("IR", "openvino"): "IR in OpenVINO",
}


@dataclass(frozen=True)
class ParityCase:
    """An utterance to compare: features before `finish` (T, F), and their waveform (N,) if there is one.

    `spk_id` is the speaker if known, else empty.
    """

    utt_id: str
    feats: np.ndarray
    waveform: Optional[np.ndarray] = None
    spk_id: str = ""


class Agreement(NamedTuple):
    """Over all utterances: the least cosine, the greatest difference of a value, and the greatest value."""

    least_cosine: float
    difference: float
    largest: float


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compare, and print the table and what was not checked."""
    arguments = _parse(argv)
    from mindvox.models.checkpoint import find_checkpoint  # after parsing: importing MindSpore takes seconds

    exported = {path: ExportedModel.read(path) for path in map(find_exported, arguments.exported)}
    check_max_frames(arguments.max_frames, max(model.min_frames for model in exported.values()))
    checkpoint = find_checkpoint(arguments.checkpoint)
    _check_same_checkpoint(checkpoint, exported)
    front_end = front_end_of(next(iter(exported.values())).front_end, str(arguments.exported[0]))
    utterances, source = read_utterances(arguments.features, front_end)
    if arguments.max_utterances:
        utterances = utterances[: arguments.max_utterances]
    if any(model.input_kind == "waveform" for model in exported.values()) and utterances[0].waveform is None:
        raise InputError(f"{arguments.features}: features, but a model takes waveforms: give a folder of recordings.")

    print(f"reference: MindSpore Cell of {checkpoint}; {quantity(len(utterances), 'utterance')}: {source}")
    model = next(iter(exported.values()))
    cut = partial(windows_of, windows=model.windows, max_frames=arguments.max_frames, front_end=front_end)
    utterances = [window for utterance in utterances for window in cut(utterance)]
    reference = CellEmbeddings(checkpoint, front_end)
    print(f"{'engine':22} {'file':28} {'least cosine':>13} {'max difference':>15} {'of greatest':>12} {'EER, %':>7}")
    checked: list[str] = []
    all_agree = True
    for engine, path, encode_all in _candidates(exported, front_end, arguments.cpp):
        expected = reference.embed(exported[path], utterances)
        if not checked:
            print(f"{'the checkpoint':22} {'':28} {'':13} {'':15} {'':12} {_eer_text(expected, utterances):>7}")
        embeddings = encode_all(utterances)
        found = agreement(expected, embeddings)
        tolerance = arguments.tolerance or LEAST_COSINES[exported[path].precision]
        agrees = found.least_cosine >= tolerance
        all_agree &= agrees
        checked.append(engine)
        print(
            f"{engine:22} {path.name:28} {found.least_cosine:13.8f} {found.difference:15.3g} {found.largest:12.4g} "
            f"{_eer_text(embeddings, utterances):>7}{'' if agrees else f'  below {tolerance:g}'}",
            flush=True,
        )
    for line in _not_checked(checked, exported, arguments.cpp):
        print(f"not checked: {line}")
    if not checked:
        raise InputError("no engine for these files is installed: nothing was compared.")
    if not all_agree:
        raise InputError("an engine's embeddings have a cosine below the tolerance: do not use that file.")
    return 0


def _parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(prog="mindvox check-parity", description=main.__doc__)
    parser.add_argument(
        "--checkpoint", type=user_path, required=True, help="exported checkpoint, or folder whose last one is taken"
    )
    parser.add_argument(
        "--exported", type=user_path, required=True, nargs="+", metavar="FILE", help="exported models to compare"
    )
    parser.add_argument(
        "--features",
        type=user_path,
        metavar="DIR",
        help="evaluation store, or a folder of recordings (.wav, .flac); default: random recordings",
    )
    least = ", ".join(f"{cosine:g} for {precision}" for precision, cosine in LEAST_COSINES.items())
    parser.add_argument("--tolerance", type=float, metavar="COSINE", help=f"least accepted cosine (default: {least})")
    parser.add_argument("--max_utterances", type=int, default=0, metavar="N", help="number of utterances; 0: all")
    parser.add_argument(
        "--cpp", type=user_path, default=ROOT / CPP_BINARY, metavar="PROGRAM", help="C++ program to run"
    )
    parser.add_argument(
        "--max_frames",
        type=int,
        default=Config.max_frames,
        metavar="N",
        help=f"longest window, frames; longer recordings are compared in windows (default: {Config.max_frames}); "
        "0: no limit",
    )
    arguments = parser.parse_args(argv)
    if arguments.tolerance is not None and not 0 < arguments.tolerance <= 1:
        raise UsageError(f"--tolerance: expected a cosine above 0 and at most 1, got {arguments.tolerance:g}.")
    if arguments.max_utterances < 0:
        raise UsageError(f"--max_utterances: expected 0 or more, got {arguments.max_utterances}.")
    return arguments


def _check_same_checkpoint(checkpoint: Path, exported: dict[Path, ExportedModel]) -> None:
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: no such checkpoint.")
    sha256 = sha256_file(checkpoint)
    for path, model in exported.items():
        if model.checkpoint_sha256 != sha256:
            raise InputError(f"{path}: exported from another checkpoint than {checkpoint}.")


def read_utterances(folder: Optional[Path], front_end: FrontEnd) -> tuple[list[ParityCase], str]:
    """Return the utterances to compare, and a description of them.

    Args:
        folder: evaluation store, or recordings at any depth below it; None: random recordings.
        front_end: front end of the models.

    Raises:
        InputError: the store has another front end, there are no recordings, or one cannot be read.
    """
    if folder is None:
        return [*_random_utterances(front_end)], "random noise in bursts (--features DIR takes real recordings)"
    if (folder / META_FILE).is_file():
        store = EvalStore.open(folder, front_end.to_dict())
        rows = enumerate(zip(store.utt_ids, store.spk_ids, strict=True))
        return [ParityCase(utt_id, store.feats(row), None, spk_id) for row, (utt_id, spk_id) in rows], f"store {folder}"
    paths = [folder / name for name in walk_audio(folder).names]
    if not paths:
        raise InputError(f"{folder}: neither an evaluation store nor a folder of recordings ({SUFFIX_EXAMPLES}).")
    return [_read_recording(path, folder, front_end) for path in paths], f"recordings in {folder}"


def _read_recording(path: Path, folder: Path, front_end: FrontEnd) -> ParityCase:
    try:
        waveform = front_end.prepare(read_usable(path, sample_rate=front_end.sample_rate).waveform)
    except BadAudio as error:
        raise InputError(f"{path}: {error.reason}.") from None
    return ParityCase(str(path.relative_to(folder)), front_end(waveform), waveform)


def _random_utterances(front_end: FrontEnd) -> Iterator[ParityCase]:
    """Yield coloured noise in bursts of 2 to 6 s: without silence, and features as diverse as those of speech."""
    rng = np.random.default_rng(0)
    rate = front_end.sample_rate
    for index in range(NUM_RANDOM):
        num_samples = int(rng.uniform(2, 6) * rate)
        noise = rng.standard_normal(num_samples)
        noise[1:] += 0.9 * noise[:-1]
        loudness = np.repeat(10 ** rng.uniform(-2, 0, num_samples // 1600 + 1), 1600)[:num_samples]
        waveform = (0.1 * noise * loudness).astype(np.float32)
        yield ParityCase(f"random-{index}", front_end(waveform), waveform)


def windows_of(
    utterance: ParityCase, windows: Optional[Windows], max_frames: int, front_end: FrontEnd
) -> Iterator[ParityCase]:
    """Yield the windows of an utterance as utterances to compare: the model's, or of at most `max_frames`."""
    if windows is not None:
        for first in windows.starts(len(utterance.feats)):
            waveform = utterance.waveform
            if waveform is not None:
                waveform = samples_of_window(front_end, waveform, first, first + windows.num_frames)
                waveform = windows.fill(waveform, front_end.num_samples(windows.num_frames))
            yield replace(utterance, feats=windows.cut(utterance.feats, first), waveform=waveform)
        return
    edges = window_edges(len(utterance.feats), max_frames).tolist()
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        waveform = utterance.waveform
        if waveform is not None:
            waveform = samples_of_window(front_end, waveform, first, last)
        yield replace(utterance, feats=utterance.feats[first:last], waveform=waveform)


class CellEmbeddings:
    """Embeddings of the checkpoint's Cell, computed once for each kind of input."""

    def __init__(self, checkpoint: Path, front_end: FrontEnd) -> None:
        from mindvox.device import set_device
        from mindvox.models import load_model
        from mindvox.scoring.embeddings import cell_encoder

        set_device("CPU")
        model, meta = load_model(checkpoint)
        self._encode = cell_encoder(model, meta["model"]["in_channels"])
        self._front_end = front_end
        self._known: dict[tuple[str, Optional[int]], np.ndarray] = {}

    def embed(self, exported: ExportedModel, utterances: Sequence[ParityCase]) -> np.ndarray:
        """Return embeddings (U, D) of the inputs of `exported`."""
        key = (exported.input_kind, exported.num_frames)
        if key not in self._known:
            self._known[key] = np.concatenate(
                [
                    encode_named(
                        self._encode, reference_feats(exported, self._front_end, utterance)[None], [utterance.utt_id]
                    )
                    for utterance in utterances
                ]
            )
        return self._known[key]


def model_input(exported: ExportedModel, front_end: FrontEnd, utterance: ParityCase) -> np.ndarray:
    """Return the model input of an utterance: finished features (T, F), or samples (N,)."""
    if exported.input_kind == "waveform" and utterance.waveform is not None:
        (piece,) = pieces_of_waveform(exported, front_end, utterance.waveform)
    else:
        (piece,) = pieces_of_feats(exported, front_end, utterance.feats)
    return piece.values


def reference_feats(exported: ExportedModel, front_end: FrontEnd, utterance: ParityCase) -> np.ndarray:
    """Return the finished features (T, F) of a model input."""
    values = model_input(exported, front_end, utterance)
    return front_end.finish(front_end(values)) if exported.input_kind == "waveform" else values


def agreement(expected: np.ndarray, got: np.ndarray) -> Agreement:
    """Compare embeddings (U, D) row by row, in double precision; NaN never agrees."""
    expected, got = expected.astype(np.float64), got.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(got, axis=1)
    cosine = (expected * got).sum(axis=1) / lengths
    return Agreement(float(cosine.min()), float(np.abs(expected - got).max()), float(np.abs(expected).max()))


def _eer_text(embeddings: np.ndarray, utterances: Sequence[ParityCase]) -> str:
    """Return the error rate over all pairs of utterances in per cent; "-" if there are not both kinds of pairs."""
    speakers = np.array([utterance.spk_id for utterance in utterances])
    first, second = np.triu_indices(len(utterances), 1)
    is_target = speakers[first] == speakers[second]
    if "" in speakers or is_target.all() or not is_target.any():
        return "-"
    rows = unit_length(embeddings, [utterance.utt_id for utterance in utterances])
    return f"{100 * eer((rows @ rows.T)[first, second], is_target).eer:.2f}"


EncodeAll = Callable[[Sequence[ParityCase]], np.ndarray]


def _candidates(
    exported: dict[Path, ExportedModel], front_end: FrontEnd, cpp: Path
) -> Iterator[tuple[str, Path, EncodeAll]]:
    """Yield every installed engine with every file that it reads: its name, the file, and a function that embeds."""
    for path, model in exported.items():
        for library in libraries_of(model):
            if is_installed(library):
                encode = load_engine(path, library, "CPU").encode
                yield ENGINES[model.file_format, library], path, _one_by_one(model, front_end, encode)
        if _suits_cpp(model) and cpp.is_file():
            yield "C++ program", path, _in_cpp(cpp, path, model)


def _one_by_one(exported: ExportedModel, front_end: FrontEnd, encode: Encode) -> EncodeAll:
    def encode_all(utterances: Sequence[ParityCase]) -> np.ndarray:
        inputs = ((model_input(exported, front_end, utterance), utterance.utt_id) for utterance in utterances)
        return np.concatenate([encode_named(encode, values[None], [utt_id]) for values, utt_id in inputs])

    return encode_all


def _in_cpp(program: Path, path: Path, exported: ExportedModel) -> EncodeAll:
    """Return a function that runs the C++ program over a store of the utterances."""

    def encode_all(utterances: Sequence[ParityCase]) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            store, output = Path(folder, "store"), Path(folder, "output")
            with EvalStoreWriter(store, exported.front_end) as writer:
                for row, utterance in enumerate(utterances):
                    writer.add(f"{row}", "any", np.ascontiguousarray(utterance.feats, np.float32))
            done = subprocess.run(
                [program, "--model", path, "--data", store, "--output", output],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise InputError(f"{program} over {path}: exit code {done.returncode}: {done.stderr.strip()}")
            return np.array(EmbeddingStore.open(output).embeddings)

    return encode_all


def _suits_cpp(exported: ExportedModel) -> bool:
    formats = ["ONNX", "IR"]
    if os.environ.get("LITE_HOME") or os.environ.get("MS_LITE_HOME"):
        formats.append("MINDIR")
    return exported.input_kind == "features" and exported.windows is None and exported.file_format in formats


def _not_checked(checked: Sequence[str], exported: dict[Path, ExportedModel], cpp: Path) -> Iterator[str]:
    """Yield each engine that was not used, and why."""
    for (file_format, library), name in ENGINES.items():
        if name not in checked:
            given = any(model.file_format == file_format for model in exported.values())
            yield f"{name}: {f'{library} is not installed' if given else f'no {file_format} file was given'}"
    if "C++ program" not in checked:
        compared = "it is compared on models of features without windows, and none was given"
        yield f"C++ program: {compared if cpp.is_file() else f'{cpp} is not built'}"


if __name__ == "__main__":
    sys.exit(run(main))
