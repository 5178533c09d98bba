"""The physical view of a program: which conductance each cell of each array is to have.

A program stores its cells once, in the order of the weights, with a table of where each tile lies.
What a tester loads is derived here, so that the two can never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.device.states import look_up
from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import Block, blocks, planes_of, tile_lines
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
        word_lines: Word line of every row, where the layer has a map; None: in order.
        bit_lines: First bit line of every column, likewise.
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
    word_lines: tuple[int, ...] | None = None
    bit_lines: tuple[int, ...] | None = None
    twin: int = 0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full the arrays of a program are.

    Attributes:
        numbers: Numbers of the arrays in use, ascending, int64 ``(arrays,)``.
        tiles: Tiles on each array, int64 ``(arrays,)``.
        cells: Cells in use on each array, int64 ``(arrays,)``.
        rows: Rows of each array, int64 ``(arrays,)``; of an unlimited array, those in use.
        columns: Columns, likewise.
    """

    numbers: npt.NDArray[np.int64]
    tiles: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def occupancy(program: DeviceProgram) -> Occupancy:
    """Return how full each array in use is."""
    numbers = arrays_in_use(program)
    count = len(numbers)
    tiles, cells, rows, columns = (np.zeros(count, np.int64) for _ in range(4))
    for layer in program.layers.values():
        table = layer.tiles.astype(np.int64)
        shape = layout(layer)
        right = table[:, 8] + shape.width(table[:, 5])
        for twin in range(shape.arrays):
            array = np.searchsorted(numbers, table[:, _ARRAY] + twin)
            tiles += np.bincount(array, minlength=count)
            np.add.at(cells, array, tile_cells(layer) // shape.arrays)
            np.maximum.at(rows, array, table[:, 7] + table[:, 3])
            np.maximum.at(columns, array, right)
    fixed = program.target["array"]
    if fixed["rows"] is not None:
        rows[:] = fixed["rows"]
    if fixed["columns"] is not None:
        columns[:] = fixed["columns"]
    return Occupancy(numbers, tiles, cells, rows, columns)


def arrays_in_use(program: DeviceProgram) -> npt.NDArray[np.int64]:
    """Return the numbers of the arrays that hold weights, ascending, int64 ``(arrays,)``."""
    used = [
        (layer.tiles[:, _ARRAY, None].astype(np.int64) + np.arange(layout(layer).arrays)).ravel()
        for layer in program.layers.values()
    ]
    return np.unique(np.concatenate(used)) if used else np.empty(0, np.int64)


def placements(program: DeviceProgram, array: int) -> tuple[Placement, ...]:
    """Return the tiles on an array, in the order of the layers.

    Raises:
        ProgramError: ``CIMC-P27``, the program uses no such array.
    """
    found = tuple(
        _placement(layer, tile, twin)
        for layer in program.layers.values()
        for twin in range(layout(layer).arrays)
        for tile in np.flatnonzero(layer.tiles[:, _ARRAY] == array - twin).tolist()
    )
    if not found:
        raise ProgramError(
            "CIMC-P27",
            f"no array {array}: the program uses {program.arrays}",
            hint=_listed(arrays_in_use(program)),
        )
    return found


def _listed(numbers: npt.NDArray[np.int64]) -> str:
    """Return the numbers of arrays in short."""
    if not len(numbers):
        return ""
    first, last = int(numbers[0]), int(numbers[-1])
    gaps = last - first + 1 - len(numbers)
    return f"{first} to {last}" + (f", but for {gaps} between" if gaps else "")


def _placement(layer: ProgramLayer, tile: int, twin: int) -> Placement:
    f = dict(zip(TILE_FIELDS, layer.tiles[tile].tolist(), strict=True))
    word, bit = tile_lines(layer, tile)
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
        word_lines=None if layer.word_lines is None else tuple(word.tolist()),
        bit_lines=None if layer.bit_lines is None else tuple(bit.tolist()),
        twin=twin,
    )


def conductance_us(program: DeviceProgram, array: int) -> Matrix:
    """Return the conductance every cell of an array is to be programmed to.

    Cells that the chip's fault map sticks hold the state nearest to theirs.

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
        layer = program.layers[tile.layer]
        for plane in range(planes_of(layer)):
            for block in blocks(layer, plane, [tile.tile]):
                if block.array == array:
                    out[block.place] = _values(layer, plane, block)
    return out


def _values(layer: ProgramLayer, plane: int, block: Block) -> Matrix:
    """Return the conductances of the cells of a block, float32 ``(rows, columns)`` [uS]."""
    cells, states = layer.cells.planes[plane][block.cells], layer.cells.states_us
    if states is None:
        return cells.numpy()
    if states.ndim == 2:
        first = block.group * layer.geometry.columns
        own = states[first + block.columns.start : first + block.columns.stop]
        return look_up(own, cells[None])[0].numpy()
    return look_up(states, cells).numpy()
