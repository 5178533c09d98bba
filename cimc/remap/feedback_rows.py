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
    return _TableRows(options) if isinstance(options, TableOptions) else _AnyRows(options)


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
