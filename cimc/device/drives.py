"""Input drives: how the codes of one input reach the word lines, as one or several pulses.

A drive turns the codes of an input converter into *phases*: reads of the array that are converted
and noised on their own, and added up digitally, each with a weight.  The weighted sum of a phase's
currents is the current of the codes themselves (less a shift), so phases change no exact result.

* ``parallel`` and ``pulse-width``: one phase, the codes (as heights or lengths of pulses).
* ``bit-serial``: one phase a bit of the magnitude, weight ``2**b``, pulses of full height; the
  pulses of negative inputs are negative (sign-magnitude).
* Signed inputs: ``bipolar``, negative pulses; ``two-phase``, ``max(x, 0)`` with weight 1 and
  ``max(-x, 0)`` with weight -1; ``shift``, ``x + q``, never negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.device.converters import largest_code


@dataclass(frozen=True, slots=True)
class Pulses:
    """The phases of a read.

    Attributes:
        weights: Digital weight of each phase [-].
        largest: Largest magnitude of a phase's drive [code]; the drive ``u`` of word lines is
            code / largest, in [-1, 1].
        signed: Whether the drive of a phase may be negative.
        shift: Added to every code first [code].
        split: Whether positive and negative codes are driven apart.
        bits: Bits of the magnitude driven one by one [-]; 0: the code as a whole.
    """

    weights: tuple[float, ...]
    largest: int
    signed: bool
    shift: int = 0
    split: bool = False
    bits: int = 0

    @property
    def plain(self) -> bool:
        """Whether the only phase is the code itself."""
        return self.weights == (1.0,) and not self.shift and not self.bits


def pulses(drive: str, signed_inputs: str, bits: int | None, *, signed: bool) -> Pulses:
    """Return the phases of a drive.

    Args:
        drive: ``parallel``, ``bit-serial`` or ``pulse-width``.
        signed_inputs: ``bipolar``, ``two-phase`` or ``shift``.
        bits: Resolution of the input converter [bit]; None: exact inputs, which have no bits and
            are driven as a whole; their full scale is code 1.
        signed: Whether negative inputs exist; without them there is nothing to split or shift.
    """
    q = 1 if bits is None else largest_code(bits, signed=signed)
    shift = q if signed and signed_inputs == "shift" else 0
    split = signed and signed_inputs == "two-phase"
    negative = signed and signed_inputs == "bipolar"
    largest = q + shift
    if drive != "bit-serial" or bits is None:
        return Pulses((1.0, -1.0) if split else (1.0,), largest, negative, shift, split)
    count = largest.bit_length()
    one = tuple(float(1 << b) for b in range(count))
    weights = one + tuple(-w for w in one) if split else one
    return Pulses(weights, 1, negative, shift, split, count)


def phases(
    codes: Tensor, how: Pulses, first: int = 0, last: int | None = None, out: Tensor | None = None
) -> Tensor:
    """Return what drives the word lines in each phase.

    Args:
        codes: Whole numbers in the range of the converter (or exact inputs), any shape.
        how: The phases.
        first: First phase wanted.
        last: One past the last phase wanted; None: all.
        out: Where to put the result; None: a new tensor.

    Returns:
        Float32 ``(last - first, *codes.shape)``, magnitudes at most ``how.largest``.
    """
    last = len(how.weights) if last is None else last
    if out is None:
        out = codes.new_empty((last - first, *codes.shape))
    if not how.bits:
        for part, phase in zip(out, range(first, last), strict=True):
            _whole(codes, how, negative=phase == 1, out=part)
        return out
    for part, phase in zip(out, range(first, last), strict=True):
        _truncated(codes, how, phase, out=part)
    for part, phase in zip(out, range(first, last), strict=True):
        bit = phase % how.bits
        if bit + 1 < how.bits:
            above = out[phase + 1 - first] if phase + 1 < last else None
            part.sub_(_truncated(codes, how, phase + 1) if above is None else above, alpha=2)
    return out


def _whole(codes: Tensor, how: Pulses, *, negative: bool, out: Tensor) -> Tensor:
    """Put the codes of one polarity, shifted, into ``out``."""
    if how.shift:
        return torch.add(codes, how.shift, out=out)
    if not how.split:
        return out.copy_(codes)
    if negative:
        return torch.neg(codes, out=out).clamp_(min=0)
    return torch.clamp(codes, min=0, out=out)


def _truncated(codes: Tensor, how: Pulses, phase: int, out: Tensor | None = None) -> Tensor:
    """Return the codes of a phase's polarity without the bits below its own, sign kept.

    A bit is what truncation takes away: ``bit_b = trunc(x / 2**b) - 2 trunc(x / 2**(b + 1))``.
    """
    out = torch.empty_like(codes) if out is None else out
    if how.split or how.shift:
        codes = _whole(codes, how, negative=phase >= how.bits, out=out)
    # Many times faster than ``trunc_`` on CPUs; exact, the divisor is a power of two.
    return torch.div(codes, 2.0 ** (phase % how.bits), rounding_mode="trunc", out=out)
