"""Models of voxceleb_trainer, with the features of its networks."""

from typing import Any

from mindvox.deploy.toolkits.toolkit import Architecture, State, Toolkit, Untold, check_sizes, renamed
from mindvox.frontend.mel_spectrogram import MelSpectrogram
from mindvox.layers.trunk import TOTAL_STRIDE, num_rows

FRAME_ATTENTION = {
    "pool.attention.linear.weight": "sap_linear.weight",
    "pool.attention.linear.bias": "sap_linear.bias",
    "pool.attention.vector": "attention",
}
RESNET = (
    (r"^pool\.attention\.tdnn\.conv$", "attention.0"),
    (r"^pool\.attention\.tdnn\.norm$", "attention.2"),
    (r"^pool\.attention\.conv$", "attention.3"),
    (r"^layers\.(\d)", lambda match: f"layer{int(match[1]) + 1}"),
    (r"\.se\.block\.conv1$", ".se.fc.0"),
    (r"\.se\.block\.conv2$", ".se.fc.2"),
    (r"\.shortcut$", ".downsample.0"),
    (r"\.shortcut_norm$", ".downsample.1"),
    (r"\bnorm(\d)$", r"bn\1"),
)
VGG_CONVS = (0, 4, 8, 11, 14, 18)  # their places in the sequence; a batch norm is behind each
VGG = (
    (r"^convs\.(\d)", lambda match: f"netcnn.{VGG_CONVS[int(match[1])]}"),
    (r"^norms\.(\d)", lambda match: f"netcnn.{VGG_CONVS[int(match[1])] + 1}"),
)
DEFAULT_BINS = 40


def resnet_name(name: str) -> str:
    """Return voxceleb_trainer's name of a parameter of `ResNetSE34L` or `ResNetSE34V2`."""
    return FRAME_ATTENTION.get(name) or renamed(name, RESNET)


def vgg_name(name: str) -> str:
    """Return voxceleb_trainer's name of a parameter of `VGGVox40`."""
    return FRAME_ATTENTION.get(name) or renamed(name, VGG)


def _num_bins(state: State, otherwise: int) -> int:
    """Return the mel bins: the files of whole models hold the filters, (257, bins)."""
    filters = [array for name, array in state.items() if name.endswith("mel_scale.fb")]
    return filters[0].shape[1] if filters else otherwise


def _stage_sizes(state: State) -> tuple[dict[str, int], int]:
    """Return the keys of `StageOptions`, and the channels of the last stage."""
    sizes: dict[str, int] = {}
    seen = state["conv1.weight"].shape[0]
    for stage in (1, 2, 3, 4):
        channels, inner, _, _ = state[f"layer{stage}.0.conv1.weight"].shape
        check_sizes(inner == seen)
        depth = 1
        while (name := f"layer{stage}.{depth}.conv1.weight") in state:
            check_sizes(state[name].shape == (channels, channels, 3, 3))
            depth += 1
        sizes |= {f"layer{stage}_channels": channels, f"layer{stage}_blocks": depth}
        seen = channels
    return sizes, seen


def _pooling(kind: str, num_pooled: int, channels: int) -> dict[str, Any]:
    """Return the keys of a pooling, "frame" or "channel", by the numbers that it gives for these channels."""
    check_sizes(num_pooled in (channels, 2 * channels))
    return {"pooling": f"{kind}_{'sap' if num_pooled == channels else 'asp'}", "pooling_eps": 0.0}


def resnetse34l_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of ResNetSE34L, or of ResNetSE34Half, which has twice its channels."""
    sizes, channels = _stage_sizes(state)
    emb_size, num_pooled = state["fc.weight"].shape
    check_sizes(state["sap_linear.weight"].shape == (channels, channels))
    bins = _num_bins(state, otherwise=DEFAULT_BINS)
    return {
        "name": "resnetse34l",
        "in_channels": bins,
        "emb_size": emb_size,
        **sizes,
        **_pooling("frame", num_pooled, channels),
    }


def resnetse34v2_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of ResNetSE34V2.

    Without the filters, the multiple of 8 bins is taken that gives as many rows.
    """
    sizes, channels = _stage_sizes(state)
    emb_size, num_pooled = state["fc.weight"].shape
    _, seen, _ = state["attention.0.weight"].shape
    bins = _num_bins(state, otherwise=TOTAL_STRIDE * (seen // channels))
    check_sizes(seen == channels * num_rows(bins))
    return {
        "name": "resnetse34v2",
        "in_channels": bins,
        "emb_size": emb_size,
        **sizes,
        **_pooling("channel", num_pooled, seen),
    }


def vggvox40_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of VGGVox; without attention, its pooling has no entries."""
    emb_size, num_pooled = state["fc.weight"].shape
    check_sizes(num_pooled == state["netcnn.18.weight"].shape[0])
    return {
        "name": "vggvox40",
        "in_channels": _num_bins(state, otherwise=DEFAULT_BINS),
        "emb_size": emb_size,
        "pooling": "frame_sap" if "attention" in state else Untold(("tap", "max")),
        "pooling_eps": 0.0,
    }


def front_end(model: dict[str, Any]) -> dict[str, Any]:
    """Return the features of a network: log mel energies of which each bin has mean 0 and deviation 1."""
    return MelSpectrogram(
        n_fft=512,
        hop_length_ms=10.0,
        window="hann" if model["name"] == "vggvox40" else "hamming",
        preemphasis=0.97 if model["name"] == "resnetse34v2" else 0.0,
        offset=1e-6,
        log="natural",
        normalisation="instance",
        n_mels=model["in_channels"],
    ).to_dict()


TOOLKIT = Toolkit(
    (
        Architecture("VGGVox", "netcnn.0.weight", vggvox40_settings, vgg_name),
        Architecture("ResNetSE34L", "sap_linear.weight", resnetse34l_settings, resnet_name),
        Architecture("ResNetSE34V2", "layer1.0.se.fc.0.weight", resnetse34v2_settings, resnet_name),
    ),
    front_end,
    prefix="__S__.",
    left_out=r"__L__\..*",
    constants=r"torchfb\..*",
    untold=("log", "waveform_scale"),
)
