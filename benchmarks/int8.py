"""A model of 8-bit numbers beside its float32 form and ONNX Runtime's own quantisation: error rate, cosine, time.

`python benchmarks/int8.py --float MODEL.onnx --int8 MODEL.xml --calibration_data STORE --evaluation_data STORE
[--frames 148] [--rounds 9]`

MODEL.xml is what `mindvox export --precision=int8 --calibration_data=STORE` wrote from the same checkpoint. The error
rate is that of all pairs of the evaluation store's utterances, each cut to so many frames. Engines run in turn with one
thread; times are medians of this process's clock for 3 s, one utterance and eight.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.data.eval_store import EvalStore
from mindvox.deploy.int8 import read_utterances
from mindvox.engines.exported import ExportedModel
from mindvox.engines.openvino_engine import openvino_core
from mindvox.frontend import frames, front_end_of
from mindvox.scoring.metrics import eer
from mindvox.scoring.normalisation import unit_length

NUM_CALIBRATION = 128
TIMED_FRAMES = 298  # 3 s


class Feats(CalibrationDataReader):
    """Hands utterances to ONNX Runtime's quantiser."""

    def __init__(self, name: str, feats: list[np.ndarray]) -> None:
        self.rows = iter([{name: each} for each in feats])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rows, None)


def in_openvino(path: Path, precision: str = "f32", threads: int = 1):
    """Return the model as a function."""
    core = openvino_core()
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()
    return lambda feats: request.infer([feats])[0].copy()


def in_onnxruntime(path: Path, threads: int = 1):
    """Return the model as a function."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda feats: session.run(None, {name: feats})[0]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--float", type=Path, required=True, dest="float_model")
    parser.add_argument("--int8", type=Path, required=True)
    parser.add_argument("--calibration_data", type=Path, required=True)
    parser.add_argument("--evaluation_data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=148, help="of each utterance; 148: 1.5 s")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    exported = ExportedModel.read(arguments.float_model)
    calibration = read_utterances(
        EvalStore.open(arguments.calibration_data, exported.front_end), exported, NUM_CALIBRATION
    ).calibration
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(folder, "peer.onnx")
        reader = Feats(exported.inputs[0]["name"], calibration)
        quantize_static(arguments.float_model, peer, reader, quant_format=QuantFormat.QDQ, per_channel=True)
        engines = {
            "float32, OpenVINO": in_openvino(arguments.float_model),
            "float32, ONNX Runtime": in_onnxruntime(arguments.float_model),
            "bfloat16, OpenVINO": in_openvino(arguments.float_model, "bf16"),
            "int8 of mindvox export, OpenVINO": in_openvino(arguments.int8),
            "int8 of ONNX Runtime's quantize_static": in_onnxruntime(peer),
        }
        report(engines, EvalStore.open(arguments.evaluation_data, exported.front_end), arguments)
    return 0


def report(engines, store: EvalStore, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    front_end = front_end_of(store.front_end)
    utterances = [
        front_end.finish(frames.cut_frames(store.feats(row), arguments.frames))[None].astype(np.float32)
        for row in range(len(store))
    ]
    speakers = np.array(store.spk_ids)
    first, second = np.triu_indices(len(store), 1)
    is_target = speakers[first] == speakers[second]
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((size, TIMED_FRAMES, front_end.size)).astype(np.float32) for size in (1, 8)]
    times: dict[str, list[list[float]]] = {name: [[], []] for name in engines}
    for case, batch in enumerate(batches):
        for _ in range(arguments.rounds):
            for name, run in engines.items():
                run(batch)
                start = time.process_time()
                run(batch)
                times[name][case].append(time.process_time() - start)
    print(
        f"{len(store)} utterances of {arguments.frames} frames, {is_target.sum()} target trials of {len(is_target)}\n"
    )
    print("| model | EER, % | mean cosine to float32 | least | 1 x 3 s, ms | 8 x 3 s, ms |\n|---|---|---|---|---|---|")
    reference = None
    for name, run in engines.items():
        rows = unit_length(np.concatenate([run(feats) for feats in utterances]), store.utt_ids)
        reference = rows if reference is None else reference
        cosines = (rows.astype(np.float64) * reference).sum(axis=1)
        rate = 100 * eer((rows @ rows.T)[first, second], is_target).eer
        single, eight = (1000 * float(np.median(each)) for each in times[name])
        print(f"| {name} | {rate:.2f} | {cosines.mean():.4f} | {cosines.min():.4f} | {single:.1f} | {eight:.1f} |")


if __name__ == "__main__":
    sys.exit(main())
