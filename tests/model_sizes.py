"""Small sizes of every registered model, and what it then takes."""

import dataclasses
from typing import Any

from mindvox.config import Config, load_config
from mindvox.frontend import FrontEnd
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.samples import Samples
from mindvox.models import fewest_frames, windows_of
from mindvox.registry import MODELS
from tests.training.runs import NUM_MELS

SMALL = {"channels": 8, "emb_size": 6, "mfa_channels": 16}  # sizes of a model's keys, where it has them
SMALL |= {"init_channels": 6, "growth_rate": 3, "bottleneck_factor": 2}
SMALL |= {"block1_layers": 1, "block2_layers": 1, "block3_layers": 1}
SMALL |= {f"layer{index}_channels": 8 for index in range(1, 5)}
SMALL |= {f"layer{index}_blocks": 1 for index in range(1, 5)}
SMALL |= {"depth": 0, "block": "basic"}  # of resnet
SMALL |= {"m_channels": 3, "pooled_channels": 10}
OWN = {  # sizes whose names mean other things in other models
    "ge2e_lstm": {"hidden_size": 5, "num_layers": 2, "window_frames": 20, "window_step": 9},
    "redimnet2": {"size": "b0", "channels": 6, "stage_blocks": 1},
    "rawnet2": {"num_samples": 2500, "wide_channels": 6, "gru_size": 5},
}
NUM_BINS = {"rawnet2": 1, "redimnet2": 24, "vggvox40": 15}  # of a frame, where a model cannot take NUM_MELS


def num_bins(name: str) -> int:
    return NUM_BINS.get(name, NUM_MELS)


def front_end_for(name: str) -> FrontEnd:
    return Samples() if num_bins(name) == 1 else Fbank(n_mels=num_bins(name))


def model_keys(name: str) -> list[str]:
    keys = {field.name for field in dataclasses.fields(MODELS.get(name).Options)}
    sizes = {"in_channels": num_bins(name), **{key: size for key, size in SMALL.items() if key in keys}}
    sizes |= OWN.get(name, {})
    return [f"--model.name={name}", *(f"--model.{key}={value}" for key, value in sizes.items())]


def settings_of(name: str) -> dict[str, Any]:
    return load_config(Config, ["--config_path=/dev/null", *model_keys(name)]).model.to_dict()


def least_frames(name: str) -> int:
    """Return the fewest frames that a model takes; where it takes windows, their length."""
    settings = settings_of(name)
    windows = windows_of(settings)
    return windows.num_frames if windows is not None else fewest_frames(settings)


def crop_frames(name: str, at_least: int) -> int:
    """Return the frames of an input of a model, so many where it takes them."""
    return least_frames(name) if windows_of(settings_of(name)) is not None else max(at_least, least_frames(name))
