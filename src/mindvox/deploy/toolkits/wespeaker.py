"""wespeaker's models."""

import re
from typing import Any

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.redimnet2 import CONSTANTS, REDIMNET2
from mindvox.deploy.toolkits.resnet import SIMAM_RESNET, resnet
from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.kaldi_fbank import KaldiFbank


def ecapa_name(name: str) -> str:
    """Return wespeaker's name of a parameter of `WespeakerEcapa`."""
    path, leaf = name.rsplit(".", 1)
    path = path.replace(".tdnn1.", ".se_res2block.0.").replace(".tdnn2.", ".se_res2block.2.")
    path = re.sub(r"\.splits\.(\d)\.conv", r".se_res2block.1.convs.\1", path)
    path = re.sub(r"\.splits\.(\d)\.norm", r".se_res2block.1.bns.\1", path)
    path = re.sub(r"\.se_block\.conv(\d)", r".se_res2block.3.linear\1", path)
    path = "bn2" if path == "emb_norm" else re.sub(r"\.norm$", ".bn", path)
    return f"{path}.{BATCH_NORM.get(leaf, leaf)}"


def ecapa_settings(state: State) -> dict[str, Any]:
    """Return the section `model` of a state of wespeaker's ECAPA-TDNN."""
    channels, in_channels, _ = state["layer1.conv.weight"].shape
    mfa_channels, joined, _ = state["conv.weight"].shape
    emb_size, pooled = state["linear.weight"].shape
    _, seen, _ = state["pool.linear1.weight"].shape
    inner = state["layer2.se_res2block.0.conv.weight"].shape
    check_sizes(inner == (channels, channels, 1) and joined == 3 * channels and pooled == 2 * mfa_channels)
    return {
        "name": "wespeaker_ecapa",
        "in_channels": in_channels,
        "channels": channels,
        "emb_size": emb_size,
        "global_context": seen == 3 * mfa_channels,
        "mfa_channels": mfa_channels,
        "emb_bn": "bn2.weight" in state,
    }


ECAPA = Architecture("ECAPA-TDNN", "layer1.conv.weight", ecapa_settings, ecapa_name)
TOOLKIT = Toolkit(
    (ECAPA, campplus(pooling_eps=1e-7), resnet(statistics_eps=1e-7, attention_eps=1e-7), SIMAM_RESNET, REDIMNET2),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="hamming", waveform_scale=32768.0).to_dict(),
    left_out=r"projection\..*",
    constants=CONSTANTS,
)
