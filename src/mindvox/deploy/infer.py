"""Compute embeddings of an evaluation store and its cohort with an exported model.

scripts/run_infer_310.sh runs `mindvox infer MODEL DATA [--config_path FILE] [--key=value ...]` if the C++ program has
no library for the model. A MODEL in ONNX or OpenVINO's format needs no MindSpore.
"""

import sys
from collections.abc import Sequence
from typing import Optional

from mindvox.config import Config, load_paths_and_config
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel, find_exported
from mindvox.errors import InputError, run
from mindvox.files import PathLike, lock_folder
from mindvox.scoring.stores import FeatureStores


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write embedding stores `eval` and, with a cohort, `norm` into infer_result/."""
    arguments, config = load_paths_and_config(
        argv,
        "mindvox infer",
        "Run an exported model over an evaluation store and its cohort.",
        model="the .mindir, .onnx or .xml that export.py wrote, or a public model",
        data="evaluation store: feat_eval_folder",
    )
    model = find_exported(arguments.model)
    exported = ExportedModel.read(model)
    cut_frames = frames_to_keep(model, exported, config)
    engine = load_engine(model, device_target=config.device_target, device_id=config.device_id)
    stores = FeatureStores.open(config, arguments.data, exported.front_end)
    with lock_folder("infer_result"):
        stores.embed(
            "infer_result",
            engine.encode,
            model_sha256=exported.file_sha256,
            engine=engine.name,
            cut_frames=cut_frames,
            batch_size=exported.batch_size or config.eval_batch_size,
            min_frames=exported.min_frames,
            windows=exported.windows,
        )
    return 0


def frames_to_keep(model: PathLike, exported: ExportedModel, config: Config) -> Optional[int]:
    """Return how many frames of each utterance in a store the model takes; None: all.

    Raises:
        InputError: the model takes no features, or another length than the configuration sets.
    """
    if exported.input_kind != "features":
        raise InputError(
            f"{model}: takes waveforms, and a store is embedded from features. Export one for it with --input=features."
        )
    cut_frames = exported.cut_frames or (config.cut_frames if config.cut_wav else None)
    if config.cut_wav and cut_frames != config.cut_frames:
        raise InputError(f"cut_frames: the configuration says {config.cut_frames}, {model} takes {cut_frames}.")
    return cut_frames


if __name__ == "__main__":
    sys.exit(run(main))
