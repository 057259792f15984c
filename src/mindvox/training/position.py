"""How far a training run is."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

from mindvox.data.pipeline import TrainBatches


@dataclass(frozen=True)
class Position:
    """All that decides what a run does next, besides the parameters of its step and its settings.

    There is no state of a random generator: order, crops and augmentation follow from seed, epoch and utterance.

    Attributes:
        step: steps done.
        epoch: passes over the data that are finished.
        record: records of the next pass that all processes together have had.
        update: updates of the weights, as the schedule counts them: in epochs of the present number of batches.
        elapsed_s: seconds of training, those of earlier sessions included.
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
        """Return what `to_dict` gave."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes, as a checkpoint's meta holds them."""
        return asdict(self)

    @property
    def running_epoch(self) -> int:
        """The epoch, from 1, that the last step belongs to."""
        return self.epoch + (self.record > 0)

    def after_batch(self, batches: TrainBatches, num_updates: int, elapsed_s: float) -> "Position":
        """Return the position after one more batch, which made so many updates."""
        step, update = self.step + 1, self.update + num_updates
        moved = replace(self, step=step, record=self.record + batches.global_size, update=update, elapsed_s=elapsed_s)
        return moved.at_batch(batches)

    def at_batch(self, batches: TrainBatches) -> "Position":
        """Return the same position, at the next epoch's start when nothing is left of this one."""
        if batches.num_batches(self.record):
            return self
        return replace(self, epoch=self.epoch + 1, record=0)

    def after_validation(self, eer: float) -> "Position":
        """Return the position with the EER of a validation, when it is the least."""
        if self.best_eer is not None and eer >= self.best_eer:
            return self
        return replace(self, best_eer=eer, best_step=self.step)
