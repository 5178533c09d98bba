"""Digital-to-analog and analog-to-digital conversion: values to codes.

Both converters round half to even, then clamp, in that order.  The executor and noise-aware
training run these functions; see docs/numerics.md for what is computed in which order.
"""

from __future__ import annotations

import torch
from torch import Tensor


def largest_code(bits: int, *, signed: bool = True) -> int:
    """Return the largest code ``q``: ``2**(bits-1) - 1`` signed, ``2**bits - 1`` unsigned [-]."""
    return (1 << (bits - 1 if signed else bits)) - 1


def dac_codes(
    x: Tensor, scale: float | Tensor, bits: int, *, signed: bool, out: Tensor | None = None
) -> Tensor:
    """Turn inputs into word-line codes.

    Args:
        x: Inputs, any shape.
        scale: ``q / x_max`` [codes per unit of x], broadcast against ``x``.
        bits: Resolution [bit].
        signed: Whether codes run from ``-q`` (otherwise from 0).
        out: Where to put the codes, in the shape of ``x``; may be ``x``; None: a new tensor.

    Returns:
        Whole numbers in ``[-q or 0, q]``.
    """
    q = largest_code(bits, signed=signed)
    codes = x * scale if out is None else torch.mul(x, scale, out=out)
    return codes.round_().clamp_(-q if signed else 0, q)


def adc_codes(
    current: Tensor,
    inv_lsb: float | Tensor,
    bits: int,
    *,
    signed: bool = True,
    offset: Tensor | None = None,
) -> Tensor:
    """Turn bit-line currents into codes, in place.

    ``clamp(round(current * inv_lsb + offset))``.  The factor stays outside the conductances, so
    that a current that lies on a code boundary falls on the same side everywhere.

    Args:
        current: Tile currents [uS·DAC code] or [uS], overwritten.
        inv_lsb: Codes per unit of current, broadcast against ``current``; gain errors of the
            converters are in it.
        bits: Resolution [bit].
        signed: Whether codes run from ``-q`` (otherwise from 0).
        offset: Offset of the converters, broadcast against ``current`` [LSB]; None: 0.

    Returns:
        ``current``: whole numbers in ``[-q or 0, q]``.
    """
    q = largest_code(bits, signed=signed)
    current.mul_(inv_lsb)
    if offset is not None:
        current.add_(offset)
    return current.round_().clamp_(-q if signed else 0, q)
