"""Where the cells of a layer lie: array, word line and bit line, from the tile table.

Two views of the same thing: the blocks of a plane, one a tile, for what is worked out array by
array; and dense tables, one number a cell.  Rows and columns of a tile lie on lines in order, or
where the maps of the layer have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import ProgramLayer
from cimc.program.size import layout

Table = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]
#: Lines of an array, as an index of an axis.
Lines = slice | Numbers


@dataclass(frozen=True, slots=True)
class Block:
    """The cells of one plane in one tile: a rectangle of a plane and its place on an array.

    Attributes:
        group: Matrix of the stack.
        rows: Rows of the plane.
        columns: Columns of the plane.
        array: Number of the array.
        word_lines: Word lines of the rows: a slice where they are in order, else int64
            ``(rows,)``.
        bit_lines: Bit lines of the columns, likewise.
    """

    group: int
    rows: slice
    columns: slice
    array: int
    word_lines: Lines
    bit_lines: Lines

    @property
    def cells(self) -> tuple[int, slice, slice]:
        """Index of the cells in a plane ``(groups, rows, columns)``."""
        return self.group, self.rows, self.columns

    @property
    def place(self) -> tuple[Lines, Lines]:
        """Index of the cells in their array ``(word lines, bit lines)``, rows by columns."""
        word, bit = self.word_lines, self.bit_lines
        if isinstance(word, slice) or isinstance(bit, slice):
            return word, bit
        return word[:, None], bit

    def find(self, word: Numbers, bit: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Find cells of its array in the block.

        Args:
            word: Their word lines, int64 ``(n,)``.
            bit: Their bit lines.

        Returns:
            Of those that lie in the block: row and column, from its first, and index among those
            given, int64 ``(found,)``.
        """
        rows, columns = (s.stop - s.start for s in (self.rows, self.columns))
        if rows > columns:  # the axis that leaves fewer first
            column, row, which = _both((self.bit_lines, bit), (self.word_lines, word))
        else:
            row, column, which = _both((self.word_lines, word), (self.bit_lines, bit))
        return row, column, which


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


def map_offsets(layer: ProgramLayer) -> tuple[Numbers, Numbers]:
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


def numbers(lines: Lines) -> Numbers:
    """Return the numbers of lines, int64 ``(n,)``."""
    if isinstance(lines, slice):
        return np.arange(lines.start, lines.stop, lines.step or 1)
    return lines


def _both(
    first: tuple[Lines, Numbers], second: tuple[Lines, Numbers]
) -> tuple[Numbers, Numbers, Numbers]:
    """Return where cells stand along two axes, and which stand somewhere along both."""
    index = _index(*first)
    which = np.flatnonzero(index >= 0)
    other = _index(second[0], second[1][which])
    inside = np.flatnonzero(other >= 0)
    return index[which[inside]], other[inside], which[inside]


def _index(lines: Lines, wanted: Numbers) -> Numbers:
    """Return where lines stand among those of a block; -1: nowhere."""
    if isinstance(lines, slice):
        known = (wanted >= lines.start) & (wanted < lines.stop)
        index = wanted - lines.start
        if lines.step not in (None, 1):
            index, between = np.divmod(index, lines.step)
            known &= between == 0
        return np.where(known, index, -1)
    place = np.full(max(lines.max(), wanted.max(initial=0)) + 1, -1)
    place[lines] = np.arange(len(lines))
    found: Numbers = place[wanted]
    return found


def blocks(layer: ProgramLayer, plane: int, tiles: Sequence[int] | None = None) -> Iterator[Block]:
    """Yield the blocks of one plane, in the order of the tile table; they make up the plane.

    Args:
        layer: The layer.
        plane: Number of the plane.
        tiles: Only these tiles; None: all.
    """
    column_tile = _column_tile(layer)
    shared = _shared(layer, plane)
    word_starts, bit_starts = map_offsets(layer)
    for number in range(len(layer.tiles)) if tiles is None else tiles:
        tile = dict(zip(TILE_FIELDS, layer.tiles[number].tolist(), strict=True))
        columns = slice(tile["column"], tile["column"] + tile["columns"])
        if shared:
            columns = slice(int(column_tile[number]), int(column_tile[number]) + 1)
        yield Block(
            group=tile["group"],
            rows=slice(tile["row"], tile["row"] + tile["rows"]),
            columns=columns,
            array=tile["array"] + (plane if layer.twin else 0),
            word_lines=_word_lines(layer, tile, int(word_starts[number])),
            bit_lines=_bit_lines(layer, plane, tile, int(bit_starts[number])),
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
        array[block.cells] = block.array
        word_line[block.cells] = numbers(block.word_lines)[:, None]
        bit_line[block.cells] = numbers(block.bit_lines)
    return Positions(*out)


def _word_lines(layer: ProgramLayer, tile: Mapping[str, int], start: int) -> Lines:
    """Return the word lines of a tile; its numbers start there in the map."""
    if layer.word_lines is None:
        return slice(tile["array_row"], tile["array_row"] + tile["rows"])
    return layer.word_lines[start : start + tile["rows"]].astype(np.int64)


def _bit_lines(layer: ProgramLayer, plane: int, tile: Mapping[str, int], start: int) -> Lines:
    """Return the bit lines of a plane in a tile; its numbers start there in the map."""
    count = 1 if _shared(layer, plane) else tile["columns"]
    skipped = tile["columns"] if _shared(layer, plane) else 0  # right of the last weight
    step = layout(layer).bit_lines
    right = plane if step > 1 else 0  # G+ left of G-; slices from the least multiplier on
    if layer.bit_lines is None:
        first = tile["array_column"] + skipped + right
        return slice(first, first + (count - 1) * step + 1, step)
    first = start + skipped
    return layer.bit_lines[first : first + count].astype(np.int64) + right


def _shared(layer: ProgramLayer, plane: int) -> bool:
    """Whether the plane is the offset cells: one column a column tile."""
    return layer.encoding == "offset-column" and plane == 1


def _column_tile(layer: ProgramLayer) -> npt.NDArray[np.int64]:
    """Return the column tile of each tile, int64 ``(tiles,)``."""
    first = layer.tiles[:, TILE_FIELDS.index("column")]
    return np.searchsorted(np.unique(first), first)
