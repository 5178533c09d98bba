"""What the cells of the ideal target can still reach: any weight, and what they are stuck at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from cimc.remap.reachable_states import column_numbers
from cimc.remap.reachable_tables import Part, Tables


@dataclass(frozen=True, slots=True)
class SignedOptions:
    """Cells that hold weights; a stuck one has the value of its record, in weight units.

    A choice is the weight itself, float32.

    Attributes:
        stuck: Values of stuck cells, NaN for healthy ones, float32 S.
        tables: Levels healthy cells may have; None: any.
        number: Table of each weight, int32 S.
        shared: None.
    """

    stuck: Tensor
    tables: Tables | None
    number: Tensor
    shared: tuple[Tensor, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        return self.stuck.shape

    @property
    def states_us(self) -> None:
        """None: planes are weights."""
        return None

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values; the choices are the same."""
        value = wanted.to(torch.float32)
        if self.tables is not None:
            value = self.tables.values[self.tables.find(wanted.double(), self.number)]
        value = torch.where(self.stuck.isnan(), value, self.stuck)
        return value, value

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for: themselves."""
        return choice

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return the weights."""
        return (choice,)

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights."""
        return replace(self, stuck=self.stuck[index], number=self.number[index])


def signed_options(stuck: Tensor, levels: Tensor | None) -> SignedOptions:
    """Return what cells that hold weights can reach.

    Args:
        stuck: Values of stuck cells, NaN for healthy ones, ``(groups, rows, columns)``.
        levels: Of healthy cells, ascending, ``(v,)`` or ``(groups * columns, v)``; None: any.
    """
    if levels is None:
        return SignedOptions(stuck, None, column_numbers(1, stuck.shape))
    table = levels.reshape(-1, levels.shape[-1])
    tables = Tables.of([Part(table, (torch.zeros_like(table, dtype=torch.uint8),))])
    return SignedOptions(stuck, tables, column_numbers(len(table), stuck.shape))
