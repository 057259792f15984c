"""Stand-ins for detectors of speech, so that tests need nothing to be fetched and know what is kept."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WINDOWS_FACTOR = 2.0**-14  # how much each window so far adds to a probability of `write_loud_detector`


class LoudIsSpeech:
    """In WebRTC's place: take windows for speech that have a sample above a tenth of full scale."""

    def is_speech(self, window: bytes, sample_rate: int) -> bool:
        assert len(window) == 2 * sample_rate * 30 // 1000
        return bool(np.abs(np.frombuffer(window, "<i2").astype(int)).max() > 3277)


def write_loud_detector(path: Path) -> Path:
    """Write an ONNX in Silero's place: a probability is the window's peak, plus a trifle for each window before it.

    The window's peak is of its context, too, and the trifle comes from the state.
    """
    nodes = [
        helper.make_node("Abs", ["input"], ["absolute"]),
        helper.make_node("ReduceMax", ["absolute"], ["peak"], axes=[1], keepdims=1),
        helper.make_node("ReduceMean", ["state"], ["mean"], axes=[0, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["trifle"]),
        helper.make_node("Add", ["peak", "trifle"], ["output"]),
        helper.make_node("Cast", ["sr"], ["rate"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["rate", "rate"], ["one"]),
        helper.make_node("Add", ["state", "one"], ["stateN"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loud",
        [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, None]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, None, 128]),
            helper.make_tensor_value_info("sr", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("stateN", TensorProto.FLOAT, [2, None, 128]),
        ],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [WINDOWS_FACTOR])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
