"""Models of mvector (VoiceprintRecognition-Pytorch), with the features of its configurations for Fbank."""

from collections.abc import Callable
from typing import Any

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.eres2net import ERES2NET, ERES2NETV2
from mindvox.deploy.toolkits.speechbrain import ECAPA, ecapa_name, ecapa_sizes
from mindvox.deploy.toolkits.toolkit import (
    BATCH_NORM,
    Architecture,
    State,
    Toolkit,
    Untold,
    check_sizes,
    count_entries,
    renamed,
)
from mindvox.frontend.kaldi_fbank import KaldiFbank

TIME_DELAY = (
    (r"^layers\.(\d)\.conv$", lambda match: f"td_layer{int(match[1]) + 1}"),
    (r"^layers\.(\d)\.norm$", lambda match: f"bn{int(match[1]) + 1}"),
    (r"^last$", "td_layer5"),
    (r"^pool_norm$", "bn5"),
    (r"^norm$", "bn6"),
)
RESIDUAL = (
    (r"^stem$", "conv1"),
    (r"^stem_norm$", "bn1"),
    (r"^pool_norm$", "bn2"),
    (r"^norm$", "bn3"),
    (r"^layers\.(\d)", lambda match: f"layer{int(match[1]) + 1}"),
    (r"\.norm(\d)$", r".bn\1"),
    (r"\.norms\.(\d+)$", r".bns.\1"),
    (r"\.shortcut$", ".downsample.0"),
    (r"\.shortcut_norm$", ".downsample.1"),
    (r"\.attention\.block\.conv1$", ".se.fc.0"),
    (r"\.attention\.block\.conv2$", ".se.fc.2"),
)


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
    return renamed(name, TIME_DELAY)


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


def residual_name(name: str) -> str:
    """Return mvector's name of a parameter of `ResNetSE` or `Res2Net`."""
    if name.startswith("pool."):
        return pooling_name(name.replace("pool.", "pooling.", 1))
    return renamed(name, RESIDUAL)


def stages_of(state: State, expansion: int) -> tuple[dict[str, int], int]:
    """Return the keys of four stages of residual blocks, and the channels behind them."""
    settings: dict[str, int] = {}
    channels = state["conv1.weight"].shape[0]
    for stage in range(1, 5):
        num_blocks = 0
        while (name := f"layer{stage}.{num_blocks}.conv3.weight") in state:
            size = state[name].shape[0]
            check_sizes(state[f"layer{stage}.{num_blocks}.conv1.weight"].shape[1] == channels)
            check_sizes(num_blocks == 0 or size == channels)
            channels, num_blocks = size, num_blocks + 1
        check_sizes(num_blocks > 0 and channels % expansion == 0)
        settings |= {f"layer{stage}_channels": channels // expansion, f"layer{stage}_blocks": num_blocks}
    return settings, channels


def resnet_se_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of mvector's ResNetSE. The size of a frame is a multiple of 8 there."""
    stages, channels = stages_of(state, expansion=2)
    return {"name": "resnet_se", **stages, **pooled_maps(state, channels, lambda num_rows: 8 * num_rows)}


def res2net_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of mvector's Res2Net.

    The size of a frame is not in the state: of those that give as many rows, 40 a row is taken, 80 for two rows.
    """
    stages, channels = stages_of(state, expansion=4)
    scale = 1 + count_entries(state, "layer1.0.convs.{}.weight")
    widest = state["layer4.0.convs.0.weight"].shape[0]
    return {
        "name": "res2net",
        **stages,
        **pooled_maps(state, channels, lambda num_rows: 40 * num_rows),
        "base_width": -(-64 * widest // stages["layer4_channels"]),
        "scale": scale,
    }


def pooled_maps(state: State, channels: int, frame_size: Callable[[int], int]) -> dict[str, Any]:
    """Return what the layers from the pooling on tell about a network of maps.

    TAP of twice as many rows looks like TSP: both have no entries. Where both can be, the user has to say which it is.

    Args:
        state: the model's entries.
        channels: channels of the maps.
        frame_size: the size of a feature frame that gives so many rows.
    """
    emb_size, num_pooled = state["linear.weight"].shape
    attention = state.get("pooling.conv.conv.weight", state.get("pooling.linear2.weight"))
    num_channels = num_pooled if attention is None else attention.shape[0]
    check_sizes(num_channels % channels == 0)
    sizes = {"in_channels": frame_size(num_channels // channels), "emb_size": emb_size}
    if attention is None and num_channels // channels % 2 == 0:
        half = {"in_channels": frame_size(num_channels // channels // 2)}
        return {**sizes, "pooling": Untold(("tap", "tsp"), {"tsp": half})}
    return {**sizes, "pooling": pooling_of(state, "pooling", num_channels, num_pooled)}


TDNN = Architecture("TDNN", "td_layer1.weight", tdnn_settings, tdnn_name)
ECAPA_BARE = Architecture("ECAPA-TDNN with SAP, TAP or TSP", "asp_bn.weight", ecapa_bare_settings, ecapa_bare_name)
RESNET_SE = Architecture("ResNetSE", "layer1.0.se.fc.0.weight", resnet_se_settings, residual_name)
RES2NET = Architecture("Res2Net", "layer1.0.downsample.0.weight", res2net_settings, residual_name)
TOOLKIT = Toolkit(
    (TDNN, ECAPA_BARE, ECAPA, RESNET_SE, RES2NET, campplus(pooling_eps=0.0), ERES2NET, ERES2NETV2),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="povey", waveform_scale=1.0).to_dict(),
    prefix="0.",  # its trainer saves a sequence of model and classifier
    left_out=r"1\..*",
)
