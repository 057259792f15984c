"""The training loop, from a configuration to the last checkpoint."""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, Optional

import mindspore as ms
from mindspore import Tensor, nn

from mindvox.config import Config, describe, require, save_config
from mindvox.data.front_ends import take_front_end
from mindvox.data.pipeline import Batch, TrainBatches, open_batches
from mindvox.errors import InputError, Stopped, UsageError
from mindvox.files import lock_folder
from mindvox.losses import saved_parameters, set_scheduled, without_scheduled
from mindvox.losses.objective import Objective
from mindvox.models import create_model, take_settings, trained_model, windows_of
from mindvox.models.checkpoint import assign, assign_parameters, checkpoint_path, find_checkpoint, read_checkpoint
from mindvox.progress import quantity
from mindvox.terminal import folded
from mindvox.training.batch_norm import set_batch_norms
from mindvox.training.checkpoints import CheckpointWriter
from mindvox.training.frozen import freeze_parts
from mindvox.training.imprint import imprint
from mindvox.training.interruption import Interruption
from mindvox.training.log import TrainingLog, ValidationResult
from mindvox.training.position import Position
from mindvox.training.precision import mixed_precision
from mindvox.training.resume import Checkpoint, find_earlier, identity, restore
from mindvox.training.schedule import Schedule
from mindvox.training.step import ScaledTrainStep, TrainStep, make_step
from mindvox.training.world import World, join_world

ALONE = World()
CHECK_STEPS = 1000  # interval between comparisons of the ranks' weights
Validate = Callable[[nn.Cell], ValidationResult]
"""Measures the error rates of a model in training."""


class Observer:
    """Receives the events of a run on the rank that writes; this base class ignores them."""

    def after_step(self, position: Position, loss: float) -> None:
        """Receive the loss of the step that led to `position`."""

    def after_validation(self, position: Position, result: ValidationResult, checkpoints: CheckpointWriter) -> None:
        """Receive a validation; best.ckpt is already written if it was the best, other checkpoints of the step are
        not.
        """


UNSEEN = Observer()


@dataclass(frozen=True)
class Run:
    """The parts of a training run, and its start position."""

    config: Config
    world: World
    batches: TrainBatches
    step_cell: TrainStep
    schedule: Schedule
    start: Position
    meta: dict[str, Any]

    def take_step(
        self, batch: Batch, position: Position, log: TrainingLog, interruption: Interruption, observer: Observer
    ) -> tuple[Position, Optional[Signals]]:
        """Train on a batch and log it; return the new position, and the signal if any rank was asked to stop.

        Raises:
            InputError: the loss is not finite, no loss scale fits, or the ranks' weights differ.
        """
        step_cell = self.step_cell
        lrate = self.schedule.lrate(position.update, position.elapsed_s)
        moment = self.schedule.moment(position.update, position.elapsed_s)
        scheduled = step_cell.model_with_loss.loss.schedule(moment.epochs, moment.update, moment.share)
        updates = step_cell.num_updates
        loss, accuracy = _step(step_cell, batch, lrate, scheduled)
        updates = step_cell.num_updates - updates
        if not math.isfinite(loss):
            raise _not_finite(loss, position.step + 1, lrate, batch, self.config.ckpt_save_dir)
        if updates == 0 and step_cell.num_gathered == 0 and isinstance(step_cell, ScaledTrainStep):
            log.note(_overflow(step_cell, position.step + 1))
        elapsed_s, signal = _agreed(self.world, log.elapsed_s, interruption.signal)
        position = position.after_batch(self.batches, updates, elapsed_s)
        log.after_step(position, loss, accuracy, lrate, scheduled, _is_finished(self.config, position))
        observer.after_step(position, loss)
        if position.step % CHECK_STEPS == 0 and step_cell.num_gathered == 0:
            self.world.refuse_difference(step_cell.state(), position.step)
        return position, signal


