"""RawNet2 of its authors (github.com/Jungjee/RawNet), in both forms."""

import re
from functools import partial
from typing import Any

from mindvox.deploy.toolkits.toolkit import BATCH_NORM, Architecture, State, Toolkit, check_sizes
from mindvox.frontend.samples import Samples

GATES = {"refactored": r"block\1.0.frm.fc", "published": r"fc_attention\1.0"}
NAMES = (
    (r"^norm\.", "ln."),
    (r"^sinc\.(\w+)$", r"first_conv.\1_"),
    (r"^sinc_norm\b", "first_bn"),
    (r"^gru_norm\b", "bn_before_gru"),
    (r"^gru\.(\w+)$", r"gru.\1_l0"),
    (r"^linear\b", "fc1_gru"),
    (r"^blocks\.(\d)\.norm(\d)", r"block\1.0.bn\2"),
    (r"^blocks\.(\d)\.shortcut", r"block\1.0.conv_downsample"),
    (r"^blocks\.(\d)\.conv(\d)", r"block\1.0.conv\2"),
)


def name_of(name: str, form: str) -> str:
    """Return the authors' name of a parameter of `RawNet2`."""
    is_norm = re.search(r"norm\d?\.", name) and not name.startswith("norm.")
    for pattern, replacement in (*NAMES, (r"^blocks\.(\d)\.gate", GATES[form])):
        name = re.sub(pattern, replacement, name)
    path, leaf = name.rsplit(".", 1)
    return f"{path}.{BATCH_NORM.get(leaf, leaf) if is_norm else leaf}"


def settings_of(state: State, form: str) -> dict[str, Any]:
    """Return the section `model` of a state of RawNet2."""
    (num_samples,) = state["ln.gamma"].shape
    channels, _ = state["first_conv.low_hz_"].shape
    gru_rows, wide_channels = state["gru.weight_ih_l0"].shape
    emb_size, gru_size = state["fc1_gru.weight"].shape
    check_sizes(gru_rows == 3 * gru_size and state["gru.weight_hh_l0"].shape == (gru_rows, gru_size))
    for block in range(6):
        sizes = (channels if block < 2 else wide_channels,) * 2
        before = channels if block < 3 else wide_channels
        check_sizes(state[f"block{block}.0.conv1.weight"].shape == (sizes[0], before, 3))
        check_sizes(state[f"block{block}.0.conv2.weight"].shape == (*sizes, 3))
    return {
        "name": "rawnet2",
        "in_channels": 1,
        "emb_size": emb_size,
        "form": form,
        "num_samples": num_samples,
        "channels": channels,
        "wide_channels": wide_channels,
        "gru_size": gru_size,
    }


def rawnet2(form: str, mark: str) -> Architecture:
    """Return RawNet2 in a form, which has this entry."""
    return Architecture(f"RawNet2, {form}", mark, partial(settings_of, form=form), partial(name_of, form=form))


TOOLKIT = Toolkit(
    (rawnet2("refactored", "block0.0.frm.fc.weight"), rawnet2("published", "fc_attention0.0.weight")),
    lambda model: Samples(peak=True).to_dict(),
    left_out=r"fc2_gru\..*",
)
