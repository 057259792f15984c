"""The position of a training run."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

from mindvox.data.pipeline import TrainBatches


@dataclass(frozen=True)
class Position:
    """Everything that decides how a run continues, besides the parameters of its step and its settings.

    No random generator has state: order, crops and augmentation follow from seed, epoch and utterance.

    Attributes:
        step: number of finished steps.
        epoch: number of finished passes over the data.
        record: number of records of the next pass that all ranks together have processed.
        update: number of updates of the weights as the schedule counts them: in epochs of the present number of
            batches.
        elapsed_s: seconds of training, including earlier sessions.
        best_eer, best_step: least validation EER, and the step after which it was measured; None, 0: there is none.
    """

    step: int = 0
    epoch: int = 0
    record: int = 0
    update: int = 0
    elapsed_s: float = 0.0
    best_eer: Optional[float] = None
    best_step: int = 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Position":
        """Return a position from the result of `to_dict`."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes in the form of a checkpoint's meta."""
        return asdict(self)

    @property
    def running_epoch(self) -> int:
        """Epoch, from 1, of the last step."""
        return self.epoch + (self.record > 0)

    def after_batch(self, batches: TrainBatches, num_updates: int, elapsed_s: float) -> "Position":
        """Return the position after one more batch, with this many updates."""
        step, update = self.step + 1, self.update + num_updates
        moved = replace(self, step=step, record=self.record + batches.global_size, update=update, elapsed_s=elapsed_s)
        return moved.at_batch(batches)

    def at_batch(self, batches: TrainBatches) -> "Position":
        """Return the same position, moved to the start of the next epoch if this one is finished."""
        if batches.num_batches(self.record):
            return self
        return replace(self, epoch=self.epoch + 1, record=0)

    def after_validation(self, eer: float) -> "Position":
        """Return the position with the EER of a validation, if that is the least."""
        if self.best_eer is not None and eer >= self.best_eer:
            return self
        return replace(self, best_eer=eer, best_step=self.step)