def train(
    config: Config,
    make_validate: Optional[Callable[[Config, TrainBatches, dict, str], Optional[Validate]]] = None,
    observer: Optional[Observer] = None,
) -> Path:
    """Train as `config` says and return the path of the last checkpoint.

    Args:
        config: the settings.
        make_validate: called before training with the settings, the batches, the model's settings and the device's
            name; returns the function that measures the EER, or None if no validation is configured.
        observer: receives steps and validations.

    Raises:
        UsageError: a required key is not set.
        InputError: the store, the initial checkpoint or the device does not fit, the folder of checkpoints is in use,
            its disk is full, or the loss is not finite.
        Stopped: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    require(config, "train_data_path", "ckpt_save_dir")
    target, world = join_world(config)
    with lock_folder(config.ckpt_save_dir, wait=False) if world.is_first else nullcontext():
        earlier = find_earlier(config, world.is_first)
        run = set_up(config, target, world, earlier)
        if earlier and _is_finished(config, run.start):
            print(f"{earlier.path}: this run is finished, after {quantity(run.start.step, 'step')}: nothing to do")
            return earlier.path
        if not world.is_first:
            return fit(run, None)
        config = run.config
        validate = make_validate(config, run.batches, run.meta["model"], target) if make_validate else None
        checkpoints = CheckpointWriter(config, run.step_cell, run.meta)
        save_config(config, checkpoints.folder / "config.yaml")
        shutil.copyfile(Path(config.train_data_path) / "speakers.csv", checkpoints.folder / "speakers.csv")
        describe_run(run, target)
        if earlier:
            print(f"resume: from {earlier.path}, after {quantity(run.start.step, 'step')}")
        return fit(run, checkpoints, validate, observer or UNSEEN)


def set_up(config: Config, device_target: str, world: World = ALONE, earlier: Optional[Checkpoint] = None) -> Run:
    """Open the training store and build model, objective, optimiser and schedule; restore an earlier run's state."""
    ms.set_seed(config.seed)  # also seeds NumPy, which draws the initial weights
    first = None
    if config.pre_trained:
        first = earlier or read_first(config.checkpoint_path)
        config = take_settings(config, first.meta["model"], first.path)
        config = take_front_end(config, first.meta["front_end"], first.path)
    batches = open_batches(config, world.rank, world.size)
    config = take_front_end(config, batches.front_end.to_dict(), config.train_data_path)
    meta = {**_meta(config, batches), "run": identity(config, batches)}
    _check_crop_length(config, meta["model"])
    model = create_model(meta["model"], device_target)
    set_batch_norms(model, config.batch_norm)
    freeze_parts(model, config.frozen_parts)
    loss = config.loss.build(config.model.options.emb_size, batches.num_classes)
    if first and earlier is None:
        has_new_speakers = not start_from(first, model, loss, meta)
        if has_new_speakers and config.imprint_utterances:
            evaluated = trained_model(first.arrays, meta["model"], first.path, device_target)
            imprint(config, batches, evaluated, loss)
    check_batches(loss, config, batches)
    step_cell = make_step(config, mixed_precision(model, config.amp_level), loss, world.size, world.rank)
    step_cell.set_train()
    schedule = Schedule(config, batches.num_batches(), world.size)
    start = restore(earlier, meta["run"], step_cell, batches) if earlier else Position()
    return Run(config, world, batches, step_cell, schedule, start, meta)


def _check_crop_length(config: Config, settings: dict[str, Any]) -> None:
    windows = windows_of(settings)
    if windows is not None and config.train_frames != windows.num_frames:
        raise UsageError(
            f"train_frames: a {settings['name']} of these settings takes {windows.num_frames} frames alone, got "
            f"{config.train_frames}. Set --train_frames={windows.num_frames}."
        )


def check_batches(loss: Objective, config: Config, batches: TrainBatches) -> None:
    """Raise UsageError if the sampler's batches do not fit the objective."""
    needed, given = loss.utterances_per_speaker, batches.sampler.utterances_per_speaker
    if needed is None:
        return
    if needed != given:
        raise UsageError(
            f"sampler: {config.loss.name} compares {needed} utterances of each speaker in a batch, "
            f"{config.sampler.name} gives {given}. Set sampler.name: speakers and sampler.num_utterances: {needed}."
        )
    if config.speed_classes:
        raise UsageError(
            f"speed_classes: {config.loss.name} compares utterances of a speaker, which would be of several classes: "
            "set speed_classes: false."
        )
    least = loss.least_speakers
    if batches.global_size // needed < least:
        raise UsageError(
            f"minibatch_size: {config.loss.name} needs at least {least} speakers in a batch, got "
            f"{batches.global_size // needed}."
        )


