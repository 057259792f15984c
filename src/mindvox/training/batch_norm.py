"""What batch norms normalise by in training."""

from mindspore import nn


def set_batch_norms(model: nn.Cell, kind: str) -> None:
    """Choose the statistics by which a model's batch norms normalise in training.

    Args:
        model: changed in place, before it is compiled.
        kind: "local": those of the batch of each process. "frozen": those that evaluation uses, which training then
            leaves as they are; each utterance's result no longer depends on the others in its batch.
    """
    if kind == "frozen":
        for _, cell in model.cells_and_names():
            if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d)):
                cell.use_batch_statistics = False
