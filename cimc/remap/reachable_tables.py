"""Weights whose reachable values are a shared table, scaled and shifted for each.

All tables stand in one ascending list, table ``k`` around ``4 k``, so that one binary search
finds the nearest value of every weight of a batch, each in its own table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from cimc.device.states import look_up
from cimc.remap.reachable_states import StuckCells

#: Distance of the middles of two tables; values are scaled to [-1, 1].
_APART = 4.0
#: Values nearer to each other than this share of the largest are one (rounding of states).
_SAME = 2.0**-22
#: Levels of a column that are worth looking up beforehand [-].
MOST_LEVELS = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Some tables of equal length.

    Attributes:
        values: Ascending along the last axis, ``(tables, v)``.
        states: State of the cell of each plane that gives them, uint8 of the same shape.
    """

    values: Tensor
    states: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables of values, one after the other.

    Attributes:
        ends: Where a value of the list ends and the next begins, float64 ``(n - 1,)``.
        values: float32 ``(n,)`` [uS].
        states: State of each plane's cell, uint8 ``(n,)`` each.
        unit: What a value is divided by to lie in [-1, 1] [uS].
    """

    ends: Tensor
    values: Tensor
    states: tuple[Tensor, ...]
    unit: float

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Tables:
        """Return the tables of all parts, numbered in that order."""
        unit = max(float(p.values.abs().max()) for p in parts) or 1.0
        ends, first = [], 0
        for part in parts:
            tables = len(part.values)
            wide = part.values.double() / unit
            middle = torch.cat([(wide[:, 1:] + wide[:, :-1]) / 2, torch.full((tables, 1), 2.0)], 1)
            number = torch.arange(first, first + tables, dtype=torch.float64)
            ends.append((middle + _APART * number[:, None]).reshape(-1))
            first += tables
        values = torch.cat([p.values.reshape(-1) for p in parts]).to(torch.float32)
        planes = range(len(parts[0].states))
        states = tuple(torch.cat([p.states[k].reshape(-1) for p in parts]) for k in planes)
        return cls(torch.cat(ends)[:-1].contiguous(), values, states, unit)

    def middle(self, number: Tensor) -> Tensor:
        """Return where in the list tables have their 0, float64."""
        return number.to(torch.float64) * _APART

    def find(self, wanted: Tensor, number: Tensor) -> Tensor:
        """Return where in the list the nearest values are, int32.

        Args:
            wanted: float64 [uS].
            number: Table of each, broadcast against ``wanted``.
        """
        key = (wanted * (1.0 / self.unit)).clamp_(-1.5, 1.5).add_(number, alpha=_APART)
        return torch.bucketize(key.contiguous(), self.ends, out_int32=True)


def merged(
    values: Tensor, states: tuple[Tensor, ...], cost: Tensor, *, same: float = _SAME
) -> Part:
    """Return tables sorted, with one and the same entry wherever values differ by rounding only.

    Args:
        values: ``(tables, v)``, in any order.
        states: Of each plane, of the same shape.
        cost: Of each entry, 0 to 1; of equal values the cheapest is taken.
        same: Share of the largest value by which neighbours may differ and yet be one.
    """
    values = values.double()
    near = same * float(values.abs().max())
    order = torch.argsort(values, dim=1, stable=True)
    ordered = torch.gather(values, 1, order)
    new = torch.diff(ordered, dim=1, prepend=ordered[:, :1]) > near
    run = new.cumsum(1)
    rank = torch.argsort(run + torch.gather(cost.double(), 1, order) / 2, dim=1, stable=True)
    # The first of each run in this order stands for all of it; runs keep their places.
    first = torch.searchsorted(run, run)
    best = torch.gather(order, 1, torch.gather(rank, 1, first))
    table = torch.gather(values, 1, best)
    found = tuple(torch.gather(s, 1, best) for s in states)
    if len(table) == 1:
        kept = torch.diff(run[0], prepend=run.new_tensor([-1])) > 0
        return Part(table[:, kept], tuple(s[:, kept] for s in found))
    return Part(table, found)


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Weights with reachable values ``scale * table[number] + offset``.

    A choice is the place of the value in the list of all tables, int32.

    Attributes:
        tables: All tables.
        states_us: What the states are [uS].
        number: Table of each weight, int32 S.
        scale: Weight units per uS, float32 S.
        offset: Weight units, float32 S.
        stuck: Per plane, the stuck cells.
        shared: Planes of cells that weights share.
        usual: Of the layer as a whole, table of the weights of a column without faults, which have
            no offset, int32 ``(groups, 1, columns)``; None: not known.
    """

    tables: Tables
    states_us: Tensor
    number: Tensor
    scale: Tensor
    offset: Tensor
    stuck: tuple[StuckCells, ...]
    shared: tuple[Tensor, ...] = ()
    usual: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        return self.number.shape

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values and their choices."""
        inverse = torch.where(self.scale == 0, 0.0, 1.0 / self.scale.double())
        choice = self.tables.find((wanted.double() - self.offset).mul_(inverse), self.number)
        return self.values(choice), choice

    def nearest_to_levels(
        self, wanted: Tensor, levels: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what :meth:`nearest` does, for weights that are mostly at levels.

        Weights at the same level of the same column with the same table have the same choice: it
        is found once; weights with faults, and those elsewhere, are looked up one by one.

        Args:
            wanted: Weights, S.
            levels: ``(v,)`` or ``(groups * columns, v)``.
            codes: Level each weight should be at, uint8 S.
        """
        if self.usual is None or levels.shape[-1] > MOST_LEVELS:
            return self.nearest(wanted)
        groups, _, columns = self.shape
        table = levels.expand(groups * columns, -1).contiguous()
        scale = self.scale[:, 0].reshape(-1, 1)
        inverse = torch.where(scale == 0, 0.0, 1.0 / scale.double())
        found = self.tables.find(table.double().mul_(inverse), self.usual.reshape(-1, 1))
        choice = look_up(found, codes)
        at_level = (look_up(table, codes) == wanted).logical_and_(self.number == self.usual)
        rest = torch.nonzero(at_level.logical_not_(), as_tuple=True)
        if len(rest[0]):
            scale = self.scale[rest]
            inverse = torch.where(scale == 0, 0.0, 1.0 / scale.double())
            places = (wanted[rest].double() - self.offset[rest]).mul_(inverse)
            choice[rest] = self.tables.find(places, self.number[rest])
        return self.values(choice), choice

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for."""
        found = self.tables.values.index_select(0, choice.reshape(-1)).reshape(choice.shape)
        return torch.addcmul(self.offset, found, self.scale)

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return the state of the cell of each plane, uint8."""
        flat = choice.reshape(-1)
        found = []
        for states, stuck in zip(self.tables.states, self.stuck, strict=True):
            state = states.index_select(0, flat).reshape(choice.shape)
            found.append(stuck.over(state, self.states_us))
        return tuple(found)

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights."""
        return type(self)(
            self.tables,
            self.states_us,
            self.number[index],
            self.scale[index],
            self.offset[index],
            tuple(s[index] for s in self.stuck),
            self.shared,
        )
