"""3D-Speaker's models."""

from typing import Any, Optional

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.eres2net import ERES2NET, ERES2NETV2, RES2NET, pooling_of
from mindvox.deploy.toolkits.resnet import resnet
from mindvox.deploy.toolkits.speechbrain import ECAPA
from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.kaldi_fbank import KaldiFbank


def xvector_name(name: str) -> Optional[str]:
    """Return 3D-Speaker's name of a parameter of `XVector`, None for a constant."""
    path, leaf = name.rsplit(".", 1)
    if path.startswith("layers."):
        _, index, part = path.split(".")
        if leaf in ("gamma", "beta"):  # 1 and 0: its batch norms have neither
            return None
        path = f"frame_{int(index) + 1}.{'bn' if part == 'norm' else 'conv_1d'}"
    return f"{path.replace('embed.linear1', 'seg_1')}.{BATCH_NORM.get(leaf, leaf)}"


def xvector_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of the x-vector."""
    channels, in_channels, _ = state["frame_1.conv_1d.weight"].shape
    pooled_channels, inner, _ = state["frame_5.conv_1d.weight"].shape
    emb_size, pooled = state["seg_1.weight"].shape
    check_sizes(inner == channels)
    return {
        "name": "xvector",
        "in_channels": in_channels,
        "emb_size": emb_size,
        "channels": channels,
        "pooled_channels": pooled_channels,
        **pooling_of(state, pooled_channels, pooled),
    }


XVECTOR = Architecture("x-vector", "frame_1.conv_1d.weight", xvector_settings, xvector_name)
TOOLKIT = Toolkit(
    (
        ECAPA,
        campplus(pooling_eps=0.0),
        ERES2NET,
        ERES2NETV2,
        RES2NET,
        resnet(statistics_eps=1e-8, attention_eps=1e-10),
        XVECTOR,
    ),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="povey", waveform_scale=1.0).to_dict(),
)
