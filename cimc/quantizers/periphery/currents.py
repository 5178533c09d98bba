"""The currents that the ADCs of one layer convert, for given input vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cimc.device.converters import dac_codes, largest_code
from cimc.device.drives import Pulses, phases, pulses


@dataclass(frozen=True, slots=True)
class Drive:
    """How inputs are applied.

    Attributes:
        bits: Resolution of the DAC, sign included [bit]; None: no DAC.
        signed: Whether inputs may be negative.
        kind: ``parallel``, ``bit-serial`` or ``pulse-width``.
        negative: What becomes of negative inputs: ``bipolar``, ``two-phase`` or ``shift``.
    """

    bits: int | None
    signed: bool
    kind: Literal["parallel", "bit-serial", "pulse-width"] = "parallel"
    negative: Literal["bipolar", "two-phase", "shift"] = "bipolar"

    @property
    def largest_code(self) -> int:
        """Largest code of the DAC; 1 without, inputs at full scale."""
        return 1 if self.bits is None else largest_code(self.bits, signed=self.signed)

    @property
    def pulses(self) -> Pulses:
        """The phases of a read."""
        return pulses(self.kind, self.negative, self.bits, signed=self.signed)


@dataclass(frozen=True, slots=True)
class Lane:
    """One current of each weight column that is converted by itself.

    Attributes:
        delta_us: What its bit lines see of the inputs, float32 ``(groups, rows, columns)`` [uS].
        multiplier: Digital factor of its decoded current: a number, or ``(groups * columns,)``.
    """

    delta_us: Tensor
    multiplier: float | Tensor = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How one use reads its layer.

    Attributes:
        lanes: Currents of a column.
        row_tiles: First row and rows of each tile, read and converted one by one.
        drive: How inputs become word-line drives.
        gain: Weight units per uS, float32 ``(groups * columns,)``.
        adc_bits: Resolution of the ADC [bit].
        adc_signed: Whether its codes may be negative.
    """

    lanes: tuple[Lane, ...]
    row_tiles: tuple[tuple[int, int], ...]
    drive: Drive
    gain: Tensor
    adc_bits: int
    adc_signed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Row tiles, lanes, columns of all groups."""
        groups, _, columns = self.lanes[0].delta_us.shape
        return len(self.row_tiles), len(self.lanes), groups * columns

    @property
    def largest_code(self) -> int:
        """Largest code of the ADC."""
        return largest_code(self.adc_bits, signed=self.adc_signed)

    @property
    def lowest_code(self) -> int:
        """Lowest code of the ADC."""
        return -self.largest_code if self.adc_signed else 0


@dataclass(frozen=True, slots=True)
class Converted:
    """Input vectors on their way through one layer, up to the ADC.

    Attributes:
        applied: The inputs that the drive stands for, ``(n, groups, rows)``.
        tiles: Currents of each row tile, float32 ``(phases, n, lanes, columns)`` [uS].
        shares: What a phase's current contributes to the whole, ``(phases,)``.
    """

    applied: Tensor
    tiles: tuple[Tensor, ...]
    shares: Tensor


def convert(reading: Reading, x: Tensor, x_max: float) -> Converted:
    """Return the currents that input vectors cause.

    Args:
        reading: Of the layer.
        x: Inputs, float32 ``(n, groups, rows)``.
        x_max: Full scale of the DAC; without one, of the inputs.
    """
    drive, how, q = reading.drive, reading.drive.pulses, reading.drive.largest_code
    codes = _codes(drive, x, x_max)
    driven = phases(codes, how).div_(how.largest)
    tiles = tuple(
        torch.stack(
            [
                _product(driven[..., first : first + rows], lane.delta_us[:, first : first + rows])
                for lane in reading.lanes
            ],
            dim=2,
        )
        for first, rows in reading.row_tiles
    )
    shares = torch.tensor(how.weights, dtype=torch.float32) * (how.largest / q)
    return Converted(codes * (x_max / q), tiles, shares)


class Currents:
    """The currents of some inputs, kept for the full scale of the DAC that was asked for last.

    Args:
        reading: Of the layer.
        x: Inputs, float32 ``(n, groups, rows)``.
    """

    def __init__(self, reading: Reading, x: Tensor) -> None:
        self._reading, self._x = reading, x
        self._last: tuple[float, Converted] | None = None

    def at(self, x_max: float) -> Converted:
        """Return what :func:`convert` does."""
        if self._last is None or self._last[0] != x_max:
            self._last = x_max, convert(self._reading, self._x, x_max)
        return self._last[1]


def applied(drive: Drive, x: Tensor, x_max: float) -> Tensor:
    """Return the inputs that the codes of a DAC stand for; without DAC the inputs."""
    return _codes(drive, x, x_max) * (x_max / drive.largest_code)


def _codes(drive: Drive, x: Tensor, x_max: float) -> Tensor:
    if drive.bits is None:
        return x / x_max
    return dac_codes(x, drive.largest_code / x_max, drive.bits, signed=drive.signed)


def _product(driven: Tensor, delta: Tensor) -> Tensor:
    """Return ``(phases, n, groups, rows)`` times ``(groups, rows, columns)``, columns flat."""
    count, n, groups, rows = driven.shape
    by_group = driven.permute(2, 0, 1, 3).reshape(groups, count * n, rows)
    currents = torch.bmm(by_group, delta)
    return currents.permute(1, 0, 2).reshape(count, n, groups * delta.shape[2])


def multipliers(lanes: Sequence[Lane], columns: int) -> Tensor:
    """Return the digital factor of every lane and column, float32 ``(lanes, columns)``."""
    rows = [torch.as_tensor(lane.multiplier, dtype=torch.float32) for lane in lanes]
    return torch.stack([row.expand(columns) for row in rows])
