"""Which cells of which array are taken, while tiles move to other lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.ir.layer import CrossbarLayer, Layout
from cimc.program.model import ProgramLayer
from cimc.remap.lines import TileLines, tiles_of
from cimc.targets import Target

Lines = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Room:
    """The lines of an array that a tile may or may not use.

    Attributes:
        words: All word lines, those of the tile first and in the order of its rows.
        places: First bit lines of all places for a column, likewise; none overlap.
        blocked: Cells that are not free, bool ``(rows, columns)`` of the array.
        layout: How the tile's cells lie.
    """

    words: Lines
    places: Lines
    blocked: npt.NDArray[np.bool_]
    layout: Layout

    def free_words(self, bits: Lines) -> Index:
        """Return which of ``words`` are free on all these bit lines: indices, ascending."""
        if not self.blocked.size:
            return np.arange(len(self.words))
        taken: npt.NDArray[np.bool_] = np.logical_or.reduce(self.blocked[:, bits], axis=1)
        return np.flatnonzero(~taken[self.words])

    def free_places(self, words: Lines) -> Index:
        """Return which of ``places`` are free on all these word lines: indices, ascending."""
        if not self.blocked.size:
            return np.arange(len(self.places))
        lines = self.places[:, None] + np.arange(self.layout.bit_lines)
        taken: npt.NDArray[np.bool_] = np.logical_or.reduce(self.blocked[words], axis=0)
        return np.flatnonzero(~taken[lines].any(axis=1))


class Floor:
    """The cells of all arrays in use, and the tiles on them.

    A line is free for a tile where none of its cells on it are another's.  Groups of one layer on
    one array lie block-diagonally and are read together: they share no lines at all.

    Args:
        layers: All layers of the network, placed, with cells.
        target: The chip; on arrays without limits there are no free lines.
    """

    def __init__(self, layers: Iterable[CrossbarLayer | ProgramLayer], target: Target) -> None:
        rows, columns = target.array.rows, target.array.columns
        self.limited = rows is not None and columns is not None
        self._grid = (rows or 0, columns or 0)
        self._taken: dict[int, npt.NDArray[np.bool_]] = {}
        self._tiles: dict[tuple[int, str], dict[int, TileLines]] = {}
        for layer in layers:
            for tile in tiles_of(layer):
                self.take(layer.name, tile)

    def take(self, layer: str, tile: TileLines) -> None:
        """Mark the cells of a tile as taken.

        Raises:
            ValueError: Some are another's.
        """
        self._set(layer, tile, True)

    def release(self, layer: str, tile: TileLines) -> None:
        """Mark the cells of a tile as free."""
        self._set(layer, tile, False)

    def room(self, layer: str, tile: TileLines) -> Room:
        """Return where a tile may lie that has been released."""
        if not self.limited:
            nowhere = np.zeros((0, 0), bool)
            return Room(tile.word_lines, tile.bit_lines[: _count(tile)], nowhere, tile.layout)
        blocked = np.zeros(self._grid, bool)
        for array in self._arrays(tile):
            if array in self._taken:
                blocked |= self._taken[array]
        for other in self._tiles.get((tile.array, layer), {}).values():
            if other.group != tile.group:
                blocked[np.setdiff1d(other.word_lines, tile.word_lines)] = True
                blocked[:, np.setdiff1d(other.occupied(), tile.occupied())] = True
        words = np.setdiff1d(np.arange(len(blocked), dtype=np.int32), tile.word_lines)
        own, step = tile.bit_lines[: _count(tile)], tile.layout.bit_lines
        starts = np.arange(own[0] % step, blocked.shape[1] - step + 1, step, dtype=np.int32)
        touches = np.isin(starts[:, None] + np.arange(step), tile.occupied()).any(1)
        return Room(
            np.concatenate([tile.word_lines, words]),
            np.concatenate([own, starts[~touches]]),
            blocked,
            tile.layout,
        )

    def _arrays(self, tile: TileLines) -> range:
        return range(tile.array, tile.array + tile.layout.arrays)

    def _set(self, layer: str, tile: TileLines, value: bool) -> None:
        if not self.limited:
            return
        place = np.ix_(tile.word_lines, tile.occupied())
        for array in self._arrays(tile):
            if array not in self._taken:
                self._taken[array] = np.zeros(self._grid, bool)
            taken = self._taken[array]
            if value and taken[place].any():
                raise ValueError(f"layer '{layer}': tiles overlap on array {array}")
            taken[place] = value
        tiles = self._tiles.setdefault((tile.array, layer), {})
        if value:
            tiles[tile.number] = tile
        else:
            del tiles[tile.number]


def _count(tile: TileLines) -> int:
    """Return the columns of a tile."""
    return int(tile.columns.stop) - int(tile.columns.start)
