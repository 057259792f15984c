"""ResNet, whose entries have the same names in wespeaker and 3D-Speaker, and wespeaker's SimAM-ResNet."""

from functools import partial
from typing import Any, Optional

from mindvox.deploy.toolkits.toolkit import Architecture, State, check_sizes, count_entries, renamed
from mindvox.layers.trunk import TOTAL_STRIDE
from mindvox.models import simam_resnet
from mindvox.models.resnet import BLOCKS, SIZES

CONSTANT = ("embed.norm.gamma", "embed.norm.beta")  # 1 and 0: that batch norm has neither in torch
TRUNK = (
    (r"^trunk\.layers\.(\d)\.", lambda match: f"trunk.layer{int(match[1]) + 1}."),
    (r"^trunk\.(conv|norm)$", r"trunk.\g<1>1"),
    (r"\.shortcut$", ".shortcut.0"),
    (r"\.shortcut_norm$", ".shortcut.1"),
    (r"\.norm(\d)$", r".bn\1"),
)
RESNET = (*TRUNK, (r"^trunk\.", ""), (r"^embed\.linear(\d)$", r"seg_\1"), (r"^embed\.norm$", "seg_bn_1"))
SIMAM = (
    *TRUNK,
    (r"^trunk\.", "front."),
    (r"\.shortcut\.", ".downsample."),
    (r"^pool\.attention\.tdnn\.conv$", "pooling.attention.0"),
    (r"^pool\.attention\.tdnn\.norm$", "pooling.attention.2"),
    (r"^pool\.attention\.conv$", "pooling.attention.3"),
    (r"^embed\.linear1$", "bottleneck"),
)


def name_of(name: str) -> Optional[str]:
    """Return the toolkits' name of a parameter of `ResNet`, None for a constant."""
    if name in CONSTANT:
        return None
    return renamed(name, RESNET)


def simam_name(name: str) -> str:
    """Return wespeaker's name of a parameter of `SimAMResNet`."""
    return renamed(name, SIMAM)


def settings_of(state: State, statistics_eps: float, attention_eps: float) -> dict[str, Any]:
    """Return the section `model` of a state of ResNet.

    A state tells neither the size of a frame nor a pooling without weights. The last layer's inputs decide: mean and
    deviation of an even number of rows where that is possible, else the mean alone.
    """
    channels, _, _, _ = state["conv1.weight"].shape
    is_basic = "layer1.0.conv3.weight" not in state
    out_channels = channels * 8 * (1 if is_basic else 4)
    num_blocks = tuple(_count(state, f"layer{layer}") for layer in (1, 2, 3, 4))
    emb_size, pooled = state["seg_1.weight"].shape
    last = state[f"layer4.{num_blocks[3] - 1}.conv{2 if is_basic else 3}.weight"]
    check_sizes(pooled % out_channels == 0 and last.shape[0] == out_channels)
    rows = pooled // out_channels
    if "pool.linear1.weight" in state:
        _, seen, _ = state["pool.linear1.weight"].shape
        check_sizes(rows % 2 == 0 and seen in (pooled // 2, 3 * pooled // 2))
        rows, pooling, eps = rows // 2, "astp_local" if seen == pooled // 2 else "astp", attention_eps
    elif rows % 2 == 0:
        rows, pooling, eps = rows // 2, "tstp", statistics_eps
    else:
        pooling, eps = "tap", 0.0
    return {
        "name": "resnet",
        "in_channels": rows * TOTAL_STRIDE,
        "emb_size": emb_size,
        **_size(tuple(BLOCKS)[0 if is_basic else 1], num_blocks),
        "m_channels": channels,
        "two_emb_layer": "seg_2.weight" in state,
        "pooling": pooling,
        "pooling_eps": eps,
    }


def _count(state: State, layer: str) -> int:
    """Return the number of a layer's blocks, at least 1: the first one's entries are needed."""
    return 1 + count_entries(state, f"{layer}.{{}}.conv1.weight", first=1)


def _size(block: str, num_blocks: tuple[int, ...]) -> dict[str, Any]:
    """Return the keys of a size: a published depth, or blocks of its own."""
    depth = next((depth for depth, size in SIZES.items() if size == (block, num_blocks)), 0)
    return {"depth": depth} if depth else {"depth": 0, "block": block, **_layers(num_blocks)}


def _layers(num_blocks: tuple[int, ...]) -> dict[str, int]:
    return {f"layer{index + 1}_blocks": size for index, size in enumerate(num_blocks)}


def simam_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of SimAM-ResNet. The size of a frame is the multiple of 8 that fits."""
    channels, _, _, _ = state["front.conv1.weight"].shape
    num_blocks = tuple(_count(state, f"front.layer{layer}") for layer in (1, 2, 3, 4))
    emb_size, pooled = state["bottleneck.weight"].shape
    last = state[f"front.layer4.{num_blocks[3] - 1}.conv2.weight"]
    _, seen, _ = state["pooling.attention.0.weight"].shape
    check_sizes(last.shape[0] == 8 * channels and seen % (8 * channels) == 0 and pooled == 2 * seen)
    depth = next((depth for depth, size in simam_resnet.SIZES.items() if size == num_blocks), 0)
    return {
        "name": "simam_resnet",
        "in_channels": seen // channels,
        "emb_size": emb_size,
        "depth": depth,
        **({} if depth else _layers(num_blocks)),
        "m_channels": channels,
        "pooling": "channel_asp",
    }


def resnet(statistics_eps: float, attention_eps: float) -> Architecture:
    """Return ResNet as a toolkit keeps it that adds these to the variances of its TSTP and its ASTP."""
    settings = partial(settings_of, statistics_eps=statistics_eps, attention_eps=attention_eps)
    return Architecture("ResNet", "layer1.0.conv2.weight", settings, name_of)


SIMAM_RESNET = Architecture("SimAM-ResNet", "front.conv1.weight", simam_settings, simam_name)
