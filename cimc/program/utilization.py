"""How well a program uses the arrays it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cimc.ir.layer import TILE_FIELDS
from cimc.program.arrays import Occupancy, occupancy
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.size import cells_used, layout

_ARRAY = TILE_FIELDS.index("array")


@dataclass(frozen=True, slots=True)
class LayerUtilization:
    """What one layer takes.

    Attributes:
        weights: Weights [-].
        tiles: Tiles [-].
        arrays: Arrays that hold at least one of its tiles [-].
        cells: Cells in use [-].
        utilization: Share of the cells of those arrays that this layer uses, 0..1.
    """

    weights: int
    tiles: int
    arrays: int
    cells: int
    utilization: float


def cell_utilization(program: DeviceProgram) -> float:
    """Return the cells in use over the cells of the arrays in use, 0..1; 0 without arrays."""
    full = occupancy(program)
    return _share(int(full.cells.sum()), int((full.rows * full.columns).sum()))


def layer_utilization(program: DeviceProgram) -> dict[str, LayerUtilization]:
    """Return what each layer takes, by name."""
    full = occupancy(program)
    return {name: _of_layer(layer, full) for name, layer in program.layers.items()}


def _of_layer(layer: ProgramLayer, full: Occupancy) -> LayerUtilization:
    twins = np.arange(layout(layer).arrays)
    arrays = np.searchsorted(full.numbers, np.unique(layer.tiles[:, _ARRAY, None] + twins))
    cells = cells_used(layer)
    groups, rows, columns = layer.geometry.shape
    return LayerUtilization(
        weights=groups * rows * columns,
        tiles=len(layer.tiles),
        arrays=len(arrays),
        cells=cells,
        utilization=_share(cells, int((full.rows[arrays] * full.columns[arrays]).sum())),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
