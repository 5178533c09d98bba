"""Lay the rows and columns of a layer on the lines of its arrays where faults hurt least."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.layer import CrossbarLayer
from cimc.remap.columns import assign_columns, healthiest_offset
from cimc.remap.damage import TileDamage
from cimc.remap.floor import Floor, Room
from cimc.remap.kinds import kinds_of
from cimc.remap.lines import TileLines, tiles_of
from cimc.remap.losses import Losses
from cimc.remap.physical import ChipFaults, tile_stuck
from cimc.remap.polarity import gain_of_exchange
from cimc.remap.rows import assign
from cimc.remap.settings import RemapSettings
from cimc.targets import Target

Lines = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]
Signs = npt.NDArray[np.bool_]

#: Most alternations of rows and columns in a tile, and the share below which a gain is the last.
_ROUNDS: Final = 4
_LITTLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where the rows and columns of a layer are to lie.

    Attributes:
        word_lines: As :attr:`cimc.ir.layer.CrossbarLayer.word_lines`; None: in order.
        bit_lines: As :attr:`cimc.ir.layer.CrossbarLayer.bit_lines`; None: in order.
        signs: Of the gain of each column, 1 or -1, float32 ``(groups * columns,)``; -1: G+ and G-
            are exchanged.
        before: Weighted squared error that faults add to the weights, as the layer lies now.
        after: The same as it is to lie.
    """

    word_lines: Lines | None
    bit_lines: Lines | None
    signs: Tensor
    before: float
    after: float

    def applied(self, layer: CrossbarLayer) -> CrossbarLayer:
        """Return the layer so laid, the signs in its gain; the cells are not chosen again."""
        assert layer.cells is not None
        size = layer.cells.gain.abs()
        if bool((self.signs < 0).any()):
            size = size.expand(len(self.signs)) * self.signs
        cells = replace(layer.cells, gain=size.contiguous())
        return replace(layer, word_lines=self.word_lines, bit_lines=self.bit_lines, cells=cells)


def arrange(
    layer: CrossbarLayer,
    wanted: Tensor,
    importance: Tensor,
    faults: ChipFaults,
    target: Target,
    settings: RemapSettings,
    floor: Floor,
    *,
    levels: Tensor | None = None,
) -> Arrangement:
    """Choose lines and polarities of a layer.

    Tile by tile, rows and columns are assigned alternately, each exactly (linear assignment), to
    all lines of the array that no other tile occupies there.  Measured gains are not looked at:
    they even out over a row.

    Args:
        layer: Placed and with cells; its planes are not looked at but for offset cells.
        wanted: Weights, float32 ``(groups, rows, columns)``.
        importance: Of an error of each row, ``(groups or 1, rows)``, see
            :func:`cimc.remap.rows.importance_of`; or of each weight ``(groups, rows, columns)``.
        faults: Of the chip.
        target: The device.
        settings: ``cells``, ``rows``, ``columns`` and ``polarity`` are used.
        floor: What all tiles of the network occupy; is brought up to date.
        levels: Of the codebook, for cells ``codebook``; None: those of the layer.

    Returns:
        Where everything is to lie; as it does now where nothing is gained.
    """
    assert layer.cells is not None
    assert layer.encoding is not None
    if levels is None and layer.codebook is not None:
        levels = layer.codebook.levels
    losses = Losses(layer.cells, layer.encoding, target, settings.cells, levels, wanted)
    return _Work(layer, losses, importance, faults, settings, floor).run()


