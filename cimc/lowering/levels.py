"""The levels that the cells of a layer stand for: a codebook read off its planes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.device.states import look_up
from cimc.ir.layer import Cells, Codebook

#: Most levels of a codebook: a code is a byte.
LEVELS: Final = 256
#: Most kinds of weights, by the states of their cells; weights looked at together [-].
_KINDS, _AT_ONCE = 256, 1 << 16


def codebook_of(cells: Cells, matrix: Tensor) -> Codebook | None:
    """Return the codebook whose levels are the weights there are.

    Args:
        cells: Of a layer.
        matrix: The weights they stand for, float32 ``(groups, rows, columns)``.

    Returns:
        Levels of the layer, or of each column where columns have states or gains of their own
        (columns with fewer levels than others repeat their highest).  None where cells are
        analog, or there are more levels than a code can name.
    """
    if cells.states_us is None:
        return None
    if cells.states_us.ndim == 1 and cells.gain.numel() == 1:
        levels, codes = torch.unique(matrix, return_inverse=True)
        return Codebook(levels, codes.to(torch.uint8)) if len(levels) <= LEVELS else None
    found = _of_states(cells, matrix)
    if found is not None:
        kinds, values = found
        ranked = _ranked(values)
        if ranked is None:
            return None
        levels, rank = ranked
        return Codebook(levels, look_up(rank, kinds))
    groups, rows, columns = matrix.shape
    ranked = _ranked(matrix.transpose(1, 2).reshape(groups * columns, rows))
    if ranked is None:
        return None
    levels, codes = ranked
    return Codebook(levels, codes.reshape(groups, columns, rows).transpose(1, 2).contiguous())


def _of_states(cells: Cells, matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the weights by the states of their cells: many weights, few kinds of them.

    Returns:
        Kind of each weight, uint8 in the shape of the matrix, and the weight of each kind in each
        column, ``(groups * columns, kinds)``; kinds a column does not have repeat one it has.
        None where there are too many kinds, or states do not say all.
    """
    assert cells.states_us is not None
    states = cells.states_us.shape[-1]
    count = states ** len(cells.planes)
    if count > _KINDS or any(p.shape != matrix.shape for p in cells.planes) or not matrix.numel():
        return None
    kinds = torch.zeros(matrix.shape, dtype=torch.uint8)
    for plane in cells.planes:
        kinds.mul_(states).add_(plane)
    groups, rows, columns = matrix.shape
    values = torch.full((groups, columns * count), torch.nan)
    begins = torch.arange(columns) * count
    step = max(1, _AT_ONCE // columns)
    for g in range(groups):
        for r in range(0, rows, step):
            some = slice(r, r + step)
            places = (kinds[g, some] + begins).reshape(-1)
            values[g].scatter_(0, places, matrix[g, some].reshape(-1))
    values = values.reshape(groups * columns, count)
    if not bool((look_up(values, kinds) == matrix).all()):
        return None
    first = matrix[:, 0].reshape(-1, 1)
    return kinds, torch.where(values.isnan(), first, values)


def _ranked(flat: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the different values of each row, ascending, and which of them each value is.

    Args:
        flat: ``(lists, n)``.

    Returns:
        ``(lists, most)``, the last repeated in shorter lists, and uint8 ``(lists, n)``; None where
        a byte cannot say which.
    """
    ordered, place = torch.sort(flat, dim=1, stable=True)
    rank = torch.cat([torch.zeros_like(place[:, :1]), (ordered.diff(dim=1) > 0).cumsum(1)], 1)
    count = int(rank[:, -1].max()) + 1
    if count > LEVELS:
        return None
    levels = ordered[:, -1:].repeat(1, count).scatter_(1, rank, ordered)
    return levels, torch.empty_like(rank).scatter_(1, place, rank).to(torch.uint8)
