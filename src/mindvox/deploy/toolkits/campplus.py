"""CAM++, whose entries have the same names in 3D-Speaker, wespeaker and mvector."""

from functools import partial
from typing import Any, Optional

from mindvox.deploy.toolkits.toolkit import Architecture, State, check_sizes, renamed

CONSTANT = ("dense_norm.gamma", "dense_norm.beta")  # 1 and 0: that batch norm has neither in torch
FRONT = (
    (r"\.norm(\d)$", r".bn\1"),
    (r"\.shortcut$", ".shortcut.0"),
    (r"\.shortcut_norm$", ".shortcut.1"),
)
REST = (
    (r"^blocks\.(\d+)\.layers\.(\d+)\.", lambda match: f"block{int(match[1]) + 1}.tdnnd{int(match[2]) + 1}."),
    (r"^blocks\.(\d+)\.transit", lambda match: f"transit{int(match[1]) + 1}"),
    (r"^(tdnn|dense|transit\d)$", r"\1.linear"),
    (r"^(tdnn|dense|transit\d)_norm$", r"\1.nonlinear.batchnorm"),
    (r"^out_norm$", "out_nonlinear.batchnorm"),
    (r"\.norm(\d)$", r".nonlinear\1.batchnorm"),
)


def name_of(name: str) -> Optional[str]:
    """Return the toolkits' name of a parameter of `CamPlusPlus`, None for a constant."""
    if name in CONSTANT:
        return None
    return renamed(name, FRONT) if name.startswith("head.") else f"xvector.{renamed(name, REST)}"


def settings_of(state: State, pooling_eps: float) -> dict[str, Any]:
    """Return the section `model` of a state of CAM++.

    The size of a feature frame is not in the state: of the eight that give its first layer, the multiple of 8 is taken.
    """
    init_channels, flattened, _ = state["xvector.tdnn.linear.weight"].shape
    growth_rate, bottleneck, _ = state["xvector.block1.tdnnd1.cam_layer.linear_local.weight"].shape
    emb_size, pooled, _ = state["xvector.dense.linear.weight"].shape
    channels, depths = init_channels, []
    for block in (1, 2, 3):
        depth = 0
        while (name := f"xvector.block{block}.tdnnd{depth + 1}.linear1.weight") in state:
            check_sizes(state[name].shape == (bottleneck, channels, 1))
            channels, depth = channels + growth_rate, depth + 1
        check_sizes(depth > 0 and state[f"xvector.transit{block}.linear.weight"].shape == (channels // 2, channels, 1))
        channels //= 2
        depths.append(depth)
    check_sizes(flattened % 32 == 0 and bottleneck % growth_rate == 0 and pooled == 2 * channels)
    return {
        "name": "campplus",
        "in_channels": flattened // 4,
        "emb_size": emb_size,
        "init_channels": init_channels,
        "growth_rate": growth_rate,
        "bottleneck_factor": bottleneck // growth_rate,
        "block1_layers": depths[0],
        "block2_layers": depths[1],
        "block3_layers": depths[2],
        "pooling": "statistics",
        "pooling_eps": pooling_eps,
    }


def campplus(pooling_eps: float) -> Architecture:
    """Return CAM++ as a toolkit keeps it that adds this to the variances of its pooling."""
    return Architecture("CAM++", "xvector.tdnn.linear.weight", partial(settings_of, pooling_eps=pooling_eps), name_of)