class _Work:
    """One layer being arranged."""

    def __init__(
        self,
        layer: CrossbarLayer,
        losses: Losses,
        importance: Tensor,
        faults: ChipFaults,
        settings: RemapSettings,
        floor: Floor,
    ) -> None:
        assert layer.cells is not None
        self.layer, self.losses, self.faults = layer, losses, faults
        self.settings, self.floor = settings, floor
        groups, _, columns = losses.wanted.shape
        if importance.ndim == 2:
            importance = importance[:, :, None]
        self.importance = importance.expand(groups, -1, -1).numpy()
        gain = layer.cells.gain.expand(groups * columns)
        self.signs = (gain < 0).reshape(groups, columns).numpy().copy()
        self.pairs = layer.encoding == "differential-pair"
        #: Whether a column is in one tile only, which then chooses its polarity.
        self.alone = layer.row_tiles is not None and len(layer.row_tiles) == 1
        self.before = self.after = 0.0

    def run(self) -> Arrangement:
        """Arrange the tiles one after the other."""
        tiles = list(tiles_of(self.layer))
        if self.layer.encoding == "signed" or not any(self._faulty(tile) for tile in tiles):
            return self._arrangement(tiles, tiles)
        if self.settings.polarity and self.pairs:
            self._exchange(tiles)
        return self._arrangement(tiles, [self._laid(tile) for tile in tiles])

    def _arrangement(self, tiles: list[TileLines], laid: list[TileLines]) -> Arrangement:
        words, bits = self.layer.word_lines, self.layer.bit_lines
        if any(new is not old for new, old in zip(laid, tiles, strict=True)):
            words = np.concatenate([tile.word_lines for tile in laid])
            bits = np.concatenate([tile.bit_lines for tile in laid])
        signs = torch.from_numpy(np.where(self.signs, -1.0, 1.0).astype(np.float32))
        return Arrangement(words, bits, signs.reshape(-1), self.before, self.after)

    def _faulty(self, tile: TileLines) -> bool:
        return any(self.faults.count(tile.array + k) for k in range(tile.layout.arrays))

    def _damage(self, tile: TileLines, words: Lines, places: Lines) -> TileDamage:
        """Return what the tile loses on any of these word lines and places for columns."""
        assert self.layer.cells is not None
        planes = len(self.layer.cells.planes)
        offset = tile.bit_lines[tile.columns.stop - tile.columns.start :]
        lines = np.concatenate([places, offset])
        kinds = kinds_of(tile_stuck(tile, planes, self.faults, words, lines))
        place = tile.group, tile.rows, tile.columns
        importance = self.importance[tile.group, tile.rows]
        if importance.shape[1] > 1:
            importance = importance[:, tile.columns]
        return TileDamage.of(kinds, self.losses, importance, place, pairs=self.pairs)

    def _exchange(self, tiles: list[TileLines]) -> None:
        """Exchange G+ and G- of the columns where that is better as the tiles lie now."""
        saved = np.zeros(self.signs.shape)
        for tile in tiles:
            count = tile.columns.stop - tile.columns.start
            damage = self._damage(tile, tile.word_lines, tile.bit_lines[:count])
            line, place = np.arange(len(tile.word_lines)), np.arange(count)
            saved[tile.group, tile.columns] += gain_of_exchange(damage, line, place)
        self.signs = saved > 0

    def _laid(self, tile: TileLines) -> TileLines:
        """Return a tile where it is to lie; the floor is told."""
        name = self.layer.name
        self.floor.release(name, tile)
        before, lost, laid, signs = self._assigned(tile)
        if tile.layout.extra and self.settings.columns:
            start = healthiest_offset(tile, self.floor.room(name, tile), self.faults)
            _, other, where, polarity = self._assigned(start)
            if other < lost:
                lost, laid, signs = other, where, polarity
        self.before += before
        self.after += lost
        self.signs[tile.group, tile.columns] = signs
        self.floor.take(name, laid)
        return laid

    def _assigned(self, tile: TileLines) -> tuple[float, float, TileLines, Signs]:
        """Return what a tile loses where it starts, and where it is best, and that place."""
        room = self.floor.room(self.layer.name, tile)
        damage = self._damage(tile, room.words, room.places)
        signs = self.signs[tile.group, tile.columns]
        best = np.arange(len(tile.word_lines)), np.arange(len(signs)), signs
        before = lost = damage.total(*best)
        for _ in range(_ROUNDS):
            found = self._round(tile, room, damage, *best)
            now = damage.total(*found)
            if now >= lost:
                break
            little = now > (1.0 - _LITTLE) * lost
            best, lost = found, now
            if little:
                break
        line, place, signs = best
        laid = self._moved(tile, room, line, place) if lost < before else tile
        return before, lost, laid, signs

    def _round(
        self,
        tile: TileLines,
        room: Room,
        damage: TileDamage,
        line: Index,
        place: Index,
        signs: Signs,
    ) -> tuple[Index, Index, Signs]:
        """Assign the rows of a tile, then its columns."""
        if self.settings.rows:
            free = room.free_words(self._moved(tile, room, line, place).occupied())
            line = free[assign(damage.of_rows(damage.at(free, place, signs)))]
        if self.settings.columns:
            free = room.free_places(room.words[line])
            both = self.settings.polarity and self.alone
            place, signs = assign_columns(damage, line, free, signs, both=both)
        return line, place, signs

    @staticmethod
    def _moved(tile: TileLines, room: Room, line: Index, place: Index) -> TileLines:
        """Return the tile on other lines; offset cells stay on their bit line."""
        offset = tile.bit_lines[len(place) :]
        bits = np.concatenate([room.places[place], offset])
        return replace(tile, word_lines=room.words[line], bit_lines=bits)
