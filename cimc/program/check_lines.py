"""Rules of the maps of word lines and bit lines: lines of the array, no cell in two tiles."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import map_offsets, tile_lines
from cimc.program.size import layout
from cimc.targets import Target

Numbers = npt.NDArray[np.int64]
#: A tile on an array: layer, index in its tile table, its word lines, all of its bit lines.
_Tile = tuple[str, int, Numbers, Numbers]

_ARRAY: Final = TILE_FIELDS.index("array")
#: Cells of an array that are painted in a bitmap; beyond, the cells in use are sorted.
_PAINTED: Final = 1 << 26


def check_maps(layer: ProgramLayer, target: Target, where: str) -> None:
    """The maps have a line of the array for every row and column of every tile, each once.

    The tile table must have been checked.

    Raises:
        ProgramError: ``CIMC-P21``.
    """
    words, bits = map_offsets(layer)
    rows, columns = target.array.rows, target.array.columns
    for what, lines, starts, limit, width in (
        ("word", layer.word_lines, words, rows, 1),
        ("bit", layer.bit_lines, bits, columns, layout(layer).bit_lines),
    ):
        if lines is None:
            continue
        if limit is None:
            raise ProgramError(
                "CIMC-P21", f"a map of {what} lines, of which arrays have no end", where=where
            )
        if lines.dtype != np.int32 or lines.shape != (starts[-1],):
            raise ProgramError(
                "CIMC-P21",
                f"the map of {what} lines is {lines.dtype} {list(lines.shape)}, not int32 "
                f"[{starts[-1]}]",
                where=where,
            )
        _check_lines(lines.astype(np.int64), starts, (limit, width), what, where)


def _check_lines(
    lines: Numbers, starts: Numbers, size: tuple[int, int], what: str, where: str
) -> None:
    """Every number is a line with so many right of it, and no tile has a line twice."""
    limit, width = size
    tile = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    wrong = np.flatnonzero((lines < 0) | (lines + width > limit))
    if wrong.size:
        raise ProgramError(
            "CIMC-P21",
            f"{what} line {lines[wrong[0]]} of {limit}, where cells take {width}",
            where=f"{where}, tile {tile[wrong[0]]}",
        )
    order = np.lexsort((lines, tile))
    near = np.diff(lines[order]) < width
    near &= tile[order][1:] == tile[order][:-1]
    if near.any():
        at = order[1:][np.flatnonzero(near)[0]]
        raise ProgramError(
            "CIMC-P21",
            f"{what} line {lines[at]} holds two {'rows' if what == 'word' else 'columns'}",
            where=f"{where}, tile {tile[at]}",
        )


def mapped_arrays(program: DeviceProgram) -> Numbers:
    """Return the arrays with tiles of layers that have maps, ascending, int64."""
    found = [
        np.unique(layer.tiles[:, _ARRAY].astype(np.int64)) + twin
        for layer in program.layers.values()
        if layer.word_lines is not None or layer.bit_lines is not None
        for twin in range(layout(layer).arrays)
    ]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def check_cells_used_once(program: DeviceProgram, arrays: Numbers) -> None:
    """No cell of these arrays belongs to two tiles.

    The maps must have been checked.

    Args:
        program: The program.
        arrays: Numbers of arrays, ascending.

    Raises:
        ProgramError: ``CIMC-P21``, naming the cell and the tile.
    """
    on_array: dict[int, list[tuple[str, int]]] = {}
    for name, layer in program.layers.items():
        for twin in range(layout(layer).arrays):
            number = layer.tiles[:, _ARRAY].astype(np.int64) + twin
            for tile in np.flatnonzero(np.isin(number, arrays)).tolist():
                on_array.setdefault(int(number[tile]), []).append((name, tile))
    for array, tiles in on_array.items():
        if len(tiles) > 1:  # the lines of a tile are different ones
            _check_apart(array, [_tile(program.layers[name], tile) for name, tile in tiles])


def _tile(layer: ProgramLayer, number: int) -> _Tile:
    word, bit = tile_lines(layer, number)
    across = bit[:, None] + np.arange(layout(layer).bit_lines)
    return layer.name, number, word.astype(np.int64), across.reshape(-1).astype(np.int64)


def _check_apart(array: int, tiles: list[_Tile]) -> None:
    """No cell of an array belongs to two tiles: paint them, lines that nobody uses left out."""
    words, rows = _ranked([word for _, _, word, _ in tiles])
    bits, columns = _ranked([bit for _, _, _, bit in tiles])
    if len(words) * len(bits) > _PAINTED:
        _check_sorted(array, tiles)
        return
    painted = np.zeros((len(words), len(bits)), bool)
    for (name, number, _, _), row, column in zip(tiles, rows, columns, strict=True):
        cells = np.ix_(row, column)
        taken = painted[cells]
        if taken.any():
            at = np.argwhere(taken)[0]
            raise _twice(array, words[row[at[0]]], bits[column[at[1]]], name, number)
        painted[cells] = True


def _ranked(lines: list[Numbers]) -> tuple[Numbers, list[Numbers]]:
    """Return the lines in use, ascending, and those of each tile as indices among them."""
    used, rank = np.unique(np.concatenate(lines), return_inverse=True)
    return used, np.split(rank, np.cumsum([len(some) for some in lines])[:-1])


def _check_sorted(array: int, tiles: list[_Tile]) -> None:
    """The same for few cells far apart: what is held grows with the cells in use."""
    across = 1 + max(int(bit.max()) for _, _, _, bit in tiles)
    cells = np.concatenate([(w[:, None] * across + b).reshape(-1) for _, _, w, b in tiles])
    cells.sort()
    twice = np.flatnonzero(cells[1:] == cells[:-1])
    if twice.size:
        row, column = divmod(int(cells[twice[0]]), across)
        last = next(t for t in reversed(tiles) if row in t[2] and column in t[3])
        raise _twice(array, row, column, last[0], last[1])


def _twice(array: int, row: Any, column: Any, layer: str, tile: int) -> ProgramError:
    return ProgramError(
        "CIMC-P21",
        f"two tiles overlap at word line {row}, bit line {column}",
        where=f"array {array}, layer '{layer[:80]}', tile {tile}",
    )
