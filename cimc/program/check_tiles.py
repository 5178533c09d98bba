"""Rules of the tile tables: every weight is on exactly one tile, every cell in at most one."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS
from cimc.program.check_lines import check_cells_used_once, check_maps, mapped_arrays
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.size import layout
from cimc.targets import Target

Table = npt.NDArray[np.int64]

_AT: Final = {name: index for index, name in enumerate(TILE_FIELDS)}


def check_placement(program: DeviceProgram, target: Target) -> None:
    """Apply every rule of this module.

    Raises:
        ProgramError: ``CIMC-P20`` a layer is not covered as it should be, ``CIMC-P21`` the tiles
            do not lie on the arrays as they should.
    """
    places = [np.empty((0, 5), np.int64)]
    for name, layer in program.layers.items():
        where = f"layer '{name[:80]}'"
        _check_types(layer, where)
        _check_row_tiles(layer, where)
        tiles = layer.tiles.astype(np.int64)
        _check_rows(layer, tiles, where)
        _check_columns(layer, tiles, where)
        check_maps(layer, target, where)
        places.append(_places(layer, tiles, target, where))
    place = np.concatenate(places)
    _check_arrays(program, place, target)
    mapped = mapped_arrays(program)
    _check_overlaps(place[~np.isin(place[:, 0], mapped)])
    check_cells_used_once(program, mapped)


def _field(tiles: Table, name: str) -> Any:
    return tiles[:, _AT[name]]


def _check_types(layer: ProgramLayer, where: str) -> None:
    """The tables have their type and width."""
    for table, width in ((layer.tiles, len(TILE_FIELDS)), (layer.row_tiles, 2)):
        if table.dtype != np.int32 or table.ndim != 2 or table.shape[1] != width:
            raise ProgramError(
                "CIMC-P20", f"a tile table is {table.dtype} {list(table.shape)}", where=where
            )
    if not len(layer.tiles) or not len(layer.row_tiles):
        raise ProgramError("CIMC-P20", "a tile table is empty", where=where)


def _check_row_tiles(layer: ProgramLayer, where: str) -> None:
    """The row tiles are consecutive and cover the rows."""
    first, rows = layer.row_tiles.astype(np.int64).T
    ends = first + rows
    good = (rows > 0).all() and first[0] == 0 and ends[-1] == layer.geometry.rows
    if not good or (first[1:] != ends[:-1]).any():
        raise ProgramError(
            "CIMC-P20", f"row tiles do not cover {layer.geometry.rows} rows once", where=where
        )


def _check_rows(layer: ProgramLayer, tiles: Table, where: str) -> None:
    """A tile is in a group that exists and has the rows of its row tile."""
    group, row_tile = _field(tiles, "group"), _field(tiles, "row_tile")
    for values, limit, what in (
        (group, layer.geometry.groups, "group"),
        (row_tile, len(layer.row_tiles), "row tile"),
    ):
        wrong = np.flatnonzero((values < 0) | (values >= limit))
        if wrong.size:
            raise _bad(f"{what} {values[wrong[0]]} of {limit}", wrong[0], where)
    expected = layer.row_tiles[row_tile]
    wrong = np.flatnonzero(
        (_field(tiles, "row") != expected[:, 0]) | (_field(tiles, "rows") != expected[:, 1])
    )
    if wrong.size:
        raise _bad("its rows are not those of its row tile", wrong[0], where)


def _check_columns(layer: ProgramLayer, tiles: Table, where: str) -> None:
    """In every group and row tile, the tiles cover the columns once."""
    column, columns = _field(tiles, "column"), _field(tiles, "columns")
    strip = _field(tiles, "group") * len(layer.row_tiles) + _field(tiles, "row_tile")
    order = np.lexsort((column, strip))
    strip, column, columns = strip[order], column[order], columns[order]
    starts = np.ones(len(strip), bool)
    starts[1:] = strip[1:] != strip[:-1]
    expected = np.zeros(len(strip), np.int64)
    expected[1:] = np.where(starts[1:], 0, column[:-1] + columns[:-1])
    ends = np.append(starts[1:], True)
    wrong = (column != expected) | (columns <= 0)
    wrong |= ends & (column + columns != layer.geometry.columns)
    if wrong.any():
        tile = order[np.flatnonzero(wrong)[0]]
        raise _bad(f"the {layer.geometry.columns} columns are not covered once", tile, where)
    strips = layer.geometry.groups * len(layer.row_tiles)
    if int(starts.sum()) != strips:
        raise ProgramError(
            "CIMC-P20",
            f"{int(starts.sum())} of {strips} pairs of group and row tile have tiles",
            where=where,
        )


def _places(layer: ProgramLayer, tiles: Table, target: Target, where: str) -> Table:
    """Return where the tiles lie: array, first row, end row, first column, end column."""
    array, top, left = (_field(tiles, f) for f in ("array", "array_row", "array_column"))
    bottom = top + _field(tiles, "rows")
    shape = layout(layer)
    right = left + shape.width(_field(tiles, "columns"))
    last = array + shape.arrays - 1
    rows, columns = target.array.rows, target.array.columns
    wrong = (array < 0) | (top < 0) | (left < 0)
    if target.arrays is not None:
        wrong |= last >= target.arrays
    if rows is not None:
        wrong |= bottom > rows
    if columns is not None:
        wrong |= right > columns
    if wrong.any():
        tile = np.flatnonzero(wrong)[0]
        raise ProgramError(
            "CIMC-P21",
            f"array {array[tile]}, rows {top[tile]} to {bottom[tile]}, columns {left[tile]} to "
            f"{right[tile]} is outside of the {target.arrays or 'unlimited'} arrays of "
            f"{rows or 'unlimited'} x {columns or 'unlimited'}",
            where=f"{where}, tile {tile}",
        )
    return np.concatenate(
        [np.stack([array + k, top, bottom, left, right], axis=1) for k in range(shape.arrays)]
    )


def _check_arrays(program: DeviceProgram, place: Table, target: Target) -> None:
    """The number of arrays is the number used; of an unlimited chip they have no gaps."""
    used, index = np.unique(place[:, 0], return_inverse=True)
    if program.arrays != len(used):
        raise ProgramError(
            "CIMC-P21", f"{len(used)} arrays are used, not {program.arrays}", where="arrays"
        )
    if target.arrays is None and used.size and used[-1] != len(used) - 1:
        raise ProgramError(
            "CIMC-P21",
            f"arrays are not numbered 0 to {len(used) - 1} without gaps",
            where="arrays",
        )
    if target.array.rows is not None and target.array.columns is not None:
        return
    # Without a limit the tiles themselves bound an array: no farther out than side by side.
    for low, high in ((1, 2), (3, 4)):
        room = np.bincount(index, weights=place[:, high] - place[:, low])
        wrong = np.flatnonzero(place[:, high] > room[index])
        if wrong.size:
            raise ProgramError(
                "CIMC-P21",
                "a tile lies beyond all cells used",
                where=f"array {place[wrong[0], 0]}",
            )


def _check_overlaps(place: Table) -> None:
    """No cell belongs to two tiles: a sweep down the rows of each array."""
    _, index, counts = np.unique(place[:, 0], return_inverse=True, return_counts=True)
    shared = place[counts[index] > 1]
    if not len(shared):
        return
    events = np.concatenate([shared[:, [0, 1, 3, 4]], shared[:, [0, 2, 3, 4]]])
    opening = np.repeat([1, 0], len(shared))
    # At one row, tiles end before others begin.
    order = np.lexsort((opening, events[:, 1], events[:, 0]))
    lefts: list[int] = []
    rights: list[int] = []
    for (array, row, left, right), opens in zip(
        events[order].tolist(), opening[order].tolist(), strict=True
    ):
        at = bisect_left(lefts, left)
        if not opens:
            del lefts[at], rights[at]
            continue
        if (at and rights[at - 1] > left) or (at < len(lefts) and lefts[at] < right):
            raise ProgramError(
                "CIMC-P21", "two tiles overlap", where=f"array {array}, row {row}, column {left}"
            )
        lefts.insert(at, left)
        rights.insert(at, right)


def _bad(message: str, tile: Any, where: str) -> ProgramError:
    return ProgramError("CIMC-P20", message, where=f"{where}, tile {tile}")