def fit(
    run: Run,
    checkpoints: Optional[CheckpointWriter],
    validate: Optional[Validate] = None,
    observer: Observer = UNSEEN,
) -> Path:
    """Run the epochs: step, print, validate, write checkpoints; return the path of the last checkpoint.

    Args:
        run: the run.
        checkpoints: None on ranks that do not write.
        validate: None: no validation.
        observer: receives steps and validations.
    """
    config, position = run.config, run.start
    signal, is_finished = None, False
    run.world.refuse_difference(run.step_cell.state(), position.step)
    with Interruption() as interruption, TrainingLog(config, run.batches, position, run.world.is_first) as log:
        for batch in _batches_from(position, run.batches, interruption):
            position, signal = run.take_step(batch, position, log, interruption, observer)
            is_finished = _is_finished(config, position)
            # Each rank accumulates its own gradient sum; a checkpoint stores only rank 0's.
            is_whole = run.world.size == 1 or run.step_cell.num_gathered == 0
            if signal and is_whole:
                break
            if validate and checkpoints and (is_finished or _validation_is_due(config, position)):
                position, result = _validated(run, validate, position, log)
                checkpoints.after_validation(position)
                observer.after_validation(position, result, checkpoints)
            if is_finished:
                break
            if checkpoints:
                checkpoints.after_step(position, is_whole)
        path = checkpoint_path(config.ckpt_save_dir, config.model.name, position.running_epoch, position.step)
        if checkpoints:
            checkpoints.finish(position)
        signal = signal or interruption.signal
    run.world.gather()  # msrun kills all ranks once one has left with an error: rank 0 must have written first
    if signal and not is_finished:
        raise Stopped(
            f"stopped as requested after step {position.step}; checkpoint: {path}. To continue: --resume=auto", signal
        )
    if run.world.is_first:
        print(f"trained {quantity(position.step, 'step')} in {position.elapsed_s:.0f} s; last checkpoint: {path}")
    return path


def _batches_from(start: Position, batches: TrainBatches, interruption: Interruption) -> Iterator[Batch]:
    """Yield batches from a position on, forever."""
    with closing(batches.epochs(start.epoch, start.record)) as epochs:
        try:
            for epoch_batches in epochs:
                yield from epoch_batches
        except InputError:
            if interruption.signal is None:  # otherwise the signal has reached the feature processes too
                raise


def _step(step_cell: TrainStep, batch: Batch, lrate: float, scheduled: dict[str, float]) -> tuple[float, float]:
    """Take one step and return loss and accuracy."""
    step_cell.optimizer.learning_rate.set_data(Tensor(lrate, ms.float32))
    set_scheduled(step_cell.model_with_loss.loss, scheduled)
    loss, accuracy = step_cell(Tensor(batch.feats), Tensor(batch.label))
    return float(loss), float(accuracy)


def _is_finished(config: Config, position: Position) -> bool:
    if config.max_train_minutes:
        return position.elapsed_s >= config.max_train_minutes * 60
    return position.epoch >= config.num_epochs


def _agreed(world: World, elapsed_s: float, signal: Optional[Signals]) -> tuple[float, Optional[Signals]]:
    """Return rank 0's clock and any rank's signal: all must stop after the same step, at the same rates."""
    if world.size == 1:
        return elapsed_s, signal
    clocks, numbers = world.gather(elapsed_s, float(signal or 0)).T
    return float(clocks[0]), Signals(int(numbers.max())) if numbers.any() else None


def _validation_is_due(config: Config, position: Position) -> bool:
    by_steps = config.valid_steps > 0 and position.step % config.valid_steps == 0
    by_epochs = config.valid_epochs > 0 and position.record == 0 and position.epoch % config.valid_epochs == 0
    return by_steps or by_epochs


def _validated(run: Run, validate: Validate, position: Position, log: TrainingLog) -> tuple[Position, ValidationResult]:
    """Measure the EER and print it; return the position with the best EER so far, and the result."""
    begin = time.monotonic()
    with run.step_cell.averaged_weights():
        result = validate(run.step_cell.model_with_loss.model)
    position = position.after_validation(result.eer)
    log.after_validation(position, result, time.monotonic() - begin)
    return position, result


