"""Word-line drives: how the code of an input becomes one or several reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cimc.device.converters import largest_code


@dataclass(frozen=True, slots=True)
class Drive:
    """How inputs are applied.

    Attributes:
        bits: Resolution of the DAC, sign included [bit]; None: no DAC.
        signed: Whether inputs, and codes, may be negative.
        kind: ``parallel``, ``bit-serial`` or ``pulse-width``.
        negative: What becomes of negative codes: ``bipolar``, ``two-phase`` or ``shift``.
    """

    bits: int | None
    signed: bool
    kind: Literal["parallel", "bit-serial", "pulse-width"] = "parallel"
    negative: Literal["bipolar", "two-phase", "shift"] = "bipolar"

    @property
    def never_negative(self) -> bool:
        """Whether no word line is ever driven with a negative voltage."""
        return not self.signed or self.negative != "bipolar"


@dataclass(frozen=True, slots=True)
class Phase:
    """One read: its codes, the code at the full read voltage, what a code is worth."""

    codes: Tensor
    full: int
    weight: float


def phases(codes: Tensor, drive: Drive) -> list[Phase]:
    """Return the reads that apply DAC codes.

    The sum of weight times codes over the reads is the DAC codes; with shifted inputs, plus a
    constant that is removed digitally.
    """
    if drive.bits is None:
        return [Phase(codes, 1, 1.0)]
    q = largest_code(drive.bits, signed=drive.signed)
    whole = [Phase(codes, q, 1.0)]
    if drive.signed and drive.negative == "two-phase":
        positive, negative = codes.clamp(min=0), (-codes).clamp(min=0)
        whole = [Phase(positive, q, 1.0), Phase(negative, q, -1.0)]
    elif drive.signed and drive.negative == "shift":
        whole = [Phase(codes + q, 2 * q, 1.0)]
    if drive.kind != "bit-serial":
        return whole
    return [pulse for phase in whole for pulse in _pulses(phase)]


def _pulses(phase: Phase) -> list[Phase]:
    """Return one read a bit of the magnitude; a negative code gives negative pulses."""
    sign, magnitude = phase.codes.sign(), phase.codes.abs()
    reads = []
    for bit in range(phase.full.bit_length()):
        high = (magnitude / 2).floor()
        reads.append(Phase(sign * (magnitude - 2 * high), 1, phase.weight * 2**bit))
        magnitude = high
    return reads
