"""Read noise of one layer, referred to its bit lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.device.read_noise import add_read_noise
from cimc.executor.matrices import Lane, Matrices
from cimc.executor.products import Ranges, Tile, by_group, tiles_of
from cimc.ir.geometry import Geometry

#: Axis of the output, counted from the end for matrices, that holds the columns.
_COLUMN_AXIS = {"conv": 1, "conv-transpose": 1, "matrix": -1, "matrix-left": -2, "recurrent": -1}


@dataclass(frozen=True, slots=True)
class Noise:
    """Read noise of a chip.

    Attributes:
        sigma: Standard deviation of a cell as a share of its conductance [-].
        normals: Random numbers; every read takes new ones.
    """

    sigma: float
    normals: Normals


@dataclass(frozen=True, slots=True)
class Fluctuation:
    """Read noise of one layer.

    Attributes:
        geometry: How the weight lies.
        noise: How much, and its random numbers.
        power: Read of each row tile with the squares of a column's own cells.
        shared: The same with the offset cells, one output a column tile; empty without.
        column_tile: Column tile of each column, int64 ``(columns,)``.
    """

    geometry: Geometry
    noise: Noise
    power: list[Tile]
    shared: list[Tile]
    column_tile: Tensor

    def add(self, current: Tensor, codes: Tensor, tile: int, *, overwrite: bool) -> None:
        """Add the fluctuation of one row tile to its currents, in place.

        Args:
            current: Currents of all bit lines.
            codes: What the tile's word lines were driven with.
            tile: Which.
            overwrite: Whether ``codes`` may be.
        """
        squares = codes.square_() if overwrite else codes.square()
        sigma, normals = self.noise.sigma, self.noise.normals
        add_read_noise(current, self.power[tile].product(squares), sigma, normals)
        if self.shared:
            power = self.shared[tile].product(squares)
            drawn = add_read_noise(torch.zeros_like(power), power, sigma, normals)
            current.add_(self._spread(drawn))

    def _spread(self, drawn: Tensor) -> Tensor:
        """Give every column the draw of the offset cells it shares."""
        kind = self.geometry.kind
        if kind not in ("conv", "conv-transpose"):
            return drawn.index_select(_COLUMN_AXIS[kind], self.column_tile)
        grouped = by_group(drawn, self.geometry.groups)
        return grouped.index_select(2, self.column_tile).flatten(1, 2)


def fluctuation_of(
    geometry: Geometry,
    row_tiles: Ranges,
    seen: Matrices,
    lane: Lane,
    attributes: Mapping[str, Any],
    noise: Noise | None,
) -> Fluctuation | None:
    """Return the read noise of a layer; None without."""
    if noise is None or lane.power_us2 is None:
        return None
    shared = lane.shared_us2
    return Fluctuation(
        geometry,
        noise,
        tiles_of(lane.power_us2, geometry, row_tiles, attributes),
        [] if shared is None else tiles_of(shared, geometry, row_tiles, attributes),
        seen.column_tile,
    )