def _not_finite(loss: float, step: int, lrate: float, batch: Batch, folder: str) -> InputError:
    return InputError(
        f"the loss became {loss} in step {step} at learning rate {lrate:g}. Checkpoints in {folder} are from before. "
        f"Lower max_lrate, or look at this step's utterances: {', '.join(batch.utt_ids)}."
    )


def read_first(path: str) -> Checkpoint:
    """Read the checkpoint from which training starts; of a folder, the last one."""
    found = find_checkpoint(path)
    return Checkpoint(found, *read_checkpoint(found))


def start_from(checkpoint: Checkpoint, model: nn.Cell, loss: nn.Cell, meta: dict[str, Any]) -> bool:
    """Set the model's weights from a checkpoint, and the classifier's if the speakers are the same; return whether."""
    path, arrays, found = checkpoint.path, checkpoint.arrays, checkpoint.meta
    assign(model, arrays, "model.", path)
    same_speakers = found["speakers_sha256"] == meta["speakers_sha256"]
    if same_speakers:
        of_loss = {name: array for name, array in arrays.items() if name.startswith("loss.")}
        of_loss = loss.adapt(without_scheduled(of_loss, loss), loss_settings(found))
        assign_parameters({f"loss.{name}": value for name, value in saved_parameters(loss).items()}, of_loss, path)
    which = "and classifier" if same_speakers else "only, its speakers are others than the store's: new classifier"
    print(f"start from {path}: model {which}")
    return same_speakers


def loss_settings(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the section `loss` of a checkpoint's meta; the first version stored only the number of sub-centres."""
    return meta.get("loss") or {"name": "aam_softmax", "sub_centers": meta.get("sub_centers", 1)}


def _meta(config: Config, batches: TrainBatches) -> dict[str, Any]:
    manifest = batches.manifest
    if config.class_num not in (0, manifest.num_speakers):
        raise InputError(
            f"CLASS_NUM: the configuration says {config.class_num}, {config.train_data_path} has "
            f"{manifest.num_speakers} speakers: set CLASS_NUM: auto or take the other store."
        )
    size, in_channels = batches.front_end.size, config.model.options.in_channels
    if in_channels != size:
        key = batches.front_end.size_option
        raise InputError(
            f"inChannels: the model takes frames of {in_channels}, {config.train_data_path} gives frames of {size}: "
            f"set inChannels: {size}, or take features "
            + (f"with front_end.{key}: {in_channels}." if key else "of another front end.")
        )
    return {
        "model": config.model.to_dict(),
        "loss": config.loss.to_dict(),
        "front_end": batches.front_end.to_dict(),
        "speakers_sha256": manifest.speakers_sha256,
    }


def _overflow(step_cell: ScaledTrainStep, step: int) -> str:
    """Return a line about a step with non-finite gradients; raise InputError if no scale can help."""
    if step_cell.scale == 1:
        raise InputError(
            f"the gradients of step {step} are not finite, at a loss scale of 1 or 2: half precision cannot hold them. "
            "Lower max_lrate, or set amp_level: O0."
        )
    return f"step {step}: gradients overflowed, the weights stay; loss scale {step_cell.scale:g}"


def describe_run(run: Run, device_target: str) -> None:
    """Print the model and the data, and a warning if the learning rate cannot change as it should."""
    config, manifest = run.config, run.batches.manifest
    millions = sum(parameter.size for parameter in run.step_cell.model_with_loss.model.trainable_params()) / 1e6
    print(folded(f"model: {describe(run.meta['model'])}"))
    print(f"{millions:.2f} M parameters, on {device_target}")
    if config.frozen_parts:
        print(folded(f"not trained, and not counted: {', '.join(config.frozen_parts)}"))
    print(
        f"data: {quantity(len(run.batches.records), 'record')} of {quantity(manifest.num_speakers, 'speaker')}, "
        f"{quantity(run.batches.num_batches(), 'batch', 'batches')} of {config.minibatch_size} x "
        f"{config.train_frames} frames an epoch"
    )
    if run.batches.online:
        print(
            f"features: computed by {quantity(config.num_workers, 'process', 'processes')}, "
            f"{run.batches.num_classes} classes; each crop gets one of\n  {', '.join(config.augmentations)}"
        )
    if config.max_train_minutes:
        print(f"time: {config.max_train_minutes:g} minutes, which override num_epochs and step_size")
    if said := run.schedule.standstill():
        print(folded(f"warning: {said}"))
