"""ERes2Net, ERes2NetV2 and Res2Net, whose entries have the same names in 3D-Speaker and mvector."""

from functools import partial
from typing import Any, Optional

from mindvox.deploy.toolkits.toolkit import Architecture, State, Untold, check_sizes, count_entries, renamed
from mindvox.layers.res2 import FULL_WIDTH
from mindvox.layers.trunk import TOTAL_STRIDE

CONSTANT = ("embed.norm.gamma", "embed.norm.beta")  # 1 and 0: that batch norm has neither in torch
GLOBAL_FUSIONS = ("fuse_mode12", "fuse_mode123", "fuse_mode1234")
STATISTICS_EPS, ATTENTION_EPS = 1e-8, 1e-10  # of TSTP, and of 3D-Speaker's ASTP
PATHS = (
    (r"^trunk\.(conv|norm)$", r"\g<1>1"),
    (r"^trunk\.layers\.(\d)\.", lambda match: f"layer{int(match[1]) + 1}."),
    (r"^downsamplings\.(\d)$", lambda match: f"layer{int(match[1]) + 1}_downsample"),
    (r"^downsampling$", "layer3_ds"),
    (r"^fusions\.(\d)", lambda match: GLOBAL_FUSIONS[int(match[1])]),
    (r"^fusion\b", "fuse34"),
    (r"\.fusions\.(\d+)", r".fuse_models.\1"),
    (r"\.reduce$", ".local_att.0"),
    (r"\.reduce_norm$", ".local_att.1"),
    (r"\.expand$", ".local_att.3"),
    (r"\.expand_norm$", ".local_att.4"),
    (r"\.shortcut$", ".shortcut.0"),
    (r"\.shortcut_norm$", ".shortcut.1"),
    (r"\.norms\.(\d+)$", r".bns.\1"),
    (r"^embed\.linear(\d)$", r"seg_\1"),
    (r"^embed\.norm$", "seg_bn_1"),
    (r"\bnorm(\d)$", r"bn\1"),
)


def name_of(name: str) -> Optional[str]:
    """Return the toolkits' name of a parameter, None for a constant."""
    if name in CONSTANT:
        return None
    return renamed(name, PATHS)


def settings_of(state: State, name: str) -> dict[str, Any]:
    """Return the section `model` of a state.

    Several settings can have the same shapes. Of the eight sizes of a frame the multiple of 8 is taken, of the widths
    of a group the smallest, and of the poolings without weights the toolkits' default, TSTP, where it can be.

    Args:
        state: the entries.
        name: of the model.
    """
    m_channels = state["conv1.weight"].shape[0]
    num_blocks = [count_entries(state, f"layer{layer}.{{}}.conv1.weight") for layer in (1, 2, 3, 4)]
    check_sizes(min(num_blocks) > 0)
    num_convs = count_entries(state, "layer4.0.convs.{}.weight")
    width = state["layer4.0.convs.0.weight"].shape[0]
    joined = state["layer4.0.conv1.weight"].shape[0]
    out_channels = state[f"layer4.{num_blocks[3] - 1}.conv3.weight"].shape[0]
    emb_size, pooled = state["seg_1.weight"].shape
    planes, scale = 8 * m_channels, joined // width
    check_sizes(joined == scale * width and scale - num_convs in (0, 1))
    check_sizes(out_channels % planes == 0 and pooled % out_channels == 0)
    channels = pooled if pooled // out_channels % 2 else pooled // 2
    return {
        "name": name,
        "in_channels": channels // out_channels * TOTAL_STRIDE,
        "emb_size": emb_size,
        "m_channels": m_channels,
        **{f"layer{index + 1}_blocks": depth for index, depth in enumerate(num_blocks)},
        "base_width": -(-width * FULL_WIDTH // planes),
        "scale": scale,
        "expansion": out_channels // planes,
        "two_emb_layer": "seg_2.weight" in state,
        **pooling_of(state, channels, pooled),
    }


def pooling_of(state: State, channels: int, num_pooled: int) -> dict[str, Any]:
    """Return the keys of the pooling.

    Args:
        state: the model's entries.
        channels: channels of its input.
        num_pooled: numbers that the layer behind takes. TAP and TSDP, which have no entries, give one a channel: the
            user has to say which it is.
    """
    attention = state.get("pool.linear1.weight")
    if attention is not None:
        check_sizes(attention.shape[1] in (channels, 3 * channels) and num_pooled == 2 * channels)
        pooling = "astp_local" if attention.shape[1] == channels else "astp"
        return {"pooling": pooling, "pooling_eps": ATTENTION_EPS}
    if num_pooled == 2 * channels:
        return {"pooling": "tstp", "pooling_eps": STATISTICS_EPS}
    check_sizes(num_pooled == channels)
    return {"pooling": Untold(("tap", "tsdp"), {"tsdp": {"pooling_eps": STATISTICS_EPS}}), "pooling_eps": 0.0}


ERES2NET = Architecture("ERes2Net", "layer1_downsample.weight", partial(settings_of, name="eres2net"), name_of)
ERES2NETV2 = Architecture("ERes2NetV2", "layer3_ds.weight", partial(settings_of, name="eres2netv2"), name_of)
# The other two have this mark as well, and stand before it in a toolkit.
RES2NET = Architecture("Res2Net", "layer1.0.convs.0.weight", partial(settings_of, name="res2net_3dspeaker"), name_of)
