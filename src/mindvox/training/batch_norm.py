"""The statistics that batch norms use in training."""

from mindspore import nn


def set_batch_norms(model: nn.Cell, kind: str) -> None:
    """Choose the statistics that a model's batch norms use in training.

    Args:
        model: changed in place, before it is compiled.
        kind: "local": those of each rank's batch. "frozen": the running ones of evaluation, which training then does
            not change; each utterance's result no longer depends on its batch.
    """
    if kind == "frozen":
        for _, cell in model.cells_and_names():
            if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d)):
                cell.use_batch_statistics = False
