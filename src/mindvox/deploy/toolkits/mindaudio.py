"""Checkpoints of mindaudio and of the model zoo's ECAPA-TDNN. One network, but two front ends.

The model zoo's features are SpeechBrain's. A file does not tell whose it is, so each has its name.

It is SpeechBrain's (`EcapaTdnn`) but for two things: zeros are behind the edges, and the attention has no global
context (with `global_context` the zoo's network builds a layer for it and fails).
"""

from dataclasses import replace
from typing import Any

from mindvox.deploy.mindspore_file import read_mindspore
from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.mel_spectrogram import MelSpectrogram


def ecapa_name(name: str) -> str:
    """Return the zoo's name of a parameter of `EcapaTdnn`: only batch norms are wrapped in a module of their own."""
    path, leaf = name.rsplit(".", 1)
    return f"{path}.norm2d.{leaf}" if leaf in BATCH_NORM else name


def ecapa_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of ECAPA-TDNN."""
    channels, in_channels, _, _ = state["blocks.0.conv.weight"].shape
    emb_size, pooled, _, _ = state["fc.weight"].shape
    check_sizes(state["mfa.conv.weight"].shape == (3 * channels, 3 * channels, 1, 1) and pooled == 6 * channels)
    return {
        "name": "ecapa_tdnn",
        "in_channels": in_channels,
        "channels": channels,
        "emb_size": emb_size,
        "global_context": False,
        "padding": "zero",
    }


ECAPA = Architecture("ECAPA-TDNN", "blocks.0.norm.norm2d.gamma", ecapa_settings, ecapa_name)
PREFIX = "network."  # in files of a training, beside classifier, optimiser and the last output
OF_TRAINING = r"(?!(network\.)?(blocks|mfa|asp|asp_bn|fc)\.).*"


def front_end_of(model: dict[str, Any]) -> dict[str, Any]:
    """Return mindaudio's own features: with a Hann window, mirrored edges and other filters than SpeechBrain's."""
    return MelSpectrogram(
        n_mels=model["in_channels"], hop_length_ms=10.0, floor=1e-10, log="db", top_db=80.0, normalisation="mean"
    ).to_dict()


TOOLKIT = Toolkit((ECAPA,), front_end_of, prefix=PREFIX, left_out=OF_TRAINING, read=read_mindspore)
MODEL_ZOO = replace(TOOLKIT, front_end=lambda model: Fbank(n_mels=model["in_channels"]).to_dict())
