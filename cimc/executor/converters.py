"""The converters around one use of a layer, with their constants worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cimc.device.converters import dac_codes, largest_code
from cimc.ir.layer import Adc, Dac

#: Samples with no magnitude above this count as zero: a full scale this small has no reciprocal.
SMALLEST_FULL_SCALE = 1e-30


@dataclass(frozen=True, slots=True)
class Driver:
    """Word-line drive of one use: inputs to codes.

    Attributes:
        bits: Resolution [bit]; None: inputs are applied exactly.
        signed: Whether codes may be negative.
        x_max: Static full scale; None: found for each sample.
        q: Largest code; 1 without converter [-].
        normalize: Whether inputs without converter are scaled to full scale (an ADC follows).
    """

    bits: int | None
    signed: bool
    x_max: float | None
    q: int
    normalize: bool

    def codes(self, x: Tensor, *, per_vector: bool = False) -> tuple[Tensor, float | Tensor]:
        """Return codes, a new tensor, and the value of one code.

        Args:
            x: Inputs.
            per_vector: The last axis is one sample; otherwise all axes but the first are.

        Returns:
            Codes, and the input that code 1 stands for: a number, or a tensor with as many axes
            as ``x``.
        """
        if self.bits is None and not self.normalize:
            return x, 1.0
        if self.x_max is not None:
            scale: float | Tensor = self.q / self.x_max
            unit: float | Tensor = self.x_max / self.q
        else:
            full = _largest(x, per_vector=per_vector)
            scale, unit = self.q / full, full / self.q
        if self.bits is None:
            return x * scale, unit
        return dac_codes(x.clone(), scale, self.bits, signed=self.signed), unit


def _largest(x: Tensor, *, per_vector: bool) -> Tensor:
    """Return the full scale of each sample, with as many axes as ``x``; 1 where all is 0."""
    if x.numel() == 0:
        return x.new_ones([1] * x.ndim)
    axes = [x.ndim - 1] if per_vector or x.ndim == 1 else list(range(1, x.ndim))
    low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    full = torch.maximum(high, low.neg_())
    return torch.where(full < SMALLEST_FULL_SCALE, torch.ones_like(full), full)


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


def driver_of(dac: Dac, adc: Adc) -> Driver:
    """Return the word-line drive for converter settings."""
    q = 1 if dac.bits is None else largest_code(dac.bits, signed=dac.signed)
    x_max = None if dac.policy == "dynamic" else dac.x_max
    return Driver(dac.bits, dac.signed, x_max, q, normalize=adc.bits is not None)


def sensors_of(adc: Adc, driver: Driver, row_tiles: int) -> list[Sensor]:
    """Return the bit-line conversion of each row tile.

    With currents in uS times DAC codes, ``inv_lsb = q_adc / (i_max * q_dac)``.  Both factors are
    rounded to float32 once, here.
    """
    if adc.bits is None or adc.i_max_us is None:
        return [Sensor(None, 1.0, 1.0)] * row_tiles
    return [_sensor(adc.bits, i_max, driver.q) for i_max in adc.i_max_us.double().tolist()]


def _sensor(bits: int, i_max_us: float, q_dac: int) -> Sensor:
    q = largest_code(bits)
    inv_lsb, step = np.float32(q / (i_max_us * q_dac)), np.float32(i_max_us * q_dac / q)
    return Sensor(bits, float(inv_lsb), float(step))
