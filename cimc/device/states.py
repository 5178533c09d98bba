"""Tables of cell states: what conductance an index stands for."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Cells looked up at a time, where columns differ: their indices stay in the cache.
_AT_ONCE: Final = 1 << 16


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
    kind = torch.int32 if states_us.numel() < 1 << 31 else torch.int64
    begins = torch.arange(groups * columns, dtype=kind, device=plane.device)
    begins = (begins * states_us.shape[1]).reshape(groups, 1, columns)
    flat = states_us.reshape(-1)
    out = torch.empty(plane.shape, dtype=states_us.dtype, device=plane.device)
    # Several small matrices at a time, or several rows of a large one.
    some, few = max(1, _AT_ONCE // (rows * columns)), max(1, _AT_ONCE // columns)
    for g in range(0, groups, some):
        for r in range(0, rows, few if some == 1 else rows):
            part = slice(g, g + some), slice(r, r + few if some == 1 else rows)
            index = (plane[part].to(kind) + begins[g : g + some]).reshape(-1)
            torch.index_select(flat, 0, index, out=out[part].view(-1))
    return out
