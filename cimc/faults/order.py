"""Faulty cells in their order: by array, row, column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Cells = npt.NDArray[np.int32]
Values = npt.NDArray[np.float32]


def steps(cells: Cells) -> npt.NDArray[np.int8]:
    """Return how each cell but the first lies to the one before it, int8 ``(n - 1,)``.

    1: after it, 0: at the same place, -1: before it.
    """
    out = np.zeros(max(len(cells) - 1, 0), np.int8)
    for column in (2, 1, 0):  # the first number that differs decides
        left, right = cells[:-1, column], cells[1:, column]
        np.copyto(out, 1, where=right > left)
        np.copyto(out, -1, where=right < left)
    return out


def in_order(cells: Cells, values: Values) -> tuple[Cells, Values]:
    """Return cells int32 ``(n, 4)`` and what belongs to them, sorted by array, row and column."""
    if (steps(cells) >= 0).all():
        return cells, values
    order = np.lexsort((cells[:, 2], cells[:, 1], cells[:, 0]))
    return np.ascontiguousarray(cells[order]), values[order]
