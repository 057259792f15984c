"""Joovvhan/ECAPA-TDNN, the network of the Ascend 310P guide: `checkpoint.pt` of its training."""

from typing import Any

from mindvox.deploy.toolkits.toolkit import Architecture, State, Toolkit, check_sizes, renamed
from mindvox.frontend.mel_spectrogram import MelSpectrogram

LAYERS = (
    (r"^stem\.conv$", "conv1d_in"),
    (r"^stem\.norm$", "batchnorm_in"),
    (r"^block(\d)", r"se_res2block_\1"),
    (r"\.tdnn1\.conv$", ".conv1d_expand"),
    (r"\.tdnn1\.norm$", ".batchnorm_expand"),
    (r"\.res2net_block\.blocks\.(\d)\.conv$", r".res2conv1d_list.\1"),
    (r"\.res2net_block\.blocks\.(\d)\.norm$", r".res2batch_norm_list.\1"),
    (r"\.tdnn2\.conv$", ".conv1d_collapse"),
    (r"\.tdnn2\.norm$", ".batchnorm_collapse"),
    (r"\.se_block\.conv(\d)$", r".fc_\1"),
    (r"^join$", "conv1d_out"),
    (r"^attention", "attentive_stat_pooling"),
    (r"^pool_norm$", "batchnorm_2"),
    (r"^fc_norm$", "batchnorm_3"),
)


def name_of(name: str) -> str:
    """Return the name there of a parameter of `JoovvhanEcapa`."""
    return renamed(name, LAYERS)


def settings_of(state: State) -> dict[str, Any]:
    """Return the section `model` of a state."""
    channels, in_channels, _ = state["conv1d_in.weight"].shape
    emb_size, pooled = state["fc.weight"].shape
    expanded = state["se_res2block_1.conv1d_expand.weight"].shape
    check_sizes(expanded == (8 * channels, channels, 1) and pooled == 6 * channels)
    return {"name": "ecapa_joovvhan", "in_channels": in_channels, "channels": channels, "emb_size": emb_size}


def front_end_of(model: dict[str, Any]) -> dict[str, Any]:
    """Return the mel spectrogram of NVIDIA's tacotron2, whose logarithms -12 to 0 become -1 to 1."""
    return MelSpectrogram(
        n_mels=model["in_channels"],
        hop_length_ms=10.0,
        mel_scale="slaney",
        mel_norm="slaney",
        power=1.0,
        floor=1e-5,
        log="natural",
        feature_scale=1 / 6,
        feature_shift=1.0,
        normalisation="none",
    ).to_dict()


TOOLKIT = Toolkit(
    (Architecture("ECAPA-TDNN", "se_res2block_1.conv1d_expand.weight", settings_of, name_of),),
    front_end_of,
    prefix="module.",  # of a training on several devices
    left_out=r"(module\.)?speaker_embedding\..*",
)
