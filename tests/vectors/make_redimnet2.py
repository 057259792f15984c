"""Make stored/net_ws_redimnet2*.npz with wespeaker's own code, in the form of the reference vectors.

usage: python -m tests.vectors.make_redimnet2   (needs what make_simam.py needs)

Each tiny network is a published size with few channels and one residual block a stage. Between them they have every
kind of head.
"""

import sys
import types

import torch

from tests.vectors.make_simam import count_trained, public_models, write

BINS = 24
STATISTICS = ["backbone.stage0.3.conv_block.bn1.running_mean", "backbone.stage5.3.conv_block.bn2.running_var"]
STATISTICS += ["backbone.stage2.5.tcm.0.norm.running_mean", "bn.running_mean", "bn.running_var"]
GRADIENTS = ["backbone.stem.0.weight", "backbone.stem.1.weight", "backbone.stage2.0.w", "backbone.stage2.2.weight"]
GRADIENTS += ["backbone.stage4.3.conv_block.conv1.weight", "backbone.stage2.5.tcm.3.dwconvs.0.weight"]
GRADIENTS += ["backbone.stage2.5.tcm.4.attention.q_proj.weight", "backbone.stage5.5.tcm.4.layer_norm.weight"]
GRADIENTS += ["backbone.stage2.5.exp_dim_conv.weight", "backbone.fin_wght1d.w", "linear.weight"]


def public_code() -> types.ModuleType:
    """Import redimnet2.py. The front ends that it could hold are not used, and need more than torch."""
    unused = types.ModuleType("wespeaker.frontend.tfmel")
    for name in ("TFMelBanks", "TFSpectrogram", "NormalizeAudio", "PreEmphasis", "FbankAug"):
        setattr(unused, name, None)
    sys.modules["wespeaker.frontend.tfmel"] = unused
    return public_models("redimnet2")


def published(size: str) -> torch.nn.Module:
    return getattr(public_code(), f"ReDimNet2{size}")()


def tiny(size: str, channels: int) -> torch.nn.Module:
    """Return a size with its strides, widths and head, but few channels and one block a stage."""
    public = public_code()
    keys = {}
    with_keys = public.ReDimNet2Wrap
    public.ReDimNet2Wrap = lambda **given: keys.update(given)  # the published size tells its sizes
    getattr(public, f"ReDimNet2{size}")()
    public.ReDimNet2Wrap = with_keys
    stages = [[strides, 1, *others] for strides, _, *others in keys["stages_setup"]]
    model = with_keys(**{**keys, "C": channels, "stages_setup": stages, "feat_dim": BINS, "embed_dim": 16})
    model.register_forward_pre_hook(lambda _, inputs: inputs[0].transpose(1, 2))  # it takes (B, F, T)
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index in range(7):
        print(f"ReDimNet2B{index}", count_trained(published(f"B{index}")))
    write(
        "ws_redimnet2_b0_tiny",
        lambda: tiny("B0", 6),
        [137, 50, 5],
        BINS,
        STATISTICS,
        GRADIENTS,
        module="redimnet2",
    )
    write("ws_redimnet2_b4_tiny", lambda: tiny("B4", 4), [50], BINS, module="redimnet2")
    write("ws_redimnet2_b6_tiny", lambda: tiny("B6", 32), [50], BINS, module="redimnet2")
