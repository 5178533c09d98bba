"""Data-parallel training under ``torchrun``: every process takes its share of every batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cimc.errors import UsageError

T = TypeVar("T")

#: For gloo's threads to let go of the last tensors; microseconds are usual [s].
_LET_GO_S = 0.2


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a training run.

    Attributes:
        rank: This one, from 0.
        size: How many [-].
        device: Where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's share of a list: consecutive, sizes differ by one at most."""
        count = len(items)
        return items[count * self.rank // self.size : count * (self.rank + 1) // self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes; every process gets the same bits."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agree(self, number: int) -> bool:
        """Whether a number is the mean of that of all processes: it is the same in all."""
        if self.size == 1:
            return True
        total = self.sum(torch.tensor(number, dtype=torch.int64, device=self.device))
        return int(total) == number * self.size

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()

    def reduce_gradients(self, parameters: Sequence[nn.Parameter], *also: Tensor) -> list[Tensor]:
        """Add up the gradients of all processes, in one message.

        A parameter that has no gradient in any process keeps none.

        Args:
            parameters: The same in every process; their gradients are replaced by sums.
            also: Scalars to add up in the same message.

        Returns:
            The sums of ``also``.
        """
        if self.size == 1:
            return [a.detach() for a in also]
        here = [p.grad is not None for p in parameters]
        device = parameters[0].device
        flags = torch.tensor(here, dtype=torch.float32, device=device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat(
            [g.detach().reshape(-1).float() for g in grads]
            + [flags, *(a.detach().reshape(1).float() for a in also)]
        )
        dist.all_reduce(flat)
        sizes = [p.numel() for p in parameters]
        sums = torch.split(flat, [*sizes, len(here), *([1] * len(also))])
        anywhere = sums[len(parameters)].tolist()
        for parameter, total, count in zip(parameters, sums, anywhere, strict=False):
            parameter.grad = total.view_as(parameter).to(parameter.dtype) if count else None
        return [s.reshape(()) for s in sums[len(parameters) + 1 :]]


@contextmanager
def processes(device: torch.device | str) -> Iterator[Ranks]:
    """Yield the processes of this run: those ``torchrun`` started, or this one alone.

    The group is opened with gloo on CPU, NCCL on GPU, unless the caller has opened one, and
    closed again.

    Args:
        device: What this process computes on.

    Raises:
        UsageError: CIMC-U02, the variables of ``torchrun`` are
            incomplete or no numbers.
    """
    if dist.is_available() and dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
        return
    ranks = replace(from_environment(), device=device)
    if ranks.size == 1:
        yield ranks
        return
    dist.init_process_group("nccl" if torch.device(device).type == "cuda" else "gloo")
    try:
        yield ranks
        # Who leaves first takes connections with it that others may still be reading.
        dist.barrier()
        # gloo's threads still hold tensors of Python's, and let go of them with the interpreter's
        # lock: one that asks for it when the interpreter has ended aborts the process.
        time.sleep(_LET_GO_S)
    finally:
        dist.destroy_process_group()


def from_environment() -> Ranks:
    """Return what ``torchrun`` says: RANK and WORLD_SIZE; one process without them.

    Raises:
        UsageError: CIMC-U02, they are incomplete or no numbers.
    """
    size, rank = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK", "0")
    if not size.isdecimal() or not rank.isdecimal() or int(rank) >= max(1, int(size)):
        raise UsageError(
            "CIMC-U02",
            f"RANK={rank!r} and WORLD_SIZE={size!r} are not a process and a number of processes",
            where="the environment",
            hint="starting with torchrun, or unsetting both",
        )
    return Ranks(int(rank), max(1, int(size)))


def local_device(device: str) -> str:
    """Return the device of this process: with several GPUs, ``cuda`` is the one of LOCAL_RANK."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device
