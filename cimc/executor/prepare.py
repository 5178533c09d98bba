"""How one operation reads one layer of one chip: everything that is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from cimc.device.normals import Normals
from cimc.executor.circuit import Circuit
from cimc.executor.converters import Driver, Mismatch, driver_of, sensor_of
from cimc.executor.fluctuation import fluctuation_of
from cimc.executor.matrices import Lane, Matrices
from cimc.executor.products import Ranges, per_column, tiles_of
from cimc.executor.read import LaneRead, Read, TileRead
from cimc.executor.workspace import Workspace
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac
from cimc.ops.convolution import conv_window


@dataclass(frozen=True, slots=True)
class Crossbar:
    """What one operation reads, as it is on one chip.

    Attributes:
        geometry: How the weight lies.
        row_tiles: First row and number of rows of each tile.
        seen: What the bit lines see.
        mismatch: Errors of the converters.
        dac: Input conversion of this use.
        adc: Output conversion.
    """

    geometry: Geometry
    row_tiles: Ranges
    seen: Matrices
    mismatch: Mismatch
    dac: Dac
    adc: Adc

    def matrix(self, group: int) -> Crossbar:
        """Return one matrix of a stack as a layer of its own."""
        geometry, columns = self.geometry, self.geometry.columns
        part, own = slice(group, group + 1), slice(group * columns, (group + 1) * columns)
        tiles = int(self.seen.column_tile[-1]) + 1
        shared = slice(group * tiles, (group + 1) * tiles)
        lanes = tuple(_lane(lane, part, own, shared) for lane in self.seen.lanes)
        seen = replace(
            self.seen,
            lanes=lanes,
            gain=self.seen.gain if self.seen.gain.numel() == 1 else self.seen.gain[own],
            correction=_number(self.seen.correction, own),
            ideal_us=_some(self.seen.ideal_us, own),
        )
        mismatch = Mismatch(_some(self.mismatch.gain, own), _some(self.mismatch.offset, own))
        return Crossbar(
            replace(geometry, groups=1, stack=()),
            self.row_tiles,
            seen,
            mismatch,
            self.dac,
            replace(self.adc, i_max_us=_some(self.adc.i_max_us, own)),
        )


def _lane(lane: Lane, part: slice, own: slice, shared: slice) -> Lane:
    return Lane(
        lane.delta_us[part],
        _number(lane.multiplier, own),
        None if lane.power_us2 is None else lane.power_us2[part],
        None if lane.shared_us2 is None else lane.shared_us2[part],
        _some(lane.total_us, own),
        _some(lane.shared_total_us, shared),
    )


def _some(value: Tensor | None, columns: slice) -> Tensor | None:
    """Return the values of some columns, where there is one a column along the last axis."""
    return value if value is None or value.shape[-1] == 1 else value[..., columns]


def _number(value: float | Tensor, columns: slice) -> float | Tensor:
    return value[columns] if isinstance(value, Tensor) and value.numel() > 1 else value


def read_of(
    crossbar: Crossbar,
    circuit: Circuit,
    attributes: Mapping[str, Any],
    normals: Normals | None,
    workspace: Workspace,
) -> Read:
    """Prepare how one operation reads one layer.

    Args:
        crossbar: What is read.
        circuit: How.
        attributes: Of the operation.
        normals: Random numbers; None where nothing is random.
        workspace: Where codes are put.
    """
    geometry, seen = crossbar.geometry, crossbar.seen
    driver = driver_of(
        crossbar.dac, crossbar.adc, circuit, per_vector=geometry.kind == "recurrent"
    )
    padded = driver.pulses.shift != 0 and geometry.kind == "conv"
    unpadded = {**attributes, "pads": None, "auto_pad": "VALID"} if padded else attributes
    unit = 1.0 if driver.static is None else driver.static.unit
    scale = seen.gain.double() * unit
    prepare = _Preparation(crossbar, circuit, driver, unpadded, normals, scale)
    shift: Tensor | None = None
    if driver.pulses.shift and seen.ideal_us is not None:
        worth = prepare.factor(seen.ideal_us.double() * driver.pulses.shift)
        shift = worth if isinstance(worth, Tensor) else seen.ideal_us.new_full((1,), worth)
    return Read(
        geometry,
        driver,
        tuple(prepare.tile(number) for number in range(len(crossbar.row_tiles))),
        prepare.factor(seen.correction),
        shift,
        _padding(geometry, attributes) if padded else None,
        workspace,
    )


@dataclass(frozen=True, slots=True)
class _Preparation:
    crossbar: Crossbar
    circuit: Circuit
    driver: Driver
    attributes: Mapping[str, Any]
    normals: Normals | None
    scale: Tensor

    def factor(self, value: float | Tensor) -> float | Tensor:
        """Return what a value in uS times input codes is worth in the output."""
        worth = self.scale * (value.double() if isinstance(value, Tensor) else value)
        if worth.numel() == 1 and not worth.requires_grad:
            return float(worth)
        return per_column(worth.float(), self.crossbar.geometry)

    def tile(self, number: int) -> TileRead:
        """Return the read of one row tile."""
        seen = self.crossbar.seen
        lanes = tuple(self.lane(number, k, lane) for k, lane in enumerate(seen.lanes))
        first = seen.lanes[0].delta_us
        ones = first.new_ones(*first.shape[:2], 1)
        total = self._tile(ones, number).product if _any(seen.correction) else None
        return TileRead(self._tile(first, number).select, lanes, total)

    def lane(self, number: int, index: int, lane: Lane) -> LaneRead:
        """Return the read of one lane of one row tile."""
        crossbar, geometry = self.crossbar, self.crossbar.geometry
        largest = self.driver.pulses.largest
        sensor = sensor_of(crossbar.adc, self.circuit, largest, crossbar.mismatch, number, index)
        noise = sensor.noise
        fluctuation = fluctuation_of(
            geometry,
            (number, crossbar.row_tiles[number]),
            lane,
            crossbar.seen.column_tile,
            self.attributes,
            self.normals,
            self.circuit.johnson_us * largest**2,
            per_column(noise, geometry) if isinstance(noise, Tensor) else noise,
        )
        factor = self.factor(sensor.step * lane.multiplier)
        sensor = sensor.broadcast(lambda values: per_column(values, geometry))
        return LaneRead(self._tile(lane.delta_us, number).product, sensor, fluctuation, factor)

    def _tile(self, matrix: Tensor, number: int) -> Any:
        rows = [self.crossbar.row_tiles[number]]
        return tiles_of(matrix, self.crossbar.geometry, rows, self.attributes)[0]


def _any(value: float | Tensor) -> bool:
    return isinstance(value, Tensor) or value != 0.0


def _padding(geometry: Geometry, attributes: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """Return what puts the padding of a convolution around its input."""
    settings = {k: v for k, v in attributes.items() if k != "group"}

    def pad(x: Tensor) -> Tensor:
        return conv_window(x.shape[2:], geometry.kernel, **settings).pad(x)

    return pad
