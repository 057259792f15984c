"""The ranks that train together."""

import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.config import Config
from mindvox.device import set_device
from mindvox.errors import InputError, UsageError
from mindvox.training.launch import LEFT_VARIABLE

ROLE = "MS_ROLE"  # set by msrun
NODE = "MS_NODE_ID"
DEVICE = "DEVICE_ID"
SCHEDULER = "MS_SCHED"


@dataclass(frozen=True)
class World:
    """One rank of a training.

    Args:
        rank: index of this rank, from 0; rank 0 writes and prints.
        size: number of ranks.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank writes and prints."""
        return self.rank == 0

    def gather(self, *values: float) -> np.ndarray:
        """Return the values of every rank, (size, number of values), float32; all ranks must call this together.

        Without values, it only waits for the slowest rank.
        """
        mine = np.zeros(
            (self.size, len(values) + 1), np.float32
        )  # one extra value, because an empty array cannot be sent
        mine[self.rank, :-1] = values
        return (mine if self.size == 1 else self._sum(Tensor(mine)).asnumpy())[:, :-1]

    def refuse_difference(self, state: Mapping[str, Parameter], step: int) -> None:
        """Raise InputError on all ranks unless their parameters are bitwise equal.

        Ranks whose weights diverge keep running silently, each training a different model.

        Args:
            state: parameters by name, with the same names on all ranks. Batch norm statistics, which have no gradients,
                and sum.*, gradients that are not yet averaged, may differ.
            step: number of finished steps, for the message.
        """
        if self.size == 1:
            return
        checksum = 0
        for name, value in sorted(state.items()):
            if value.requires_grad and not name.startswith("sum."):
                checksum = zlib.crc32(value.asnumpy().tobytes(), checksum)
        found = self.gather(checksum >> 16, checksum & 0xFFFF)  # 16 bits are exact in float32
        others = [rank for rank in range(self.size) if (found[rank] != found[0]).any()]
        if others:
            raise InputError(
                f"after {step} steps the weights of rank {', '.join(map(str, others))} differ from those of rank 0. "
                f"Start "
                "all ranks with the same code, configuration and MindSpore, and resume from an earlier checkpoint."
            )

    @cached_property
    def _sum(self) -> nn.Cell:
        return _SumOverRanks()


def leave_world(config: Config) -> None:
    """End this process with exit code 0 if it is one of several. Call it when all work is done and all files are
    closed.

    MindSpore 2.10 ends its threads in no fixed order when Python exits: it prints lines of its log, and on a busy
    machine it can crash (SIGSEGV) after a successful training.
    """
    if not config.run_distribute:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if LEFT_VARIABLE in os.environ:  # the launcher waits for this file
        Path(os.environ[LEFT_VARIABLE], f"left-{os.environ[NODE]}").touch()
    os._exit(0)


class _SumOverRanks(nn.Cell):
    """The only reduction of MindSpore 2.10's CPU backend, which has no barrier either."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.sum = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, x: Tensor) -> Tensor:
        return self.sum(x)


def join_world(config: Config) -> tuple[str, World]:
    """Select this process's device, connect to the other ranks, and return the device target and the world.

    Call it before any other use of MindSpore. msrun's scheduler runs the same program, and ends here.

    Raises:
        UsageError: run_distribute does not match how the program was started.
        InputError: the installed MindSpore does not support the device target here.
    """
    if config.run_distribute and ROLE not in os.environ:
        raise UsageError(
            "run_distribute: several devices need several processes: bash scripts/run_distribute_train.sh "
            "RANK_TABLE_FILE [--key=value ...] starts them and sets this key; docs/distributed.md."
        )
    if not config.run_distribute:
        if ROLE in os.environ:
            raise UsageError(f"run_distribute: msrun started this process ({ROLE} is set): set run_distribute: true.")
        return set_device(config.device_target, config.device_id), World()
    target = set_device(config.device_target, int(os.environ.get(DEVICE, config.device_id)))
    ms.communication.init()  # the scheduler returns from it when all workers have gone
    if os.environ[ROLE] == SCHEDULER:
        sys.exit(0)
    # MindSpore's data-parallel mode is not used: the step averages gradients (MeanOverRanks), weights are drawn from
    # one seed everywhere, and that mode can broadcast in graphs that only one rank compiles, as for validation.
    return target, World(ms.communication.get_rank(), ms.communication.get_group_size())
