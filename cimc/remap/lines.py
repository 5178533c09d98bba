"""The tiles of a layer with their word lines and bit lines, one after the other.

The same for layers on their way to a program and for layers of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import TILE_FIELDS, CrossbarLayer, Layout
from cimc.program.model import ProgramLayer
from cimc.program.positions import map_offsets
from cimc.program.size import layout as program_layout

Lines = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TileLines:
    """One tile and where its cells lie.

    Attributes:
        number: Index in the tile table of the layer.
        group: Matrix of the stack.
        rows: Its rows of the matrix.
        columns: Its columns of the matrix.
        column_tile: Index among the column tiles of the layer: column of the offset cells.
        array: Array of its first plane; of all planes but in twin arrays.
        word_lines: Word line of every row, int32 ``(rows,)``.
        bit_lines: First bit line of every column, int32 ``(columns,)``; with offset cells one
            more, theirs.
        layout: How its cells lie.
    """

    number: int
    group: int
    rows: slice
    columns: slice
    column_tile: int
    array: int
    word_lines: Lines
    bit_lines: Lines
    layout: Layout

    def plane(self, plane: int) -> tuple[int, Lines]:
        """Return the array and the bit lines of the cells of one plane."""
        if self.layout.arrays > 1:
            return self.array + plane, self.bit_lines
        if self.layout.extra:
            cut = len(self.bit_lines) - self.layout.extra
            return self.array, self.bit_lines[cut:] if plane else self.bit_lines[:cut]
        return self.array, self.bit_lines + np.int32(plane)

    def cells(self, plane: int) -> tuple[int, slice, slice]:
        """Return where the cells of a plane are in the plane ``(groups, rows, columns)``."""
        if self.layout.extra and plane:
            return self.group, self.rows, slice(self.column_tile, self.column_tile + 1)
        return self.group, self.rows, self.columns

    def occupied(self) -> Lines:
        """Return every bit line it uses on each of its arrays, offset cells included."""
        step = self.layout.bit_lines
        return np.add.outer(self.bit_lines, np.arange(step, dtype=np.int32)).reshape(-1)


def as_program_layer(layer: CrossbarLayer | ProgramLayer) -> ProgramLayer:
    """Return a layer as a program has it, without its uses.

    Raises:
        ValueError: The layer has no tiles, cells or encoding yet.
    """
    if isinstance(layer, ProgramLayer):
        return layer
    if layer.tiles is None or layer.row_tiles is None or layer.cells is None:
        raise ValueError(f"layer '{layer.name}' is not placed and assigned yet")
    assert layer.encoding is not None
    assert layer.layout is not None
    return ProgramLayer(
        name=layer.name,
        source=layer.weight,
        geometry=layer.geometry,
        encoding=layer.encoding,
        cells=layer.cells,
        tiles=layer.tiles,
        row_tiles=layer.row_tiles,
        uses=(),
        twin=layer.layout.arrays > 1,
        word_lines=layer.word_lines,
        bit_lines=layer.bit_lines,
    )


def tiles_of(layer: CrossbarLayer | ProgramLayer) -> Iterator[TileLines]:
    """Yield the tiles of a layer in the order of its table."""
    own = as_program_layer(layer)
    shape = program_layout(own)
    rows_at, columns_at = map_offsets(own)
    first_column = own.tiles[:, TILE_FIELDS.index("column")]
    column_tile = np.searchsorted(np.unique(first_column), first_column).tolist()
    for number, values in enumerate(own.tiles.tolist()):
        tile = dict(zip(TILE_FIELDS, values, strict=True))
        count = tile["columns"] + shape.extra
        if own.word_lines is None:
            word = tile["array_row"] + np.arange(tile["rows"], dtype=np.int32)
        else:
            word = own.word_lines[rows_at[number] : rows_at[number + 1]]
        if own.bit_lines is None:
            bit = tile["array_column"] + shape.bit_lines * np.arange(count, dtype=np.int32)
        else:
            bit = own.bit_lines[columns_at[number] : columns_at[number + 1]]
        yield TileLines(
            number=number,
            group=tile["group"],
            rows=slice(tile["row"], tile["row"] + tile["rows"]),
            columns=slice(tile["column"], tile["column"] + tile["columns"]),
            column_tile=column_tile[number],
            array=tile["array"],
            word_lines=word.astype(np.int32, copy=False),
            bit_lines=bit.astype(np.int32, copy=False),
            layout=shape,
        )
