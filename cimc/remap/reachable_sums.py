"""Weights ``scale * (A - B)`` of two cells that each have states of their own.

With measured gains no two weights share a table.  For every state of A the best of B is found in
the list of states, on the straight line that B is: ``O(v log v)`` a weight for ``v`` states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import torch
from torch import Tensor

from cimc.remap.reachable_cells import CellLines
from cimc.remap.reachable_states import StuckCells
from cimc.remap.reachable_tables import Part, Tables

#: Candidates at a time: they stay in the cache.
_AT_ONCE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class SumOptions:
    """Weights ``scale * (A - B)``.

    A choice is ``s * (state of A) + state of B`` for ``s`` states, int32.

    Attributes:
        tables: States of the cells, one table or one a column.
        states_us: The same as cells have it [uS].
        number: Table of each weight, int32 S.
        scale: Weight units per uS, float32 S.
        first: Cells A, S.
        second: Cells B, S.
        stuck: Of A and B.
        moving: States of A tried [-]: all, or 1 where A is known.
        clamped: Whether any cell would be negative by its gain.
        pairs: States of A and B that weights with ``free`` may take, int32 ``(tables, v)`` each;
            None: any.
        free: Whether both cells are healthy, bool S.
        kept: Which of A and B are cells of the weight's own.
        shared: Planes of cells that weights share.
    """

    tables: Tables
    states_us: Tensor
    number: Tensor
    scale: Tensor
    first: CellLines
    second: CellLines
    stuck: tuple[StuckCells, StuckCells]
    moving: int
    clamped: bool
    pairs: tuple[Tensor, Tensor] | None
    free: Tensor
    kept: tuple[int, ...] = (0, 1)
    shared: tuple[Tensor, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        return self.number.shape

    @property
    def states(self) -> int:
        """States of a cell [-]."""
        return self.states_us.shape[-1]

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values and their choices."""
        wanted = wanted.to(torch.float32)
        inverse = torch.where(self.scale == 0, 0.0, 1.0 / self.scale)
        delta = wanted * inverse
        tried = self.moving if self.pairs is None else max(self.moving, self.pairs[0].shape[1])
        best = torch.full(delta.shape, torch.inf)
        choice = torch.zeros(delta.shape, dtype=torch.int32)
        step = max(1, _AT_ONCE // max(1, delta.numel()))
        for start in range(0, tried, step):
            number = torch.arange(start, min(start + step, tried), dtype=torch.int32)
            number = number.reshape(-1, *[1] * delta.ndim)
            away, found = self._try(delta, number)
            away, at = away.min(0)
            found = torch.gather(found, 0, at[None])[0]
            choice = torch.where(away < best, found, choice)
            best = torch.minimum(away, best)
        return self.values(choice), choice

    def _try(self, delta: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance and choice for some states of A, each with the best of B."""
        state = number.clamp(max=self.moving - 1)
        given = None
        if self.pairs is not None:
            at = number.clamp(max=self.pairs[0].shape[1] - 1) + self._first_of(self.pairs[0])
            state = torch.where(self.free, self.pairs[0].reshape(-1)[at], state)
            given = self.pairs[1].reshape(-1)[at]
        a = self.first.conductance(self._look_up(state))
        target = a - delta
        programmed = self.second.programmed(target).double()
        other = self.tables.find(programmed, self.number) - self.number * self.states
        if given is not None:
            other = torch.where(self.free, given, other)
        away = self._distance(target, other)
        if self.clamped:  # what lies below 0 in the list is 0: neighbours may be nearer
            for near in (other - 1, other + 1):
                near = near.clamp(0, self.states - 1)
                new = self._distance(target, near)
                better = new < away if given is None else (new < away) & ~self.free
                other, away = torch.where(better, near, other), torch.where(better, new, away)
        return away, state * self.states + other

    def _distance(self, target: Tensor, state: Tensor) -> Tensor:
        return (self.second.conductance(self._look_up(state)) - target).abs_()

    def _first_of(self, table: Tensor) -> Tensor:
        """Return where the entries of each weight begin in a flattened table."""
        return self.number * table.shape[1] if len(table) > 1 else torch.zeros_like(self.number)

    def _look_up(self, state: Tensor) -> Tensor:
        """Return what states of the cells of each weight are [uS]."""
        return self.tables.values[state + self.number * self.states]

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for."""
        first = torch.div(choice, self.states, rounding_mode="floor")
        a = self.first.conductance(self._look_up(first))
        b = self.second.conductance(self._look_up(choice - first * self.states))
        return (a - b) * self.scale

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return the states of the weight's own cells, uint8."""
        first = torch.div(choice, self.states, rounding_mode="floor")
        both = (first, choice - first * self.states)
        return tuple(self.stuck[k].over(both[k], self.states_us) for k in self.kept)

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights."""
        return replace(
            self,
            number=self.number[index],
            scale=self.scale[index],
            first=self.first[index],
            second=self.second[index],
            stuck=(self.stuck[0][index], self.stuck[1][index]),
            free=self.free[index],
        )


def state_tables(states_us: Tensor) -> Tables:
    """Return the states of cells as tables: one, or one a column."""
    table = states_us.reshape(-1, states_us.shape[-1])
    number = torch.arange(table.shape[1], dtype=torch.uint8).expand(table.shape)
    return Tables.of([Part(table, (number,))])
