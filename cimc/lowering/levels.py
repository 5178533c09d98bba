"""The levels that the cells of a layer stand for: a codebook read off its planes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.ir.layer import Cells, Codebook

#: Most levels of a codebook: a code is a byte.
LEVELS: Final = 256


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
    return _of_columns(matrix)


def _of_columns(matrix: Tensor) -> Codebook | None:
    groups, rows, columns = matrix.shape
    flat = matrix.transpose(1, 2).reshape(groups * columns, rows)
    ordered, place = torch.sort(flat, dim=1, stable=True)
    rank = torch.cat([torch.zeros_like(place[:, :1]), (ordered.diff(dim=1) > 0).cumsum(1)], 1)
    count = int(rank[:, -1].max()) + 1
    if count > LEVELS:
        return None
    levels = ordered[:, -1:].repeat(1, count).scatter_(1, rank, ordered)
    codes = torch.empty_like(rank).scatter_(1, place, rank).to(torch.uint8)
    return Codebook(levels, codes.reshape(groups, columns, rows).transpose(1, 2).contiguous())
