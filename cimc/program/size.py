"""How much of the arrays a program uses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import TILE_FIELDS, Encoding
from cimc.program.model import ProgramLayer

_ROWS = TILE_FIELDS.index("rows")
_COLUMNS = TILE_FIELDS.index("columns")


def cells_per_weight(encoding: Encoding) -> int:
    """Return the adjacent cells that hold one weight [-]."""
    return 2 if encoding == "differential-pair" else 1


def extra_columns(encoding: Encoding) -> int:
    """Return the physical columns a tile has besides those of its weights [-]."""
    return 1 if encoding == "offset-column" else 0


def tile_cells(layer: ProgramLayer) -> npt.NDArray[np.int64]:
    """Return the cells of each tile of a layer, offset cells included: int64 ``(tiles,)``."""
    tiles = layer.tiles.astype(np.int64)
    width = tiles[:, _COLUMNS] * cells_per_weight(layer.encoding) + extra_columns(layer.encoding)
    cells: npt.NDArray[np.int64] = tiles[:, _ROWS] * width
    return cells


def cells_used(layer: ProgramLayer) -> int:
    """Return the cells that hold weights (and offsets) of a layer [-]."""
    return int(tile_cells(layer).sum())
