"""Where the cells of a layer lie: array, word line and bit line, from the tile table.

Two views of the same thing: the blocks of a plane, one a tile, for what is worked out array by
array; and dense tables, one number a cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import ProgramLayer
from cimc.program.size import layout

Table = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Block:
    """The cells of one plane in one tile: a rectangle of a plane and its place on an array.

    Attributes:
        group: Matrix of the stack.
        rows: Rows of the plane; word lines ``word_line``, ``word_line + 1``, ...
        columns: Columns of the plane; bit lines ``bit_line``, ``bit_line + step``, ...
        array: Number of the array.
        word_line: Of the first row.
        bit_line: Of the first column.
        step: Bit lines from one column to the next.
    """

    group: int
    rows: slice
    columns: slice
    array: int
    word_line: int
    bit_line: int
    step: int

    @property
    def cells(self) -> tuple[int, slice, slice]:
        """Index of the cells in a plane ``(groups, rows, columns)``."""
        return self.group, self.rows, self.columns

    @property
    def word_lines(self) -> slice:
        """Word lines of the rows."""
        return slice(self.word_line, self.word_line + self.rows.stop - self.rows.start)

    @property
    def bit_lines(self) -> slice:
        """Bit lines of the columns."""
        count = self.columns.stop - self.columns.start
        return slice(self.bit_line, self.bit_line + (count - 1) * self.step + 1, self.step)


@dataclass(frozen=True, slots=True)
class Positions:
    """The place of every cell of one plane, int32 in the shape of the plane.

    Attributes:
        array: Number of the array.
        word_line: Physical row on it.
        bit_line: Physical column on it.
    """

    array: Table
    word_line: Table
    bit_line: Table


def planes_of(layer: ProgramLayer) -> int:
    """Return the device planes of a layer [-]."""
    return len(layer.cells.planes)


def map_offsets(layer: ProgramLayer) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where the numbers of each tile begin in the maps of word lines and of bit lines.

    They are the same whether the layer has maps or not.

    Returns:
        Two of int64 ``(tiles + 1,)``; the last number is the length of the map.
    """
    tiles = layer.tiles.astype(np.int64)
    rows = tiles[:, TILE_FIELDS.index("rows")]
    columns = tiles[:, TILE_FIELDS.index("columns")] + layout(layer).extra
    return np.append(0, np.cumsum(rows)), np.append(0, np.cumsum(columns))


def tile_lines(layer: ProgramLayer, tile: int) -> tuple[Table, Table]:
    """Return the lines of one tile on its array, with and without maps.

    Args:
        layer: The layer.
        tile: Index in its tile table.

    Returns:
        The word line of every logical row, int32 ``(rows,)``, and the first bit line of every
        logical column, int32 ``(columns,)``; with the encoding ``offset-column`` one more, of the
        offset cells.  Not to be written to: they may be views of the maps.
    """
    values = dict(zip(TILE_FIELDS, layer.tiles[tile].tolist(), strict=True))
    shape = layout(layer)
    if layer.word_lines is None:
        first = values["array_row"]
        word = np.arange(first, first + values["rows"], dtype=np.int32)
    else:
        at = int(layer.tiles[:tile, TILE_FIELDS.index("rows")].sum(dtype=np.int64))
        word = layer.word_lines[at : at + values["rows"]]
    count = values["columns"] + shape.extra
    if layer.bit_lines is None:
        first, step = values["array_column"], shape.bit_lines
        bit = np.arange(first, first + count * step, step, dtype=np.int32)
    else:
        before = int(layer.tiles[:tile, TILE_FIELDS.index("columns")].sum(dtype=np.int64))
        at = before + tile * shape.extra
        bit = layer.bit_lines[at : at + count]
    return word, bit


def blocks(layer: ProgramLayer, plane: int) -> Iterator[Block]:
    """Yield the blocks of one plane, in the order of the tile table; they make up the plane."""
    column_tile = _column_tile(layer)
    for number, values in enumerate(layer.tiles.tolist()):
        tile = dict(zip(TILE_FIELDS, values, strict=True))
        first, step = _bit_line(layer, plane, tile["columns"])
        columns = slice(tile["column"], tile["column"] + tile["columns"])
        if _shared(layer, plane):
            columns = slice(int(column_tile[number]), int(column_tile[number]) + 1)
        yield Block(
            group=tile["group"],
            rows=slice(tile["row"], tile["row"] + tile["rows"]),
            columns=columns,
            array=tile["array"] + (plane if layer.twin else 0),
            word_line=tile["array_row"],
            bit_line=tile["array_column"] + first,
            step=step,
        )


def positions(layer: ProgramLayer) -> tuple[Positions, ...]:
    """Return where the cells of each plane lie."""
    return tuple(_dense(layer, plane) for plane in range(planes_of(layer)))


def _dense(layer: ProgramLayer, plane: int) -> Positions:
    geometry = layer.geometry
    columns = len(np.unique(layer.tiles[:, 4])) if _shared(layer, plane) else geometry.columns
    out = [np.empty((geometry.groups, geometry.rows, columns), np.int32) for _ in range(3)]
    array, word_line, bit_line = out
    for block in blocks(layer, plane):
        word = np.arange(block.word_lines.start, block.word_lines.stop, dtype=np.int32)
        lines = block.bit_lines
        array[block.cells] = block.array
        word_line[block.cells] = word[:, None]
        bit_line[block.cells] = np.arange(lines.start, lines.stop, lines.step, dtype=np.int32)
    return Positions(*out)


def _bit_line(layer: ProgramLayer, plane: int, columns: int) -> tuple[int, int]:
    """Return the first bit line of a plane in a tile, and the bit lines from column to column."""
    if layer.twin:
        return 0, 1
    if layer.encoding in ("differential-pair", "bit-sliced"):
        return plane, planes_of(layer)  # G+ left of G-; slices from the least multiplier on
    if _shared(layer, plane):
        return columns, 1  # right of the last weight
    return 0, 1


def _shared(layer: ProgramLayer, plane: int) -> bool:
    """Whether the plane is the offset cells: one column a column tile."""
    return layer.encoding == "offset-column" and plane == 1


def _column_tile(layer: ProgramLayer) -> npt.NDArray[np.int64]:
    """Return the column tile of each tile, int64 ``(tiles,)``."""
    first = layer.tiles[:, TILE_FIELDS.index("column")]
    return np.searchsorted(np.unique(first), first)
