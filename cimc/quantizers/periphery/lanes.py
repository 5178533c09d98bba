"""What the bit lines of a layer see of its cells, current by current."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cimc.device.states import look_up
from cimc.ir.layer import CrossbarLayer
from cimc.quantizers.periphery.currents import Lane


def lanes_of(layer: CrossbarLayer, *, subtracted_after: bool) -> tuple[Lane, ...]:
    """Return the currents of a weight column that are converted one by one.

    Args:
        layer: With its cells.
        subtracted_after: The two sides of a pair are converted, then subtracted.
    """
    cells = layer.cells
    assert cells is not None
    states = cells.states_us
    planes = [p if states is None else look_up(states, p) for p in cells.planes]
    if layer.encoding == "differential-pair":
        if subtracted_after:
            return Lane(planes[0]), Lane(planes[1], -1.0)
        return (Lane(planes[0] - planes[1]),)
    if layer.encoding == "offset-column":
        tile = _column_tiles(layer)
        return (Lane(planes[0] - planes[1].index_select(2, tile)),)
    if layer.encoding == "bit-sliced" and cells.multipliers is None:
        return (Lane(torch.stack(planes).sum(0)),)
    if cells.multipliers is not None:
        factors = [float(f) if f.ndim == 0 else f for f in cells.multipliers]
        return tuple(Lane(p, f) for p, f in zip(planes, factors, strict=True))
    if layer.encoding == "bit-sliced" and cells.multipliers is not None:
        return tuple(map(Lane, planes, cells.multipliers))
    return (Lane(torch.stack(planes).sum(0)),)


def _column_tiles(layer: CrossbarLayer) -> Tensor:
    """Return the column tile of each column, int64 ``(columns,)``."""
    assert layer.tiles is not None
    first = np.unique(layer.tiles[:, 4])
    columns = np.arange(layer.geometry.columns)
    return torch.from_numpy(np.searchsorted(first, columns, side="right") - 1)
