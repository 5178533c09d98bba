"""How much of the arrays a program uses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import TILE_FIELDS, Layout
from cimc.program.model import ProgramLayer

_ROWS = TILE_FIELDS.index("rows")
_COLUMNS = TILE_FIELDS.index("columns")


def layout(layer: ProgramLayer) -> Layout:
    """Return how the cells of a layer's tiles lie on arrays."""
    if layer.encoding == "differential-pair":
        return Layout(1, arrays=2) if layer.twin else Layout(2)
    if layer.encoding == "bit-sliced":
        return Layout(len(layer.cells.planes))
    return Layout(1, extra=1) if layer.encoding == "offset-column" else Layout(1)


def tile_cells(layer: ProgramLayer) -> npt.NDArray[np.int64]:
    """Return the cells of each tile of a layer, offset cells and twins included.

    Returns:
        int64 ``(tiles,)``.
    """
    tiles = layer.tiles.astype(np.int64)
    shape = layout(layer)
    cells: npt.NDArray[np.int64] = tiles[:, _ROWS] * shape.width(tiles[:, _COLUMNS])
    return cells * shape.arrays


def cells_used(layer: ProgramLayer) -> int:
    """Return the cells that hold weights (and offsets) of a layer [-]."""
    return int(tile_cells(layer).sum())
