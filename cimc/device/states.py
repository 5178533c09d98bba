"""Tables of cell states: what conductance an index stands for."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Cells looked up at a time: the index of a cell takes 8 bytes while it is.
_AT_ONCE: Final = 1 << 20


def look_up(states_us: Tensor, plane: Tensor) -> Tensor:
    """Return the conductances of cells.

    Args:
        states_us: One table, ``(s,)``, or one for each column, ``(groups * columns, s)`` [uS].
        plane: Index of each cell's state, uint8 ``(groups, rows, columns)``; with one table any
            shape.

    Returns:
        float32 in the shape of ``plane`` [uS].
    """
    if states_us.ndim == 1:
        index = plane.reshape(-1).to(torch.int32)
        return states_us.index_select(0, index).reshape(plane.shape)
    groups, rows, columns = plane.shape
    tables = states_us.reshape(groups, columns, -1).transpose(1, 2)
    out = torch.empty(plane.shape, dtype=states_us.dtype, device=plane.device)
    step = max(1, _AT_ONCE // (groups * columns))
    for first in range(0, rows, step):
        part = slice(first, first + step)
        out[:, part] = torch.gather(tables, 1, plane[:, part].to(torch.int64))
    return out
