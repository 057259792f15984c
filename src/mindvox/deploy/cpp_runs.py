"""Print the runs of the C++ program for scripts/run_infer_310.sh, from the project's configuration.

`python -m mindvox.deploy.cpp_runs MODEL DATA [--config_path FILE] [--key=value ...]` checks model, stores and sizes as
src/mindvox/deploy/infer.py does, and prints the arguments of each run of ecapa_infer, one run a line, tab-separated.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mindvox.config import Config, load_paths_and_config
from mindvox.deploy.infer import frames_to_keep
from mindvox.engines.exported import ExportedModel, find_exported
from mindvox.errors import InputError, UsageError, run
from mindvox.scoring.stores import FeatureStores


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the arguments for the evaluation store and, with a cohort, for the cohort."""
    arguments, config = load_paths_and_config(
        argv,
        "python -m mindvox.deploy.cpp_runs",
        "Print the arguments with which ecapa_infer embeds an evaluation store and its cohort.",
        model="the .mindir, .onnx or .xml that export.py wrote, or a public model",
        data="evaluation store: feat_eval_folder",
    )
    print("\n".join("\t".join(words) for words in cpp_runs(find_exported(arguments.model), arguments.data, config)))
    return 0


def cpp_runs(model: Path, data: Path, config: Config) -> list[list[str]]:
    """Return the arguments of each run.

    Raises:
        UsageError: the configuration asks for something that the program does not do.
        InputError: model or store is missing or damaged, or they do not fit each other.
    """
    if config.eval_crops:
        raise UsageError("eval_crops: the C++ program embeds utterances, not crops; expected 0.")
    exported = ExportedModel.read(model)
    cut_frames = frames_to_keep(model, exported, config)
    stores = FeatureStores.open(config, data, exported.front_end)
    common = ["--model", str(model), *_device(exported, config)]
    common += ["--max_frames", str(config.max_frames)] if cut_frames is None else ["--cut_frames", str(cut_frames)]
    folders = {"eval": data, "norm": config.train_norm_path if stores.cohort is not None else None}
    runs = [(name, str(folder)) for name, folder in folders.items() if folder is not None]
    if any("\t" in word or "\n" in word for word in (str(model), *(folder for _, folder in runs))):
        raise InputError("expected paths without tabs and line ends.")
    return [[*common, "--data", folder, "--output", f"infer_result/{name}"] for name, folder in runs]


def _device(exported: ExportedModel, config: Config) -> list[str]:
    """Return the device to run on: OpenVINO's formats support only the CPU."""
    if exported.file_format != "MINDIR":
        return []
    if config.device_target == "GPU":
        raise UsageError("device_target: MindSpore Lite runs here on Ascend or CPU, got 'GPU'.")
    return ["--device", config.device_target.lower(), "--device_id", str(config.device_id)]


if __name__ == "__main__":
    sys.exit(run(main))
