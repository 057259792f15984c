"""The training loop, from a configuration to the last checkpoint."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from src.config import Config, require, save_config
from src.data.pipeline import TrainBatches, open_batches
from src.device import set_device
from src.errors import InputError, UsageError
from src.frontend.fbank import check_front_end
from src.losses.aam_softmax import AamSoftmax
from src.models import check_settings, create_model, model_settings
from src.models.checkpoint import assign, find_checkpoint, read_checkpoint
from src.training.checkpoints import CheckpointWriter, refuse_earlier_run
from src.training.log import TrainingLog
from src.training.precision import loss_scaler, mixed_precision
from src.training.schedule import CyclicLearningRate
from src.training.step import ModelWithLoss, ScaledTrainStep, TrainStep


@dataclass(frozen=True)
class Run:
    """What a training run is made of."""

    config: Config
    batches: TrainBatches
    step_cell: TrainStep
    schedule: CyclicLearningRate
    meta: dict[str, Any]


def train(config: Config) -> Path:
    """Train as `config` says and return the path of the last checkpoint.

    Raises:
        UsageError: a needed key is not set.
        InputError: the store, the checkpoint to start from or the device does not fit, the folder of checkpoints is in
            use, or the loss is not finite.
    """
    require(config, "train_data_path", "ckpt_save_dir")
    if config.run_distribute:
        raise UsageError("run_distribute: training on several devices is not built yet; set run_distribute: false.")
    refuse_earlier_run(config.ckpt_save_dir)
    target = set_device(config.device_target, config.device_id)
    run = set_up(config, target)
    checkpoints = CheckpointWriter(config, run.step_cell, run.meta)
    save_config(config, checkpoints.folder / "config.yaml")
    shutil.copyfile(Path(config.train_data_path) / "speakers.csv", checkpoints.folder / "speakers.csv")
    _describe(run, target)
    return fit(run, checkpoints)


def set_up(config: Config, device_target: str) -> Run:
    """Open the training store and build model, objective, optimiser and schedule."""
    ms.set_seed(config.seed)  # NumPy's too, which draws the initial weights
    batches = open_batches(config)
    meta = _meta(config, batches)
    model = create_model(meta["model"], device_target)
    loss = AamSoftmax(config.emb_size, batches.num_classes, config.margin, config.scale)
    if config.pre_trained:
        start_from(config.checkpoint_path, model, loss, meta)
    step_cell = _step_cell(config, mixed_precision(model, config.amp_level), loss)
    step_cell.set_train()
    span_s = config.max_train_minutes * 60
    schedule = CyclicLearningRate(config.base_lrate, config.max_lrate, config.step_size, config.cycle_peak, span_s)
    return Run(config, batches, step_cell, schedule, meta)


def fit(run: Run, checkpoints: CheckpointWriter) -> Path:
    """Step through the epochs, print, write checkpoints, and return the path of the last."""
    config, batches, span_s = run.config, run.batches, run.schedule.span_s
    log = TrainingLog(batches.num_batches, config.minibatch_size, config.log_steps, config.num_epochs, span_s)
    step = 0
    for epoch, epoch_batches in enumerate(batches.epochs(), start=1):
        for batch in epoch_batches:
            updates = run.step_cell.num_updates
            lrate = run.schedule.at(updates, log.elapsed_s)
            run.step_cell.optimizer.learning_rate.set_data(Tensor(lrate, ms.float32))
            loss, accuracy = (float(value) for value in run.step_cell(Tensor(batch.feats), Tensor(batch.label)))
            step += 1
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss became {loss} in step {step} at learning rate {lrate:g}. Checkpoints in "
                    f"{checkpoints.folder} are from before. Lower max_lrate, or look at this step's utterances: "
                    f"{', '.join(batch.utt_ids)}."
                )
            if run.step_cell.num_updates == updates:
                log.note(_overflow(run.step_cell, step))
            epoch_ends = step % batches.num_batches == 0
            last = log.elapsed_s >= span_s if span_s else epoch_ends and epoch == config.num_epochs
            log.after_step(epoch, step, loss, accuracy, lrate, last)
            if last:
                log.close()
                path = checkpoints.write(epoch, step)
                print(f"trained {step} steps in {log.elapsed_s:.0f} s; last checkpoint: {path}")
                return path
            checkpoints.after_step(epoch, step, epoch_ends)
    raise AssertionError("batches.epochs() has no end")


def start_from(checkpoint: str, model: nn.Cell, loss: nn.Cell, meta: dict[str, Any]) -> None:
    """Set the model's weights from a checkpoint, and the classifier's when it was trained on the same speakers."""
    path = find_checkpoint(checkpoint)
    arrays, found = read_checkpoint(path)
    check_settings(found, meta["model"], path)
    check_front_end(meta["front_end"], found["front_end"], str(path))
    assign(model, arrays, "model.", path)
    same_speakers = found["speakers_sha256"] == meta["speakers_sha256"]
    if same_speakers:
        margin = loss.margin.asnumpy().copy()
        assign(loss, arrays, "loss.", path)
        loss.set_margin(float(margin))
    which = "and classifier" if same_speakers else "only, its speakers are others than the store's: new classifier"
    print(f"start from {path}: model {which}")


def _meta(config: Config, batches: TrainBatches) -> dict[str, Any]:
    manifest = batches.manifest
    if config.class_num not in (0, manifest.num_speakers):
        raise InputError(
            f"CLASS_NUM: the configuration says {config.class_num}, {config.train_data_path} has "
            f"{manifest.num_speakers} speakers: set CLASS_NUM: auto or take the other store."
        )
    n_mels = batches.front_end["n_mels"]
    if config.in_channels != n_mels:
        raise InputError(
            f"inChannels: the configuration says {config.in_channels}, {config.train_data_path} has frames of {n_mels} "
            "mel bins: they must be equal."
        )
    return {
        "model": model_settings(config),
        "front_end": batches.front_end,
        "speakers_sha256": manifest.speakers_sha256,
    }


def _optimizer(config: Config, model: nn.Cell, loss: nn.Cell) -> nn.Adam:
    # The rate is set before every step; weight decay spares the batch norms' gamma and beta, as nn.Adam does by itself.
    return nn.Adam(
        [*model.trainable_params(), *loss.trainable_params()],
        learning_rate=config.base_lrate,
        beta1=config.momentum,
        beta2=0.999,
        eps=1e-8,
        weight_decay=config.weight_decay,
    )


def _step_cell(config: Config, model: nn.Cell, loss: nn.Cell) -> TrainStep:
    parts = ModelWithLoss(model, loss), _optimizer(config, model, loss)
    scaler = loss_scaler(config.loss_scale, config.amp_level, config.loss_scale_start, config.loss_scale_window)
    if scaler is None:
        return TrainStep(*parts, config.clip_grad_norm)
    return ScaledTrainStep(*parts, scaler, config.clip_grad_norm)


def _overflow(step_cell: ScaledTrainStep, step: int) -> str:
    """Say that a step's gradients were not finite; raise InputError when no scale can help."""
    if step_cell.scale == 1:
        raise InputError(
            f"the gradients of step {step} are not finite, at a loss scale of 1 or 2: half precision cannot hold them. "
            "Lower max_lrate, or set amp_level: O0."
        )
    return f"step {step}: gradients overflowed, the weights stay; loss scale {step_cell.scale:g}"


def _describe(run: Run, device_target: str) -> None:
    config, manifest = run.config, run.batches.manifest
    millions = sum(parameter.size for parameter in run.step_cell.model_with_loss.model.trainable_params()) / 1e6
    print(f"model: ECAPA-TDNN, {config.channels} channels, {millions:.2f} M parameters, on {device_target}")
    print(
        f"data: {manifest.num_utterances} records of {manifest.num_speakers} speakers, "
        f"{run.batches.num_batches} batches of {config.minibatch_size} x {config.train_frames} frames an epoch"
    )
    if run.batches.online:
        print(
            f"features: computed by {config.num_workers} processes; each crop gets one of "
            f"{', '.join(config.augmentations)}; {run.batches.num_classes} classes"
        )
    if config.max_train_minutes:
        print(f"time: {config.max_train_minutes:g} minutes, whatever num_epochs and step_size say")
