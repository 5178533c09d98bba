"""Give every tile a place on an array of the chip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cimc.errors import FitError
from cimc.ir.layer import CrossbarLayer
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.targets import Target
from cimc.targets.layout import layout_of, room_of


@dataclass(frozen=True)
class PlaceTiles(Pass):
    """Pack tiles into arrays, several small ones into one.

    1. The groups of a grouped convolution are packed block-diagonally, as many as fit one array:
       they share neither word lines nor bit lines, so they are read in one go.
    2. Blocks are packed by first-fit on shelves, tallest first among blocks of equal height
       class; arrays are numbered in the order they are opened, so the result is deterministic.
    3. An array never holds more than its word lines and bit lines less the spare ones; blocks
       never overlap.  Spare arrays of the chip stay free.
    4. Pairs in twin arrays take arrays two by two: G+ on an even one, G- at the same place of the
       next.

    Raises:
        FitError: CIMC-S01, the network needs more arrays than the chip has; names both numbers and
            the first layer (in execution order) that does not fit.
    """

    name: ClassVar[str] = "place-tiles"
    needs: ClassVar[Stage] = Stage.TILED
    gives: ClassVar[Stage] = Stage.PLACED

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the place of every tile."""
        blocks = [b for layer in network.layers.values() for b in _blocks(layer, context.target)]
        twins = layout_of(context.target).arrays
        arrays = twins * _pack(blocks, context.target)
        available = room_of(context.target)[2]
        if available is not None and arrays > available:
            first = next(b.layer for b in blocks if (b.array + 1) * twins > available)
            raise FitError(
                "CIMC-S01",
                f"needs {arrays} arrays, the target '{context.target.name}' has {available}"
                + _spare(context.target),
                where=f"layer '{first}' is the first that does not fit",
                hint="a target with more arrays, or pinning layers digital (--digital PATTERN)",
            )
        tables = {name: np.array(layer.tiles) for name, layer in network.layers.items()}
        for block in blocks:
            tables[block.layer][block.tiles, 6] = block.array * twins
            tables[block.layer][block.tiles, 7] = block.row + block.row_offsets
            tables[block.layer][block.tiles, 8] = block.column + block.column_offsets
        layers = {n: replace(layer, tiles=tables[n]) for n, layer in network.layers.items()}
        return replace(network, layers=layers, stage=Stage.PLACED)


def _spare(target: Target) -> str:
    spare = target.chip.spare_arrays
    return f" and {spare} spare" if spare else ""


@dataclass(slots=True)
class _Block:
    """A rectangle of cells that is placed as one."""

    layer: str
    tiles: npt.NDArray[np.int64]
    row_offsets: npt.NDArray[np.int64]
    column_offsets: npt.NDArray[np.int64]
    height: int
    width: int
    array: int = -1
    row: int = -1
    column: int = -1


@dataclass(slots=True)
class _Shelf:
    array: int
    row: int
    height: int
    used: int


@dataclass(slots=True)
class _Floor:
    """What is open: shelves with room, and the first free row of each array."""

    shelves: list[_Shelf] = field(default_factory=list)
    free_row: dict[int, int] = field(default_factory=dict)
    arrays: int = 0


def _blocks(layer: CrossbarLayer, target: Target) -> list[_Block]:
    """Return the blocks of a layer: one a tile, or several groups' tiles block-diagonally."""
    assert layer.tiles is not None
    table = layer.tiles.astype(np.int64)
    heights, widths = table[:, 3], layout_of(target).width(table[:, 5])
    blocks: list[_Block] = []
    per_group = len(table) // layer.geometry.groups
    count = 1
    rows, columns, _ = room_of(target)
    if layer.geometry.groups > 1 and rows and columns:
        count = min(rows // heights.max(), columns // widths.max())
    if rows is None or columns is None:
        count = 1
    for tile in range(per_group):
        members = np.arange(tile, len(table), per_group)
        for start in range(0, len(members), max(1, count)):
            chosen = members[start : start + max(1, count)]
            down = np.concatenate([[0], np.cumsum(heights[chosen])])
            right = np.concatenate([[0], np.cumsum(widths[chosen])])
            blocks.append(
                _Block(layer.name, chosen, down[:-1], right[:-1], int(down[-1]), int(right[-1]))
            )
    return blocks


def _pack(blocks: list[_Block], target: Target) -> int:
    """Place every block; return the number of arrays used."""
    rows, columns, _ = room_of(target)
    if rows is None or columns is None:
        for number, block in enumerate(blocks):
            block.array, block.row, block.column = number, 0, 0
        return len(blocks)
    floor = _Floor()
    order = sorted(range(len(blocks)), key=lambda i: (-blocks[i].height, -blocks[i].width, i))
    for index in order:
        _place(blocks[index], floor, rows, columns)
    return floor.arrays


def _place(block: _Block, floor: _Floor, rows: int, columns: int) -> None:
    for shelf in floor.shelves:
        if shelf.height >= block.height and columns - shelf.used >= block.width:
            break
    else:
        shelf = _open_shelf(block, floor, rows)
    block.array, block.row, block.column = shelf.array, shelf.row, shelf.used
    shelf.used += block.width
    if shelf.used >= columns:
        floor.shelves.remove(shelf)


def _open_shelf(block: _Block, floor: _Floor, rows: int) -> _Shelf:
    array = next((a for a, r in floor.free_row.items() if rows - r >= block.height), None)
    if array is None:
        array, floor.arrays = floor.arrays, floor.arrays + 1
        floor.free_row[array] = 0
    shelf = _Shelf(array, floor.free_row[array], block.height, 0)
    floor.free_row[array] += block.height
    if floor.free_row[array] >= rows:
        del floor.free_row[array]
    floor.shelves.append(shelf)
    return shelf
