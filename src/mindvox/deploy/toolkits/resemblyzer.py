"""Resemblyzer's encoder."""

import re
from typing import Any

from mindvox.deploy.toolkits.toolkit import Architecture, State, Toolkit, check_sizes
from mindvox.frontend.mel_spectrogram import MelSpectrogram

GATES = 4  # of an LSTM, whose weights lie one behind the other


def settings_of(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of the encoder."""
    gates, in_channels = state["lstm.weight_ih_l0"].shape
    emb_size, hidden_size = state["linear.weight"].shape
    check_sizes(gates == GATES * hidden_size)
    num_layers = sum(bool(re.fullmatch(r"lstm\.weight_ih_l\d+", name)) for name in state)
    return {
        "name": "ge2e_lstm",
        "in_channels": in_channels,
        "emb_size": emb_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
    }


def name_of(name: str) -> str:
    """Return the toolkit's name of a parameter of `Ge2eLstm`."""
    return re.sub(r"^layers\.(\d+)\.(\w+)$", r"lstm.\2_l\1", name)


def front_end(model: dict[str, Any]) -> dict[str, Any]:
    """Return the features of a model: energies as librosa has them since 0.9, of speech alone.

    The zeros behind a recording are those that frames at its end see: the rest of the last window is zero (Ge2eLstm).
    """
    return MelSpectrogram(
        n_mels=model["in_channels"],
        hop_length_ms=10.0,
        padding="zero",
        mel_scale="slaney",
        mel_norm="slaney",
        normalisation="none",
        raise_level_db=-30.0,
        trim="webrtc",
        zeros_after_ms=20.0,
    ).to_dict()


TOOLKIT = Toolkit(
    (Architecture("GE2E encoder", "lstm.weight_ih_l0", settings_of, name_of),),
    front_end,
    left_out=r"similarity_(weight|bias)",  # of the GE2E loss
)
