"""Which converted currents share one full scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.layer import TILE_FIELDS

Policy = Literal["per-row-tile", "per-layer", "per-column", "full-scale"]


def converter_groups(
    policy: str,
    shape: tuple[int, int, int],
    tiles: npt.NDArray[np.int32],
    *,
    columns_per_adc: int,
    bit_lines: int,
    adjacent: bool,
    places: Sequence[npt.NDArray[np.int32]] | None = None,
) -> Tensor:
    """Return the group of every converted current; a group shares its full scale.

    1. ``per-row-tile`` and ``full-scale``: one a row tile and lane.
    2. ``per-layer``: one for everything.
    3. ``per-column``: one a physical converter: ``columns_per_adc`` adjacent bit lines (pairs).
       A converter that serves both sides of a pair, subtracted after it, gives them one range.

    Args:
        policy: ``adc.range`` of the target.
        shape: Row tiles, lanes, columns of all groups.
        tiles: Tile table of the layer.
        columns_per_adc: Bit lines (pairs) on one converter.
        bit_lines: Physical columns of a weight column.
        adjacent: Lanes are bit lines side by side.
        places: First bit line of every column of each tile; None: in order.

    Returns:
        int64 ``(row_tiles, lanes, columns)``, numbered from 0.
    """
    row_tiles, lanes, columns = shape
    if policy == "per-layer":
        return torch.zeros(shape, dtype=torch.int64)
    if policy != "per-column":
        each = torch.arange(row_tiles * lanes).reshape(row_tiles, lanes, 1)
        return each.expand(shape).contiguous()
    unit = columns_per_adc * bit_lines
    together = lanes > 1 and adjacent and columns_per_adc > 1
    if lanes > 1 and adjacent:
        # A converter has so many single bit lines; a range for whole weight columns.
        unit = math.lcm(columns_per_adc, bit_lines) if together else bit_lines
    converter = _converters(row_tiles, columns, tiles, unit, _places(tiles, bit_lines, places))
    lane = np.zeros(lanes, np.int64) if together else np.arange(lanes)
    keys = np.stack(
        np.broadcast_arrays(
            np.arange(row_tiles)[:, None, None],
            lane[None, :, None],
            converter[0][:, None, :],
            converter[1][:, None, :],
        ),
        axis=-1,
    )
    _, ids = np.unique(keys.reshape(-1, 4), axis=0, return_inverse=True)
    return torch.from_numpy(ids.reshape(shape).astype(np.int64))


def _places(
    tiles: npt.NDArray[np.int32], bit_lines: int, places: Sequence[npt.NDArray[np.int32]] | None
) -> Sequence[npt.NDArray[np.int32]]:
    """Return the first bit line of every column of each tile."""
    if places is not None:
        return places
    first, count = (tiles[:, TILE_FIELDS.index(name)] for name in ("array_column", "columns"))
    return [
        at + np.arange(n, dtype=np.int32) * np.int32(bit_lines)
        for at, n in zip(first, count, strict=True)
    ]


def _converters(
    row_tiles: int,
    columns: int,
    tiles: npt.NDArray[np.int32],
    unit: int,
    places: Sequence[npt.NDArray[np.int32]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return array and converter of every column of every row tile."""
    field = {name: tiles[:, k] for k, name in enumerate(TILE_FIELDS)}
    groups = int(field["group"].max()) + 1
    per_group = columns // groups
    array = np.zeros((row_tiles, columns), np.int64)
    converter = np.zeros((row_tiles, columns), np.int64)
    for k in range(len(tiles)):
        count = int(field["columns"][k])
        first = int(field["group"][k]) * per_group + int(field["column"][k])
        row_tile = int(field["row_tile"][k])
        array[row_tile, first : first + count] = field["array"][k]
        converter[row_tile, first : first + count] = places[k][:count] // unit
    return array, converter
