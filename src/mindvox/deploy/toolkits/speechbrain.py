"""SpeechBrain's models."""

from typing import Any

from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.fbank import Fbank


def ecapa_name(name: str) -> str:
    """Return SpeechBrain's name of a parameter of `EcapaTdnn`; 3D-Speaker and mvector have the same.

    They wrap each convolution and batch norm in a module of its own: our `blocks.0.norm.moving_variance` is
    `blocks.0.norm.norm.running_var` there.
    """
    path, leaf = name.rsplit(".", 1)
    return f"{path}.norm.{BATCH_NORM[leaf]}" if leaf in BATCH_NORM else f"{path}.conv.{leaf}"


def ecapa_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of ECAPA-TDNN with its attentive pooling."""
    sizes, num_pooled = ecapa_sizes(state)
    _, seen, _ = state["asp.tdnn.conv.conv.weight"].shape
    check_sizes(num_pooled == 6 * sizes["channels"])
    return {**sizes, "global_context": seen == 9 * sizes["channels"]}


def ecapa_sizes(state: State) -> tuple[dict[str, Any], int]:
    """Return what sections of ECAPA-TDNN with any pooling have in common, and the numbers that the pooling gives."""
    channels, in_channels, _ = state["blocks.0.conv.conv.weight"].shape
    emb_size, num_pooled, _ = state["fc.conv.weight"].shape
    check_sizes(state["mfa.conv.conv.weight"].shape == (3 * channels, 3 * channels, 1))
    return {"name": "ecapa_tdnn", "in_channels": in_channels, "channels": channels, "emb_size": emb_size}, num_pooled


ECAPA = Architecture("ECAPA-TDNN", "blocks.0.conv.conv.weight", ecapa_settings, ecapa_name)
TOOLKIT = Toolkit((ECAPA,), lambda model: Fbank(n_mels=model["in_channels"]).to_dict())
