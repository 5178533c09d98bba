"""One read of a crossbar layer: drive, currents, noise, conversion, partial sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cimc.device.converters import adc_codes
from cimc.device.read_noise import add_read_noise
from cimc.executor.converters import Driver, Sensor, driver_of, sensors_of
from cimc.executor.matrices import Matrices
from cimc.executor.products import Product, Ranges, by_group, products
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac

#: Axis of the output, counted from the end for matrices, that holds the columns.
_COLUMN_AXIS = {"conv": 1, "conv-transpose": 1, "matrix": -1, "matrix-left": -2, "recurrent": -1}


@dataclass(frozen=True, slots=True)
class Fluctuation:
    """Read noise of one layer.

    Attributes:
        sigma: Share of the conductance [-].
        stream: Random numbers; every read takes new ones.
        power: Product of each row tile with the squares of a column's own cells.
        shared: The same with the offset cells, one output a column tile; empty without.
        column_tile: Column tile of each column, int64 ``(columns,)``.
    """

    sigma: float
    stream: torch.Generator
    power: list[Product]
    shared: list[Product]
    column_tile: Tensor


@dataclass(frozen=True, slots=True)
class Read:
    """How one operation reads one layer of one chip.

    Attributes:
        geometry: How the weight lies.
        driver: Word-line drive.
        sensors: Bit-line conversion of each row tile.
        currents: Linear read of each row tile.
        gain: Weight units per uS, float32 ``(1,)`` or ``(groups * columns,)``.
        fluctuation: Read noise; None without.
    """

    geometry: Geometry
    driver: Driver
    sensors: list[Sensor]
    currents: list[Product]
    gain: Tensor
    fluctuation: Fluctuation | None

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x`` times the weight, as the crossbars and converters give it.

        Args:
            x: Input in the layout of the operator.
            bias: Added digitally, broadcast against the output.
        """
        codes, unit = self.driver.codes(x, per_vector=self.geometry.kind == "recurrent")
        squares = None if self.fluctuation is None else codes.square()
        total: Tensor | None = None
        for number, (product, sensor) in enumerate(zip(self.currents, self.sensors, strict=True)):
            current = product(codes)
            if squares is not None:
                self._fluctuate(current, squares, number)
            if sensor.bits is not None:
                adc_codes(current, sensor.inv_lsb, sensor.bits)
            if total is None:
                total = current.mul_(sensor.step)
            else:
                total.add_(current, alpha=sensor.step)
        assert total is not None
        total.mul_(unit).mul_(self._gain(total.ndim))
        return total if bias is None else total.add_(bias)

    def _fluctuate(self, current: Tensor, squares: Tensor, tile: int) -> None:
        noise = self.fluctuation
        assert noise is not None
        add_read_noise(current, noise.power[tile](squares), noise.sigma, noise.stream)
        if noise.shared:
            shared = noise.shared[tile](squares)
            none = torch.zeros_like(shared)
            axis = _COLUMN_AXIS[self.geometry.kind] % current.ndim
            drawn = add_read_noise(none, shared, noise.sigma, noise.stream)
            current.add_(self._spread(drawn, axis, noise.column_tile))

    def _spread(self, drawn: Tensor, axis: int, column_tile: Tensor) -> Tensor:
        """Give every column the draw of the offset cells it shares."""
        if self.geometry.kind not in ("conv", "conv-transpose"):
            return drawn.index_select(axis, column_tile)
        grouped = by_group(drawn, self.geometry.groups)
        return grouped.index_select(2, column_tile).flatten(1, 2)

    def _gain(self, ndim: int) -> Tensor:
        """Return the gain, broadcast against the output."""
        gain, geometry = self.gain, self.geometry
        if gain.numel() == 1:
            return gain.reshape(())
        if geometry.kind in ("conv", "conv-transpose"):
            return gain.reshape(1, -1, *[1] * (ndim - 2))
        if geometry.kind == "matrix-left":
            return gain.reshape(*geometry.stack, -1, 1)
        if geometry.stack:
            return gain.reshape(*geometry.stack, 1, -1)
        return gain


def read_of(
    geometry: Geometry,
    row_tiles: Ranges,
    seen: Matrices,
    dac: Dac,
    adc: Adc,
    attributes: Mapping[str, Any],
    noise: tuple[float, torch.Generator] | None,
) -> Read:
    """Prepare how one operation reads one layer.

    Args:
        geometry: How the weight lies.
        row_tiles: First row and number of rows of each tile.
        seen: What the bit lines see on this chip.
        dac: Input conversion.
        adc: Output conversion.
        attributes: Of the operation.
        noise: Share of the conductance and the stream of read noise; None without.
    """
    driver = driver_of(dac, adc)
    fluctuation = None
    if noise is not None and seen.power_us2 is not None:
        shared = seen.shared_us2
        fluctuation = Fluctuation(
            *noise,
            products(seen.power_us2, geometry, row_tiles, attributes),
            [] if shared is None else products(shared, geometry, row_tiles, attributes),
            seen.column_tile,
        )
    return Read(
        geometry,
        driver,
        sensors_of(adc, driver, len(row_tiles)),
        products(seen.delta_us, geometry, row_tiles, attributes),
        seen.gain,
        fluctuation,
    )


def one_matrix(geometry: Geometry, seen: Matrices, group: int) -> tuple[Geometry, Matrices]:
    """Return one matrix of a stack as a layer of its own."""
    part = slice(group, group + 1)
    gain = seen.gain
    if gain.numel() > 1:
        gain = gain.reshape(geometry.groups, geometry.columns)[group]
    power, shared = seen.power_us2, seen.shared_us2
    return replace(geometry, groups=1, stack=()), Matrices(
        seen.delta_us[part],
        gain,
        None if power is None else power[part],
        None if shared is None else shared[part],
        seen.column_tile,
    )
