"""A training run that a SIGKILL ends, in a process of its own."""

import multiprocessing
import os
import signal
from contextlib import nullcontext

from mindvox.config import Config
from mindvox.training.loop import Observer, train
from mindvox.training.position import Position
from tests.small_model import in_place_of_ecapa

# Forked from a process that has imported all and has computed nothing: MindSpore does not survive a fork later.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class _Killer(Observer):
    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, position: Position, loss: float) -> None:
        if position.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def _run(config: Config, step: int, is_small: bool) -> None:
    with in_place_of_ecapa() if is_small else nullcontext():
        train(config, observer=_Killer(step))


def train_until_killed(config: Config, step: int, is_small: bool = True) -> None:
    """Train as `config` says until a SIGKILL after a step.

    Args:
        is_small: whether the small model is in ECAPA-TDNN's place.
    """
    process = PROCESSES.Process(target=_run, args=(config, step, is_small))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
