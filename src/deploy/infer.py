"""Embeddings of an evaluation store and its cohort from an exported model, for the scorer.

`python -m src.deploy.infer MODEL DATA [--config_path FILE] [--key=value ...]` is what
scripts/run_infer_310.sh runs where there is no MindSpore Lite.
"""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import load_paths_and_config
from src.errors import InputError, run
from src.scoring.stores import FeatureStores


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write embedding stores `eval` and, with a cohort, `norm` into infer_result/."""
    arguments, config = load_paths_and_config(
        argv,
        "python -m src.deploy.infer",
        "Run an exported model over an evaluation store and its cohort.",
        model="the .mindir that export.py wrote",
        data="evaluation store: feat_eval_folder",
    )
    import mindspore as ms  # after the arguments are right: MindSpore takes seconds to import

    from src.deploy.engine import load_engine
    from src.device import set_device

    target = set_device(config.device_target, config.device_id)
    encode, exported = load_engine(arguments.model)
    cut_frames = exported.num_frames or (config.cut_frames if config.cut_wav else None)
    if config.cut_wav and cut_frames != config.cut_frames:
        raise InputError(
            f"cut_frames: the configuration says {config.cut_frames}, {arguments.model} takes {cut_frames}."
        )
    FeatureStores.open(config, arguments.data, exported.front_end).embed(
        "infer_result",
        encode,
        model_sha256=exported.file_sha256,
        engine=f"mindspore {ms.__version__} {target}",
        cut_frames=cut_frames,
        batch_size=exported.batch_size or config.eval_batch_size,
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
