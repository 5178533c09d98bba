"""One read of a crossbar layer: drive, currents, noise, conversion, partial sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cimc.device.converters import adc_codes
from cimc.executor.converters import Driver, Sensor, driver_of, sensors_of
from cimc.executor.fluctuation import Fluctuation, Noise, fluctuation_of
from cimc.executor.matrices import Matrices
from cimc.executor.products import Ranges, Tile, tiles_of
from cimc.executor.workspace import Workspace
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac


@dataclass(frozen=True, slots=True)
class Read:
    """How one operation reads one layer of one chip.

    Attributes:
        geometry: How the weight lies.
        driver: Word-line drive.
        sensors: Bit-line conversion of each row tile.
        tiles: Linear read of each row tile.
        gain: Weight units per uS: a number, or float32 ``(groups * columns,)``.
        fluctuation: Read noise; None without.
        workspace: Where codes are put.
    """

    geometry: Geometry
    driver: Driver
    sensors: list[Sensor]
    tiles: list[Tile]
    gain: float | Tensor
    fluctuation: Fluctuation | None
    workspace: Workspace

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x`` times the weight, as the crossbars and converters give it.

        Args:
            x: Input in the layout of the operator.
            bias: Added digitally, broadcast against the output.

        Returns:
            A new tensor.
        """
        drive = self.driver.drive(x)
        scale = _product_of_numbers(drive.unit, self.gain)
        step = 1.0 if scale is None else scale
        # A convolution wants its channels dense, a matrix product takes slices as they are.
        slices = self.geometry.kind != "conv"
        driven = self.driver.codes(x, drive, self.workspace) if slices else x
        total: Tensor | None = None
        for number, (tile, sensor) in enumerate(zip(self.tiles, self.sensors, strict=True)):
            codes = part = tile.select(driven)
            if not slices:
                codes = self.driver.codes(part, drive, self.workspace)
            current = tile.product(codes)
            if self.fluctuation is not None:
                ours = codes is not part or driven is not x
                self.fluctuation.add(current, codes, number, overwrite=ours)
            if sensor.bits is not None:
                adc_codes(current, sensor.inv_lsb, sensor.bits)
            if total is not None:
                total.add_(current, alpha=sensor.step * step)
            elif scale is not None and bias is not None:
                total = torch.add(bias, current, alpha=sensor.step * step, out=current)
            else:
                total = current.mul_(sensor.step * step)
        assert total is not None, "a layer has at least one row tile"
        if scale is not None:
            return total
        total.mul_(drive.unit * self._gain(total.ndim))
        return total if bias is None else total.add_(bias)

    def _gain(self, ndim: int) -> float | Tensor:
        """Return the gain, broadcast against an output of that many axes."""
        gain, geometry = self.gain, self.geometry
        if isinstance(gain, float):
            return gain
        if geometry.kind in ("conv", "conv-transpose"):
            return gain.reshape(1, -1, *[1] * (ndim - 2))
        if geometry.kind == "matrix-left":
            return gain.reshape(*geometry.stack, -1, 1)
        return gain.reshape(*geometry.stack, 1, -1) if geometry.stack else gain


def _product_of_numbers(a: float | Tensor, b: float | Tensor) -> float | None:
    """Return the product of two numbers; None when one is a tensor."""
    return a * b if isinstance(a, float) and isinstance(b, float) else None


def read_of(
    geometry: Geometry,
    row_tiles: Ranges,
    seen: Matrices,
    dac: Dac,
    adc: Adc,
    attributes: Mapping[str, Any],
    noise: Noise | None,
    workspace: Workspace,
) -> Read:
    """Prepare how one operation reads one layer.

    Args:
        geometry: How the weight lies.
        row_tiles: First row and number of rows of each tile.
        seen: What the bit lines see on this chip.
        dac: Input conversion.
        adc: Output conversion.
        attributes: Of the operation.
        noise: Read noise; None without.
        workspace: Where codes are put.
    """
    (lane,) = seen.lanes
    driver = driver_of(dac, adc, per_vector=geometry.kind == "recurrent")
    return Read(
        geometry,
        driver,
        sensors_of(adc, driver, len(row_tiles)),
        tiles_of(lane.delta_us, geometry, row_tiles, attributes),
        seen.gain.item() if seen.gain.numel() == 1 else seen.gain,
        fluctuation_of(geometry, row_tiles, seen, lane, attributes, noise),
        workspace,
    )


def one_matrix(geometry: Geometry, seen: Matrices, group: int) -> tuple[Geometry, Matrices]:
    """Return one matrix of a stack as a layer of its own."""
    part = slice(group, group + 1)
    gain = seen.gain
    if gain.numel() > 1:
        gain = gain.reshape(geometry.groups, geometry.columns)[group]
    lanes = tuple(
        replace(
            lane,
            delta_us=lane.delta_us[part],
            power_us2=None if lane.power_us2 is None else lane.power_us2[part],
            shared_us2=None if lane.shared_us2 is None else lane.shared_us2[part],
        )
        for lane in seen.lanes
    )
    return replace(geometry, groups=1, stack=()), replace(seen, lanes=lanes, gain=gain)
