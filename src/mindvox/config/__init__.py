"""Configuration: the keys of each command, and how they are filled from YAML and the command line.

For shell scripts, `python -m mindvox.config CLASS ARGUMENT...` checks arguments and prints the resolved values;
`python -m mindvox.config CLASS --keys` prints the keys.
"""

from mindvox.config.choice import Choice, Given, describe
from mindvox.config.load import (
    ROOT,
    as_today,
    fixed_keys,
    load_config,
    load_paths_and_config,
    require,
    save_config,
    to_dict,
)
from mindvox.config.option import Reference, option
from mindvox.config.sections import (
    CONFIGS,
    NUM_PROCESSES_HELP,
    TRIAL_FORMATS,
    AugmentationOptions,
    Config,
    EvalPrepConfig,
    TrainPrepConfig,
)

__all__ = [
    "CONFIGS",
    "NUM_PROCESSES_HELP",
    "ROOT",
    "TRIAL_FORMATS",
    "AugmentationOptions",
    "Choice",
    "Config",
    "EvalPrepConfig",
    "Given",
    "Reference",
    "TrainPrepConfig",
    "as_today",
    "describe",
    "fixed_keys",
    "load_config",
    "load_paths_and_config",
    "option",
    "require",
    "save_config",
    "to_dict",
]
