"""The nearest reachable values of one row after the other, with little to do for each.

A walk visits thousands of rows of few columns: what can be prepared for all rows at once is, and
the rest is numpy, which takes a third of the time of torch for so little work.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from cimc.remap.options_types import Options
from cimc.remap.reachable_sums import SumOptions
from cimc.remap.reachable_tables import TableOptions

Floats = npt.NDArray[np.float32]
#: Choices are whole numbers, or weights.
Choices = npt.NDArray[Any]


class Rows(Protocol):
    """The rows of options ``(groups, rows, columns)``."""

    def nearest(self, row: int, wanted: Floats) -> tuple[Floats, Choices]:
        """Return values and choices nearest to weights ``(groups, columns)`` of one row."""
        ...


def rows_of(options: Options) -> Rows:
    """Return options to be asked row after row."""
    if isinstance(options, TableOptions):
        return _TableRows(options)
    if isinstance(options, SumOptions) and options.pairs is None and not options.clamped:
        return _SumRows(options)
    return _AnyRows(options)


class _AnyRows:
    def __init__(self, options: Options) -> None:
        self._options = options

    def nearest(self, row: int, wanted: Floats) -> tuple[Floats, Choices]:
        value, choice = self._options[:, row].nearest(torch.from_numpy(wanted))
        return value.numpy(), choice.numpy()


class _TableRows:
    """The same arithmetic as :meth:`TableOptions.nearest`."""

    def __init__(self, options: TableOptions) -> None:
        scale = options.scale.double()
        factor = torch.where(scale == 0, 0.0, 1.0 / (scale * options.tables.unit))
        self._factor = factor.numpy()
        self._shift = (options.offset * factor).neg_().numpy()
        self._middle = options.tables.middle(options.number).numpy()
        self._scale, self._offset = options.scale.numpy(), options.offset.numpy()
        self._ends, self._values = options.tables.ends.numpy(), options.tables.values.numpy()

    def nearest(self, row: int, wanted: Floats) -> tuple[Floats, Choices]:
        key = wanted * self._factor[:, row]
        key += self._shift[:, row]
        np.minimum(key, 1.5, out=key)
        np.maximum(key, -1.5, out=key)
        key += self._middle[:, row]
        choice = self._ends.searchsorted(key)
        value = self._values.take(choice)
        value *= self._scale[:, row]
        value += self._offset[:, row]
        return value, choice


class _SumRows:
    """The same arithmetic as :meth:`SumOptions.nearest`, where any states may go together."""

    def __init__(self, options: SumOptions) -> None:
        # The table of a weight is that of its column: the same in all rows.
        number = options.number[:, 0]
        table = options.tables.values.reshape(-1, options.states)
        self._table = table[number.long()].movedim(-1, 0).contiguous().numpy()
        self._begin = (number * options.states).numpy()
        self._middle = options.tables.middle(number).numpy()
        self._unit, self._moving = options.tables.unit, options.moving
        self._scale = options.scale.numpy()
        self._inverse = torch.where(options.scale == 0, 0.0, 1.0 / options.scale).numpy()
        self._first = options.first.shift.numpy(), options.first.slope.numpy()
        self._second = options.second.shift.numpy(), options.second.slope.numpy()
        slope = options.second.slope
        self._across = torch.where(slope == 0, 0.0, 1.0 / slope).numpy()
        self._ends, self._values = options.tables.ends.numpy(), options.tables.values.numpy()

    def nearest(self, row: int, wanted: Floats) -> tuple[Floats, Choices]:
        shift, slope = (part[:, row] for part in self._first)
        a = np.maximum(shift + slope * self._table[: self._moving], 0)
        target = a - wanted * self._inverse[:, row]
        shift, slope = (part[:, row] for part in self._second)
        key = ((target - shift) * self._across[:, row]).astype(np.float64)
        key /= self._unit
        np.minimum(key, 1.5, out=key)
        np.maximum(key, -1.5, out=key)
        key += self._middle
        place = self._ends.searchsorted(key)
        b = np.maximum(shift + slope * self._values.take(place), 0)
        best = np.abs(b - target).argmin(0)[None]
        other = np.take_along_axis(place, best, 0)[0] - self._begin
        value = np.take_along_axis(a, best, 0)[0] - np.take_along_axis(b, best, 0)[0]
        return value * self._scale[:, row], best[0] * len(self._table) + other
