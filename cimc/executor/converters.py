"""The converters around one use of a layer, with their constants worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cimc.device.converters import dac_codes, largest_code
from cimc.executor.workspace import Workspace
from cimc.ir.layer import Adc, Dac

#: Samples with no magnitude above this count as zero: a full scale this small has no reciprocal.
SMALLEST_FULL_SCALE = 1e-30


@dataclass(frozen=True, slots=True)
class Drive:
    """The drive of one input: how its values become codes, and what a code is worth.

    Attributes:
        scale: Codes per unit of input: a number, or a tensor with as many axes as the input.
        unit: Input that code 1 stands for, likewise.
    """

    scale: float | Tensor
    unit: float | Tensor


@dataclass(frozen=True, slots=True)
class Driver:
    """Word-line drive of one use.

    Attributes:
        bits: Resolution [bit]; None: inputs are applied exactly.
        signed: Whether codes may be negative.
        q: Largest code; 1 without converter [-].
        static: Drive of every input; None: found for each sample.
        per_vector: A sample is a vector along the last axis; otherwise all axes but the first.
    """

    bits: int | None
    signed: bool
    q: int
    static: Drive | None
    per_vector: bool

    def drive(self, x: Tensor) -> Drive:
        """Return the drive of an input; a sample of zeros has full scale 1."""
        if self.static is not None:
            return self.static
        if x.numel() == 0:
            one = x.new_ones([1] * x.ndim)
            return Drive(one, one)
        axes = [x.ndim - 1] if self.per_vector or x.ndim == 1 else list(range(1, x.ndim))
        low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
        full = torch.maximum(high, low.neg_())
        full = torch.where(full < SMALLEST_FULL_SCALE, torch.ones_like(full), full)
        return Drive(self.q / full, full / self.q)

    def codes(self, x: Tensor, drive: Drive, workspace: Workspace) -> Tensor:
        """Return the codes of (a part of) an input, lost when the workspace is used again."""
        if self.bits is not None:
            out = workspace.like(x)
            return dac_codes(x, drive.scale, self.bits, signed=self.signed, out=out)
        if isinstance(drive.scale, Tensor) or drive.scale != 1.0:
            return torch.mul(x, drive.scale, out=workspace.like(x))
        return x


def driver_of(dac: Dac, adc: Adc, *, per_vector: bool) -> Driver:
    """Return the word-line drive for converter settings.

    Without a DAC inputs are exact; when an ADC follows, they are still scaled to full scale, in
    which its range is given.
    """
    q = 1 if dac.bits is None else largest_code(dac.bits, signed=dac.signed)
    static = None
    if dac.bits is None and adc.bits is None:
        static = Drive(1.0, 1.0)
    elif dac.policy == "static" and dac.x_max is not None:
        static = Drive(q / dac.x_max, dac.x_max / q)
    return Driver(dac.bits, dac.signed, q, static, per_vector)


@dataclass(frozen=True, slots=True)
class Sensor:
    """Bit-line conversion of one row tile: currents to codes.

    Attributes:
        bits: Resolution [bit]; None: the current itself is the result.
        inv_lsb: Codes per unit of current, in uS times DAC codes.
        step: Contribution of one code to the output, before gain and input unit.
    """

    bits: int | None
    inv_lsb: float
    step: float


def sensors_of(adc: Adc, driver: Driver, row_tiles: int) -> list[Sensor]:
    """Return the bit-line conversion of each row tile.

    With currents in uS times DAC codes, ``inv_lsb = q_adc / (i_max * q_dac)``, rounded to float32
    once, here.
    """
    if adc.bits is None or adc.i_max_us is None:
        return [Sensor(None, 1.0, 1.0)] * row_tiles
    return [
        _sensor(adc.bits, i_max, driver.q) for i_max in adc.i_max_us[:, 0, 0].double().tolist()
    ]


def _sensor(bits: int, i_max_us: float, q_dac: int) -> Sensor:
    q = largest_code(bits)
    return Sensor(bits, float(np.float32(q / (i_max_us * q_dac))), i_max_us * q_dac / q)
