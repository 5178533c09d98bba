"""What is random in a read, referred to the bit lines: cells, thermal noise, conversions.

All of it is normal and independent, so a bit line and read takes one random number, whose variance
is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.device.read_noise import add_fluctuation
from cimc.executor.matrices import Lane
from cimc.executor.products import Product, by_group, per_column, tiles_of
from cimc.ir.geometry import Geometry

#: Axis of the output, counted from the end for matrices, that holds the columns.
_COLUMN_AXIS = {"conv": 1, "conv-transpose": 1, "matrix": -1, "matrix-left": -2, "recurrent": -1}


@dataclass(frozen=True, slots=True)
class Fluctuation:
    """What is random in the reads of one lane of one row tile.

    Attributes:
        geometry: How the weight lies.
        normals: Random numbers; every read takes new ones.
        power: Squared drive to the variance of a column's own cells; None: they are still.
        still: Variance that does not depend on the input, broadcast against the output.
        shared: Squared drive to the variance of the offset cells, one output a column tile; None
            without.
        shared_still: Variance of the shared bit line that does not depend on the input; None
            without.
        column_tile: Column tile of each column, int64 ``(columns,)``.
    """

    geometry: Geometry
    normals: Normals
    power: Product | None
    still: float | Tensor
    shared: Product | None
    shared_still: Tensor | None
    column_tile: Tensor

    @property
    def needs_drive(self) -> bool:
        """Whether the variance depends on the input."""
        return self.power is not None or self.shared is not None

    def add(self, current: Tensor, squares: Tensor | None) -> None:
        """Add what is random to the currents of one read, in place.

        Args:
            current: Currents of all bit lines.
            squares: Squares of the word lines' drive; None where it is not needed.
        """
        own = None if self.power is None or squares is None else self.power(squares)
        add_fluctuation(current, own, self.still, self.normals)
        if self.shared is None and self.shared_still is None:
            return
        power = None if self.shared is None or squares is None else self.shared(squares)
        still: float | Tensor = 0.0 if self.shared_still is None else self.shared_still
        drawn = self._zeros(current) if power is None else torch.zeros_like(power)
        current.add_(self._spread(add_fluctuation(drawn, power, still, self.normals)))

    def _zeros(self, current: Tensor) -> Tensor:
        """Return zeros in the shape of the currents of the shared bit lines."""
        tiles = int(self.column_tile[-1]) + 1
        axis = _COLUMN_AXIS[self.geometry.kind]
        shape = list(current.shape)
        convolution = self.geometry.kind in ("conv", "conv-transpose")
        shape[axis] = tiles * (self.geometry.groups if convolution else 1)
        return current.new_zeros(shape)

    def _spread(self, drawn: Tensor) -> Tensor:
        """Give every column the draw of the bit line it shares."""
        kind = self.geometry.kind
        if kind not in ("conv", "conv-transpose"):
            return drawn.index_select(_COLUMN_AXIS[kind], self.column_tile)
        grouped = by_group(drawn, self.geometry.groups)
        return grouped.index_select(2, self.column_tile).flatten(1, 2)


def fluctuation_of(
    geometry: Geometry,
    row_tile: tuple[int, tuple[int, int]],
    lane: Lane,
    column_tile: Tensor,
    attributes: Mapping[str, Any],
    normals: Normals | None,
    thermal: float,
    conversion: float | Tensor,
) -> Fluctuation | None:
    """Return what is random in the reads of one lane of one row tile; None: nothing.

    Args:
        geometry: How the weight lies.
        row_tile: Its number; its first row and number of rows.
        lane: What is read.
        column_tile: Column tile of each column.
        attributes: Of the operation.
        normals: Random numbers; None without anything random.
        thermal: Variance of the current per uS on a bit line, for a drive of 1 code
            [uS^2 code^2 / uS].
        conversion: Variance of a conversion, as one of the current, broadcast against the output.
    """
    if normals is None:
        return None
    number, rows = row_tile
    still: float | Tensor = conversion
    shared_still = None
    if thermal and lane.total_us is not None:
        still = per_column(lane.total_us[number] * thermal, geometry) + conversion
    if thermal and lane.shared_total_us is not None:
        narrow = replace(geometry, columns=int(column_tile[-1]) + 1)
        shared_still = per_column(lane.shared_total_us[number] * thermal, narrow)
    own, shared = (
        None if p is None else tiles_of(p, geometry, [rows], attributes)[0].product
        for p in (lane.power_us2, lane.shared_us2)
    )
    if own is None and shared is None and shared_still is None and _zero(still):
        return None
    return Fluctuation(geometry, normals, own, still, shared, shared_still, column_tile)


def _zero(still: float | Tensor) -> bool:
    return not isinstance(still, Tensor) and still == 0.0
