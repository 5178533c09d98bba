"""Logical columns to physical bit lines, by linear assignment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cimc.remap.damage import TileDamage
from cimc.remap.floor import Room
from cimc.remap.lines import TileLines
from cimc.remap.physical import ChipFaults
from cimc.remap.rows import Index, assign

Signs = npt.NDArray[np.bool_]


def assign_columns(
    damage: TileDamage, lines: Index, free: Index, signs: Signs, *, both: bool
) -> tuple[Index, Signs]:
    """Return the place of each column that makes the damage least, and its polarity.

    Args:
        damage: Of the tile.
        lines: Of the word lines, that of each row, int64 ``(rows,)``.
        free: Of the places, those there are to choose from, int64 ``(s,)``.
        signs: Which columns have G+ and G- exchanged, bool ``(columns,)``.
        both: Whether polarities may change: each column at each place takes the better one.

    Returns:
        int64 ``(columns,)``, all different; and the new polarities.
    """
    kinds = damage.at(lines, free)
    cost = damage.of_columns(kinds)
    if damage.other is None or not (both or signs.any()):
        return free[assign(cost)], signs
    exchanged = damage.of_columns(damage.other[kinds])
    if not both:
        return free[assign(np.where(signs[:, None], exchanged, cost))], signs
    # Where both are the same, the polarity stays.
    better = np.where(signs[:, None], exchanged <= cost, exchanged < cost)
    places = assign(np.where(better, exchanged, cost))
    return free[places], better[np.arange(len(places)), places]


def healthiest_offset(tile: TileLines, room: Room, faults: ChipFaults) -> TileLines:
    """Return a tile with its offset cells on the bit line with the fewest stuck cells.

    A stuck offset cell moves the weights of a whole row.  Where a column lies on that bit line,
    the two change places.

    Args:
        tile: With one bit line of offset cells, the last of its bit lines.
        room: Where it may lie.
        faults: Of the chip.
    """
    places = room.places[room.free_places(tile.word_lines)]
    lines = np.append(tile.bit_lines[-1:], places)
    stuck = ~np.isnan(faults.stuck_at(tile.array, tile.word_lines, lines))
    best = lines[int(stuck.sum(0).argmin())]
    bits = tile.bit_lines.copy()
    bits[bits == best] = tile.bit_lines[-1]
    bits[-1] = best
    return replace(tile, bit_lines=bits)
