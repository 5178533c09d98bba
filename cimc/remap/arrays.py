"""Whole arrays to other arrays of the chip, spare ones included, by linear assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimc.ir.layer import TILE_FIELDS, CrossbarLayer
from cimc.remap.kinds import Kinds
from cimc.remap.lines import TileLines, tiles_of
from cimc.remap.losses import Losses
from cimc.remap.physical import ChipFaults
from cimc.remap.settings import RemapSettings
from cimc.targets import Target

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

#: Faults are counted in so many by so many parts of an array.
_PARTS: Final = 16
#: How the damage of a tile grows with the share of its cells that is stuck, once its rows have
#: been permuted: measured 2 to 3 on ResNet-8 (docs/layout.md).
_POWER: Final = 2.0
#: Nothing is moved for less than this share of the damage.
_WORTH: Final = 0.02

_ARRAY: Final = TILE_FIELDS.index("array")


@dataclass(frozen=True, slots=True)
class _Tile:
    """What matters of one tile.

    Attributes:
        array: Where it lies.
        spread: Share of its cells in each part of an array, float32 ``(parts, parts)``.
        harm: Damage if all cells were stuck at G_min, at G_max, float64 ``(2,)``.
    """

    array: int
    spread: Matrix
    harm: npt.NDArray[np.float64]


def exchange_arrays(
    layers: Mapping[str, CrossbarLayer],
    wanted: Mapping[str, Tensor],
    importance: Mapping[str, Tensor],
    faults: ChipFaults,
    target: Target,
    settings: RemapSettings,
) -> dict[int, int]:
    """Choose an array of the chip for every array in use, with all tiles on it.

    The damage of a tile on an array is estimated from what its weights lose on average when a
    cell is stuck, and from how many cells are stuck where it lies: two products of matrices for
    all tiles on all arrays.  Only arrays that were tested, or are in use, are taken; without a
    limit in the target only those in use.  The two arrays of a twin move together.

    Args:
        layers: All of the network, placed and with cells.
        wanted: Weights by layer, float32 ``(groups, rows, columns)``.
        importance: Of the errors of rows by layer, ``(groups or 1, rows)``.
        faults: Of the chip.
        target: The device.
        settings: ``cells`` is used.

    Returns:
        New number of every array in use (of twins: of both).
    """
    tiles = [
        tile
        for name, layer in layers.items()
        for tile in _tiles(layer, wanted[name], importance[name], target, settings)
    ]
    twins = max((layer.layout.arrays for layer in layers.values() if layer.layout), default=1)
    used = np.unique([tile.array for tile in tiles]).astype(np.int64)
    same = {int(a) + k: int(a) + k for a in used for k in range(twins)}
    if not len(tiles) or target.array.rows is None or target.array.columns is None:
        return same
    chosen = _candidates(used, twins, faults, target)
    cost = _cost(tiles, used, chosen, twins, faults)
    if not np.any(cost):
        return same
    from scipy.optimize import linear_sum_assignment  # half a second, and not always needed

    row, column = linear_sum_assignment(cost)
    now = cost[np.arange(len(used)), np.searchsorted(chosen, used)].sum()
    if cost[row, column].sum() > (1.0 - _WORTH) * now:
        return same
    return {
        int(used[r]) + k: int(chosen[c]) + k
        for r, c in zip(row, column, strict=True)
        for k in range(twins)
    }


def renumbered(layer: CrossbarLayer, arrays: Mapping[int, int]) -> CrossbarLayer:
    """Return the layer with its tiles on other arrays."""
    assert layer.tiles is not None
    tiles = layer.tiles.copy()
    tiles[:, _ARRAY] = [arrays[int(array)] for array in tiles[:, _ARRAY]]
    return replace(layer, tiles=tiles)


def _candidates(used: Numbers, twins: int, faults: ChipFaults, target: Target) -> Numbers:
    """Return the arrays (first ones of twins) there are to choose from, ascending."""
    if target.arrays is None:
        return used
    tested = np.array(sorted(faults.tested), np.int64)
    whole = tested[(tested % twins == 0) & (tested + twins <= target.arrays)]
    whole = np.array([a for a in whole if all(a + k in faults.tested for k in range(twins))])
    return np.union1d(used, whole.astype(np.int64))


def _cost(
    tiles: list[_Tile], used: Numbers, chosen: Numbers, twins: int, faults: ChipFaults
) -> npt.NDArray[np.float64]:
    """Return the damage of the tiles of every array on every candidate, ``(used, chosen)``."""
    spread = np.stack([tile.spread.reshape(-1) for tile in tiles])
    harm = np.stack([tile.harm for tile in tiles])
    damage = np.zeros((len(tiles), len(chosen)))
    for twin in range(twins):
        share = faults.shares(chosen + twin, _PARTS)  # (2, chosen, parts * parts)
        low, high = (spread @ part.T for part in share)
        rate = (low + high).astype(np.float64)
        part = harm[:, :1] * low + harm[:, 1:] * high
        damage += part * rate ** (_POWER - 1.0) / twins
    at = np.searchsorted(used, [tile.array for tile in tiles])
    cost = np.zeros((len(used), len(chosen)))
    np.add.at(cost, at, damage)
    return cost


def _tiles(
    layer: CrossbarLayer,
    wanted: Tensor,
    importance: Tensor,
    target: Target,
    settings: RemapSettings,
) -> list[_Tile]:
    assert layer.cells is not None
    assert layer.encoding is not None
    if layer.encoding == "signed":
        return []
    levels = None if layer.codebook is None else layer.codebook.levels
    losses = Losses(layer.cells, layer.encoding, target, settings.cells, levels, wanted)
    planes = len(layer.cells.planes)
    stuck = np.full((2 * planes + 1, planes), np.nan, np.float32)
    for k in range(planes):
        stuck[1 + k, k], stuck[1 + planes + k, k] = target.cell.g_min_us, target.cell.g_max_us
    kinds = Kinds(np.zeros((1, 1), np.int32), stuck)
    weight = importance.expand(len(wanted), -1).numpy()
    found = []
    for tile in tiles_of(layer):
        loss = losses.of(kinds, tile.group, tile.rows, tile.columns)
        total = (loss * weight[tile.group, tile.rows, None]).sum((1, 2), dtype=np.float64)
        harm = np.array([total[1 : 1 + planes].sum(), total[1 + planes :].sum()])
        found.append(_Tile(tile.array, _spread(tile, target), np.maximum(harm, 0.0)))
    return found


def _spread(tile: TileLines, target: Target) -> Matrix:
    """Return the share of a tile's cells in each part of an array."""
    shares = []
    for lines, size in (
        (tile.word_lines, target.array.rows),
        (tile.occupied(), target.array.columns),
    ):
        count = np.bincount(lines * _PARTS // (size or 1), minlength=_PARTS)
        shares.append(count / len(lines))
    found: Matrix = np.outer(*shares).astype(np.float32)
    return found
