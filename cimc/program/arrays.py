"""The physical view of a program: which conductance each cell of each array is to have.

A program stores its cells once, in the order of the weights, with a table of where each tile lies.
What a tester loads is derived here, so that the two can never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimc.device.states import look_up
from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.size import layout, tile_cells
from cimc.targets import Target

Matrix = npt.NDArray[np.float32]

#: Largest array that is made as one matrix [cells]; only unlimited arrays can be larger.
MAX_CELLS = 1 << 30

_ARRAY = TILE_FIELDS.index("array")


@dataclass(frozen=True, slots=True)
class Placement:
    """One tile on an array.

    Attributes:
        layer: Whose cells it holds.
        tile: Index in the layer's tile table.
        group: Matrix of the stack.
        row: First logical row.
        column: First logical column.
        rows: Logical and physical rows.
        columns: Logical columns.
        array_row: First physical row.
        array_column: First physical column.
        array_columns: Physical columns.
        twin: 0; 1 for the array that holds G- of pairs in twin arrays.
    """

    layer: str
    tile: int
    group: int
    row: int
    column: int
    rows: int
    columns: int
    array_row: int
    array_column: int
    array_columns: int
    twin: int = 0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full the arrays of a program are.

    Attributes:
        tiles: Tiles on each array, int64 ``(arrays,)``.
        cells: Cells in use on each array, int64 ``(arrays,)``.
        rows: Rows of each array, int64 ``(arrays,)``; of an unlimited array, those in use.
        columns: Columns, likewise.
    """

    tiles: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def occupancy(program: DeviceProgram) -> Occupancy:
    """Return how full each array is."""
    count = program.arrays
    tiles, cells, rows, columns = (np.zeros(count, np.int64) for _ in range(4))
    for layer in program.layers.values():
        table = layer.tiles.astype(np.int64)
        shape = layout(layer)
        right = table[:, 8] + shape.width(table[:, 5])
        for twin in range(shape.arrays):
            array = table[:, _ARRAY] + twin
            tiles += np.bincount(array, minlength=count)
            np.add.at(cells, array, tile_cells(layer) // shape.arrays)
            np.maximum.at(rows, array, table[:, 7] + table[:, 3])
            np.maximum.at(columns, array, right)
    fixed = program.target["array"]
    if fixed["rows"] is not None:
        rows[:] = fixed["rows"]
    if fixed["columns"] is not None:
        columns[:] = fixed["columns"]
    return Occupancy(tiles, cells, rows, columns)


def placements(program: DeviceProgram, array: int) -> tuple[Placement, ...]:
    """Return the tiles on an array, in the order of the layers.

    Raises:
        ProgramError: ``CIMC-P27``, the program has no such array.
    """
    if not 0 <= array < program.arrays:
        raise ProgramError(
            "CIMC-P27",
            f"no array {array}: the program uses {program.arrays}",
            hint=f"0 to {program.arrays - 1}" if program.arrays else "",
        )
    return tuple(
        _placement(layer, tile, twin)
        for layer in program.layers.values()
        for twin in range(layout(layer).arrays)
        for tile in np.flatnonzero(layer.tiles[:, _ARRAY] == array - twin).tolist()
    )


def _placement(layer: ProgramLayer, tile: int, twin: int) -> Placement:
    f = dict(zip(TILE_FIELDS, layer.tiles[tile].tolist(), strict=True))
    return Placement(
        layer=layer.name,
        tile=tile,
        group=f["group"],
        row=f["row"],
        column=f["column"],
        rows=f["rows"],
        columns=f["columns"],
        array_row=f["array_row"],
        array_column=f["array_column"],
        array_columns=layout(layer).width(f["columns"]),
        twin=twin,
    )


def conductance_us(program: DeviceProgram, array: int) -> Matrix:
    """Return the conductance every cell of an array is to be programmed to.

    Args:
        program: The program.
        array: Number of the array.

    Returns:
        float32 ``(rows, columns)`` [uS]; cells nobody uses stand at G_min.  For the encoding
        ``signed`` they are weights, and 0.

    Raises:
        ProgramError: ``CIMC-P27``, the program has no such array, or it is too large for a matrix.
    """
    tiles = placements(program, array)
    fixed = program.target["array"]
    rows = fixed["rows"] or max(t.array_row + t.rows for t in tiles)
    columns = fixed["columns"] or max(t.array_column + t.array_columns for t in tiles)
    if rows * columns > MAX_CELLS:
        raise ProgramError("CIMC-P27", f"array {array} of {rows} x {columns} cells is too large")
    device = Target.from_plain(dict(program.target))
    idle = 0.0 if device.encoding == "signed" else device.cell.g_min_us
    out = np.full((rows, columns), idle, np.float32)
    for tile in tiles:
        r, c = tile.array_row, tile.array_column
        cells = out[r : r + tile.rows, c : c + tile.array_columns]
        _fill(cells, program.layers[tile.layer], tile)
    return out


def _fill(out: Matrix, layer: ProgramLayer, tile: Placement) -> None:
    """Write the cells of one tile to its place, float32 ``(rows, physical columns)``."""
    rows = slice(tile.row, tile.row + tile.rows)
    columns = slice(tile.column, tile.column + tile.columns)
    planes = layer.cells.planes
    if layer.encoding == "offset-column":
        offset = column_tile(layer, tile.column)
        out[:, : tile.columns] = _values(layer, planes[0][tile.group, rows, columns], tile)
        out[:, tile.columns] = _values(layer, planes[1][tile.group, rows, offset], tile)
        return
    if layout(layer).arrays > 1:
        planes = planes[tile.twin : tile.twin + 1]
    for number, plane in enumerate(planes):
        out[:, number :: len(planes)] = _values(layer, plane[tile.group, rows, columns], tile)


def column_tile(layer: ProgramLayer, column: int) -> int:
    """Return the index of the column tile that starts at a column, among those of the layer."""
    starts = np.unique(layer.tiles[:, TILE_FIELDS.index("column")])
    return int(np.searchsorted(starts, column))


def _values(layer: ProgramLayer, cells: Tensor, tile: Placement) -> Matrix:
    """Return the conductances of cells, ``(rows,)`` or ``(rows, columns)`` of a tile."""
    states = layer.cells.states_us
    if states is None:
        return cells.numpy()
    if states.ndim == 2:
        first = tile.group * layer.geometry.columns + tile.column
        return look_up(states[first : first + tile.columns], cells[None])[0].numpy()
    return look_up(states, cells).numpy()
