"""States of cells: the nearest to a conductance, and numbers of columns for every weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import Tensor

#: Conductances that are told apart, and looked up column by column, at most [-].
_FEW: Final = 32
#: The same without sorting them first [-].
_FEWEST: Final = 4


def per_weight(value: Tensor, shape: torch.Size) -> Tensor:
    """Return a number of the layer or of each column for every weight, a view.

    Args:
        value: ``(1,)`` or ``(groups * columns,)``.
        shape: ``(groups, rows, columns)``.
    """
    if value.numel() == 1:
        return value.reshape(1, 1, 1).expand(shape)
    return value.reshape(shape[0], 1, shape[2]).expand(shape)


def column_numbers(tables: int, shape: torch.Size) -> Tensor:
    """Return the table of each weight, int32, a view of ``shape``: one for all, or one a column.

    Args:
        tables: How many there are.
        shape: ``(groups, rows, columns)``.
    """
    if tables == 1:
        return torch.zeros(1, 1, 1, dtype=torch.int32).expand(shape)
    own = torch.arange(shape[0] * shape[2], dtype=torch.int32)
    return own.reshape(shape[0], 1, shape[2]).expand(shape)


@dataclass(frozen=True, slots=True)
class StuckCells:
    """What of one plane is stuck.

    Attributes:
        us: Conductances of stuck cells, NaN for healthy ones, float32 S [uS].
        column: Column of each, int32 S (a view).
    """

    us: Tensor
    column: Tensor

    @classmethod
    def of(cls, stuck_us: Tensor) -> StuckCells:
        """Return the stuck cells of a plane ``(groups, rows, columns)``."""
        return cls(stuck_us, column_numbers(stuck_us.shape[0] * stuck_us.shape[2], stuck_us.shape))

    def over(self, state: Tensor, states_us: Tensor) -> Tensor:
        """Return states, ``(*lead, *S)``, with those nearest to stuck cells in their place.

        Args:
            state: What healthy cells have.
            states_us: In any order, ``(s,)`` or ``(columns, s)`` [uS].

        Returns:
            uint8; the first of states equally near.
        """
        found = state.to(torch.uint8)
        hit = torch.nonzero(~self.us.isnan(), as_tuple=True)
        if not len(hit[0]):
            return found
        if found is state:
            found = found.clone()
        index: tuple[Any, ...] = (..., *hit)
        found[index] = nearest_state(self.us[hit], states_us, self.column[hit])
        return found

    def __getitem__(self, index: Any) -> Self:
        """Return some of the cells."""
        return type(self)(self.us[index], self.column[index])


def nearest_state(g_us: Tensor, states_us: Tensor, column: Tensor) -> Tensor:
    """Return the state nearest to each conductance, uint8; the first of states equally near.

    Args:
        g_us: Conductances, any shape [uS].
        states_us: In any order, ``(s,)`` or ``(columns, s)`` [uS].
        column: Whose table, in the shape of ``g_us``; of no account with one table.
    """
    wide, table = g_us.double(), states_us.double()
    if table.ndim == 1:
        table, order = table.sort(stable=True)
        return order[torch.bucketize(wide, (table[1:] + table[:-1]) / 2)].to(torch.uint8)
    # A chip's stuck cells have few conductances, mostly two: each column answers once for each.
    values, left = list[float](), wide
    while len(left) and len(values) < _FEWEST:
        values.append(float(left[0]))
        left = left[left != values[-1]]
    if not len(left):
        found = torch.zeros(wide.shape, dtype=torch.uint8)
        for value in values:
            state = (table - value).abs_().argmin(1).to(torch.uint8)
            at = torch.nonzero(wide == value, as_tuple=True)
            found[at] = state[column[at].to(torch.int64)]
        return found
    return _nearest_of_few(wide, table, column)


def _nearest_of_few(wide: Tensor, table: Tensor, column: Tensor) -> Tensor:
    """Return the state nearest to each of conductances of which some may be equal, uint8."""
    values, which = torch.unique(wide, return_inverse=True)
    if len(values) > _FEW:
        return _nearest_of_each(wide, table, column)
    found = torch.empty((len(values), len(table)), dtype=torch.uint8)
    for k, value in enumerate(values.tolist()):
        found[k] = (table - value).abs_().argmin(1)
    return found[which, column.to(torch.int64)]


def _nearest_of_each(wide: Tensor, table: Tensor, column: Tensor) -> Tensor:
    """Return the state nearest to each of many different conductances, uint8."""
    away = torch.full_like(wide, torch.inf)
    found = torch.zeros(wide.shape, dtype=torch.uint8)
    for number, states in enumerate(table.T):
        new = (wide - states[column]).abs_()
        found[new < away] = number
        away = torch.minimum(away, new)
    return found
