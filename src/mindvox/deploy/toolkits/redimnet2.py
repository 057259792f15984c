"""wespeaker's ReDimNet2."""

import math
from typing import Any

from mindvox.deploy.toolkits.toolkit import Architecture, State, check_sizes, count_entries, renamed
from mindvox.models.redimnet2 import SIZES, Size

PATTERNS = (
    (r"^(stem)$", r"backbone.\1.0"),
    (r"^(stem)_norm\.norm$", r"backbone.\1.1"),
    (r"^stages\.(\d)\.", r"backbone.stage\1."),
    (r"^sum$", "backbone.fin_wght1d"),
    (r"^head$", "backbone.head"),
    (r"^norm$", "bn"),
    (r"^(backbone\.stage\d\.\d+)\.(conv|product|norm)(\d)$", r"\1.conv_block.\2\3"),
    (r"\.product(\d)$", r".conv\1pw"),
    (r"\.conv_block\.norm(\d)$", r".conv_block.bn\1"),
    (r"\.reduce$", ".red_dim_conv.0"),
    (r"^(backbone\.stage\d\.\d+)\.norm\.norm$", r"\1.red_dim_conv.1"),
    (r"\.blocks\.(\d)\.conv$", r".tcm.\1.dwconvs.0"),
    (r"\.blocks\.(\d)\.product$", r".tcm.\1.pwconv1"),
    (r"\.blocks\.(\d)\.norm$", r".tcm.\1.norm"),
    (r"\.transformer\.", ".tcm.4."),
    (r"\.attention\.(query|key|value)$", lambda match: f".attention.{match[1][0]}_proj"),
    (r"\.attention\.out$", ".attention.out_proj"),
    (r"\.norm1\.norm$", ".layer_norm"),
    (r"\.norm2\.norm$", ".final_layer_norm"),
    (r"\.linear1$", ".feed_forward.intermediate_dense"),
    (r"\.linear2$", ".feed_forward.output_dense"),
    (r"\.expand$", ".exp_dim_conv"),
)
CONSTANTS = r"backbone\.stage0\.0\.w"  # the weights of a sum of one


def name_of(name: str) -> str:
    """Return wespeaker's name of a parameter of `ReDimNet2`."""
    if name.startswith("pool."):
        return renamed(name, ())
    return renamed(name, PATTERNS)


def settings_of(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of ReDimNet2."""
    channels, _, _, _ = state["backbone.stem.0.weight"].shape
    _, _, total, _ = state["backbone.fin_wght1d.w"].shape
    emb_size, _ = state["linear.weight"].shape
    check_sizes(total % channels == 0)
    num_blocks = [
        count_entries(state, f"backbone.stage{stage}.{{}}.conv_block.conv1.weight", first=3) for stage in range(6)
    ]
    fitting = [name for name, size in SIZES.items() if _fits(state, size, channels, total, num_blocks)]
    check_sizes(bool(fitting))
    name = next((name for name in fitting if SIZES[name].channels == channels), fitting[0])
    own_blocks = {} if num_blocks == [stage.blocks for stage in SIZES[name].stages] else {"stage_blocks": num_blocks[0]}
    check_sizes(not own_blocks or len(set(num_blocks)) == 1)
    _, seen, _ = state["pool.linear1.weight"].shape
    pooled, _, _ = state["pool.linear2.weight"].shape
    check_sizes(seen in (pooled, 3 * pooled))
    return {
        "name": "redimnet2",
        "in_channels": total // channels,
        "emb_size": emb_size,
        "size": name,
        **({} if SIZES[name].channels == channels else {"channels": channels}),
        **own_blocks,
        "pooling": "astp" if seen == 3 * pooled else "astp_local",
        "pooling_eps": 1e-7,
    }


def _fits(state: State, size: Size, channels: int, total: int, num_blocks: list[int]) -> bool:
    """Return whether the shapes of a state's stages and head are those of a size with these channels."""
    repeats = 1
    for index, (stage, blocks) in enumerate(zip(size.stages, num_blocks, strict=True)):
        repeats *= stage.frames
        inner = int(channels * stage.bins * stage.expansion)
        shape = (inner, channels // math.gcd(channels, inner), stage.bins, repeats)
        context = f"backbone.stage{index}.{3 + blocks + (stage.expansion != 1) + 1}.red_dim_conv.0.weight"
        if state[f"backbone.stage{index}.2.weight"].shape != shape:
            return False
        if context not in state or state[context].shape != (total // stage.reduction, total, 1):
            return False
        channels *= stage.bins
    head = state["backbone.head.weight"].shape if "backbone.head.weight" in state else None
    if size.head == 0:
        return head is None
    return head == ((size.head, channels, 1, 1) if size.head_of_maps else (size.head, total, 1))


REDIMNET2 = Architecture("ReDimNet2", "backbone.stem.0.weight", settings_of, name_of)
