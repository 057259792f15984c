"""Models of mvector (VoiceprintRecognition-Pytorch), with the features of its configurations for Fbank."""

import re
from typing import Any

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.speechbrain import ECAPA, ecapa_name, ecapa_sizes
from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.kaldi_fbank import KaldiFbank


def pooling_of(state: State, layer: str, channels: int, num_pooled: int) -> str:
    """Return which pooling a state has.

    Args:
        state: the model's entries.
        layer: name of the pooling.
        channels: channels of its input.
        num_pooled: numbers that the layer behind takes: TAP and TSP have no entries, and differ in this alone.
    """
    attention = state.get(f"{layer}.tdnn.conv.conv.weight")
    if attention is not None:
        has_context = attention.shape[1] == 3 * channels
        found, size = "asp" if has_context else "asp_local", 2 * channels
    elif f"{layer}.linear1.weight" in state:
        found, size = "sap", channels
    else:
        found, size = ("tsp", 2 * channels) if num_pooled == 2 * channels else ("tap", channels)
    check_sizes(num_pooled == size)
    return found


def pooling_name(name: str) -> str:
    """Return mvector's name of a parameter of a pooling: ASP's layers are wrapped as SpeechBrain's, SAP's are bare."""
    return name if ".linear" in name else ecapa_name(name)


def tdnn_name(name: str) -> str:
    """Return mvector's name of a parameter of `Tdnn`."""
    if name.startswith("pool."):
        return pooling_name(name.replace("pool.", "pooling.", 1))
    path, leaf = name.rsplit(".", 1)
    path = re.sub(r"^layers\.(\d)\.conv$", lambda match: f"td_layer{int(match[1]) + 1}", path)
    path = re.sub(r"^layers\.(\d)\.norm$", lambda match: f"bn{int(match[1]) + 1}", path)
    path = {"last": "td_layer5", "pool_norm": "bn5", "norm": "bn6"}.get(path, path)
    return f"{path}.{BATCH_NORM.get(leaf, leaf)}"


def tdnn_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of mvector's TDNN."""
    channels, in_channels, _ = state["td_layer1.weight"].shape
    emb_size, num_pooled = state["linear.weight"].shape
    check_sizes(state["td_layer5.weight"].shape == (channels, channels, 1))
    return {
        "name": "tdnn",
        "in_channels": in_channels,
        "emb_size": emb_size,
        "channels": channels,
        "pooling": pooling_of(state, "pooling", channels, num_pooled),
    }


def ecapa_bare_name(name: str) -> str:
    """Return mvector's name of a parameter of `EcapaTdnn` with SAP, TAP or TSP."""
    path, leaf = name.rsplit(".", 1)
    if path == "asp_bn":
        return f"{path}.{BATCH_NORM[leaf]}"
    return name if path.startswith("asp.") else ecapa_name(name)


def ecapa_bare_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of mvector's ECAPA-TDNN with SAP, TAP or TSP."""
    sizes, num_pooled = ecapa_sizes(state)
    return {**sizes, "pooling": pooling_of(state, "asp", 3 * sizes["channels"], num_pooled)}


TDNN = Architecture("TDNN", "td_layer1.weight", tdnn_settings, tdnn_name)
ECAPA_BARE = Architecture("ECAPA-TDNN with SAP, TAP or TSP", "asp_bn.weight", ecapa_bare_settings, ecapa_bare_name)

TOOLKIT = Toolkit(
    (TDNN, ECAPA_BARE, ECAPA, campplus(pooling_eps=0.0)),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="povey", waveform_scale=1.0).to_dict(),
    prefix="0.",  # its trainer saves a sequence of model and classifier
    left_out=r"1\..*",
)
