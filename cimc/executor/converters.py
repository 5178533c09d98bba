"""The converters around one use of a layer, with their constants worked out once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cimc.device.converters import dac_codes, largest_code
from cimc.device.drives import Pulses, phases, pulses
from cimc.executor.circuit import Circuit
from cimc.executor.workspace import Workspace
from cimc.ir.layer import Adc, Dac

#: Samples with no magnitude above this count as zero: a full scale this small has no reciprocal.
SMALLEST_FULL_SCALE = 1e-30


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of one input: how its values become codes, and what a code is worth.

    Attributes:
        codes: Codes per unit of input: a number, or a tensor with as many axes as the input.
        unit: Input that code 1 stands for, likewise.
    """

    codes: float | Tensor
    unit: float | Tensor

    def part(self, samples: slice) -> Scale:
        """Return the scale of some samples."""
        codes, unit = self.codes, self.unit
        one = not isinstance(codes, Tensor) or codes.shape[0] == 1
        if one or not isinstance(codes, Tensor) or not isinstance(unit, Tensor):
            return self
        return Scale(codes[samples], unit[samples])


@dataclass(frozen=True, slots=True)
class Driver:
    """Word-line drive of one use.

    Attributes:
        bits: Resolution [bit]; None: inputs are applied exactly.
        signed: Whether codes may be negative.
        q: Largest code; 1 without converter [-].
        static: Scale of every input; None: found for each sample.
        per_vector: A sample is a vector along the last axis; otherwise all axes but the first.
        pulses: The phases of a read.
        circuit: For the I-V curve.
    """

    bits: int | None
    signed: bool
    q: int
    static: Scale | None
    per_vector: bool
    pulses: Pulses
    circuit: Circuit

    @property
    def plain(self) -> bool:
        """Whether codes drive word lines as they are."""
        return self.pulses.plain and self.circuit.curve is None

    def scale(self, x: Tensor) -> Scale:
        """Return the scale of an input; a sample of zeros has full scale 1."""
        if self.static is not None:
            return self.static
        if x.numel() == 0:
            one = x.new_ones([1] * x.ndim)
            return Scale(one, one)
        axes = [x.ndim - 1] if self.per_vector or x.ndim == 1 else list(range(1, x.ndim))
        low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
        full = torch.maximum(high, low.neg_())
        full = torch.where(full < SMALLEST_FULL_SCALE, torch.ones_like(full), full)
        return Scale(self.q / full, full / self.q)

    def codes(self, x: Tensor, scale: Scale, workspace: Workspace) -> Tensor:
        """Return the codes of (a part of) an input, lost when the workspace is used again."""
        if self.bits is not None:
            out = workspace.like(x)
            return dac_codes(x, scale.codes, self.bits, signed=self.signed, out=out)
        if isinstance(scale.codes, Tensor) or scale.codes != 1.0:
            return torch.mul(x, scale.codes, out=workspace.like(x))
        return x

    def drive(self, codes: Tensor, first: int, last: int, out: Tensor) -> Tensor:
        """Return the drive of some phases of a read, in codes, through the I-V curve.

        Args:
            codes: Any shape.
            first: First phase.
            last: One past the last.
            out: Where to put it, ``(last - first, *codes.shape)``.
        """
        phases(codes, self.pulses, first, last, out)
        curve, largest = self.circuit.curve, self.pulses.largest
        return out if curve is None else out.copy_(curve(out / largest)).mul_(largest)


def driver_of(dac: Dac, adc: Adc, circuit: Circuit, *, per_vector: bool) -> Driver:
    """Return the word-line drive for converter settings.

    Without a DAC inputs are exact; when an ADC follows, or the drive matters otherwise, they are
    still scaled to full scale.
    """
    q = 1 if dac.bits is None else largest_code(dac.bits, signed=dac.signed)
    how = pulses(circuit.drive, circuit.signed_inputs, dac.bits, signed=dac.signed)
    static = None
    if dac.bits is None and adc.bits is None and not circuit.scales_inputs:
        static = Scale(1.0, 1.0)
    elif dac.policy == "static" and dac.x_max is not None:
        static = Scale(q / dac.x_max, dac.x_max / q)
    return Driver(dac.bits, dac.signed, q, static, per_vector, how, circuit)


@dataclass(frozen=True, slots=True)
class Sensor:
    """Bit-line conversion of one lane in one row tile: currents to codes.

    Numbers that differ from column to column are ``(g * c,)``.

    Attributes:
        bits: Resolution [bit]; None: the current itself is the result.
        signed: Whether codes may be negative.
        inv_lsb: Codes per unit of current, in uS times drive codes, gain error included.
        offset: Offset of the converters [LSB]; None: 0.
        noise: Variance of a conversion, as one of the current [uS^2 code^2].
        step: Contribution of one code to the output, in uS times input codes.
    """

    bits: int | None
    signed: bool
    inv_lsb: float | Tensor
    offset: Tensor | None
    noise: float | Tensor
    step: float | Tensor

    def broadcast(self, columns: Callable[[Tensor], Tensor]) -> Sensor:
        """Return the same with values of columns, ``(g * c,)``, laid out for the output."""
        inverse = self.inv_lsb
        return replace(
            self,
            inv_lsb=columns(inverse) if isinstance(inverse, Tensor) else inverse,
            offset=None if self.offset is None else columns(self.offset),
        )


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How the converters of a layer differ from nominal, float32 ``(row_tiles, lanes, g * c)``.

    Attributes:
        gain: Factor of each, around 1.
        offset: Of each [LSB].
    """

    gain: Tensor | None
    offset: Tensor | None


def sensor_of(
    adc: Adc, circuit: Circuit, largest: int, mismatch: Mismatch, row_tile: int, lane: int
) -> Sensor:
    """Return the bit-line conversion of one lane in one row tile, columns as ``(g * c,)``.

    With currents in uS times drive codes, ``inv_lsb = q_adc / (i_max * largest) * gain``, worked
    out in float64 and rounded to float32 once, here.

    Args:
        adc: Fitted converter.
        circuit: For the noise of conversions.
        largest: Largest drive code of a phase.
        mismatch: Of the converters of this chip.
        row_tile: Which.
        lane: Which.
    """
    if adc.bits is None or adc.i_max_us is None:
        return Sensor(None, True, 1.0, None, 0.0, 1.0)
    q = largest_code(adc.bits, signed=adc.signed)
    full = adc.i_max_us[row_tile, lane].double() * largest
    inverse, offset = q / full, None
    if mismatch.gain is not None:
        inverse = inverse.to(mismatch.gain.device) * mismatch.gain[row_tile, lane]
    if mismatch.offset is not None:
        offset = mismatch.offset[row_tile, lane]
    noise = (circuit.noise_lsb / inverse).square() if circuit.noise_lsb else 0.0
    return Sensor(adc.bits, adc.signed, _float(inverse), offset, _float(noise), _number(full / q))


def _number(value: Tensor) -> float | Tensor:
    """Return one number as it is, several as a tensor; float64."""
    return float(value) if value.numel() == 1 and not value.requires_grad else value


def _float(value: float | Tensor) -> float | Tensor:
    """Return numbers rounded to float32: one as a number, several as a tensor."""
    if not isinstance(value, Tensor):
        return value
    one = value.numel() == 1 and not value.requires_grad
    return float(value.float()) if one else value.float()
