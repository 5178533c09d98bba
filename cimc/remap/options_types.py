"""What a batch of weights can reach with the cells it has: the types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class Options(Protocol):
    """A batch of weights, each with a set of reachable values of its own.

    A *choice* names one of them; what its numbers mean is up to the encoding.  Values are weights
    as the executor has them in ideal mode: stuck cells where they are stuck, known gains applied,
    exact arithmetic.

    Attributes:
        shape: Of the batch, S.
    """

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        ...

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values, and how to get them.

        The nearest of all states of all cells, up to float32 rounding.  Of two values equally
        near the lower in its table wins: the result is the same on every machine.

        Args:
            wanted: Weights, ``(*lead, *S)``.

        Returns:
            Values, float32, and choices, both in the shape of ``wanted``.
        """
        ...

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for, float32 ``(*lead, *S)``."""
        ...

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return what each device plane holds, ``(*lead, *S)`` each.

        State indices, uint8, or conductances, float32 [uS] (see :attr:`states_us`).  A stuck
        cell has the state nearest to its conductance.
        """
        ...

    @property
    def states_us(self) -> Tensor | None:
        """Table that :meth:`planes` are indices into; None where they are conductances [uS]."""
        ...

    @property
    def shared(self) -> tuple[Tensor, ...]:
        """Planes besides, of cells that many weights share; the same whatever is chosen."""
        ...

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights: S indexed as a tensor is."""
        ...


@dataclass(frozen=True, slots=True)
class CellFaults:
    """What is known to be wrong with the cells of a layer, in logical order.

    Attributes:
        stuck_us: Per device plane, in the shape of the plane, float32: conductance of stuck cells
            [uS], NaN for healthy ones.
        gain_lrs: Per plane, factor of the highest state of each cell, float32 [-]; None: 1.
        gain_hrs: The same of the lowest state.
    """

    stuck_us: tuple[Tensor, ...]
    gain_lrs: tuple[Tensor, ...] | None = None
    gain_hrs: tuple[Tensor, ...] | None = None

    @property
    def has_gains(self) -> bool:
        """Whether end states were measured."""
        return self.gain_lrs is not None or self.gain_hrs is not None

    @classmethod
    def none(cls, planes: tuple[Tensor, ...]) -> CellFaults:
        """Return the faults of planes of these shapes without any."""
        return cls(tuple(torch.full(p.shape, torch.nan) for p in planes))
