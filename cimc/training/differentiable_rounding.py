"""Rounding with a derivative: straight through inside the range of a converter, 0 outside.

That a quantizer's input gradient is passed where the quantizer does not clip is the rule of LSQ
(Esser et al., ICLR 2020, Eq. 4) and PACT (Choi et al., arXiv 1805.06085, Eq. 3).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

from cimc.device.converters import largest_code

#: Derivative of rounding: ``straight-through``, 1 inside the range; ``zero``, the true one.
Rounding = Literal["straight-through", "zero"]


def converted(value: Tensor, bits: int, rounding: Rounding, *, signed: bool) -> Tensor:
    """Return the codes of a converter, new; the values of :mod:`cimc.device.converters`.

    Args:
        value: Inputs in codes, not rounded yet, offsets added; any shape.
        bits: Resolution [bit].
        rounding: Derivative.
        signed: Whether codes run from ``-q`` (otherwise from 0).

    Returns:
        ``clamp(round_half_even(value), -q or 0, q)``.
    """
    q = largest_code(bits, signed=signed)
    low = -q if signed else 0
    if rounding == "zero":
        value = value.detach()
    codes: Tensor = _Rounded.apply(value, low, q)  # type: ignore[no-untyped-call]
    return codes


class _Rounded(Function):
    """``clamp(round(x), low, high)`` with the derivative of ``clamp(x, low, high)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward((x >= low) & (x <= high) if ctx.needs_input_grad[0] else None)
        return x.round().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


def bits_of(codes: Tensor, pulses: Tensor, slopes: Tensor) -> Tensor:
    """Return pulses of single bits with a derivative by the codes they are bits of.

    Bits are steps; what a bit changes by per code is taken from the regression of the bit on
    uniformly distributed codes: bits of weight ``w`` are independent then, so that the slope is
    ``w / sum w^2``, and the weighted sum of all slopes is 1.

    Args:
        codes: Any shape.
        pulses: Drive of each phase, one after the other along the first axis.
        slopes: Derivative of each phase's pulse by its code, broadcast against
            ``(phases, *codes.shape)``.

    Returns:
        ``pulses``.
    """
    seen: Tensor = _Bits.apply(codes, pulses, slopes)  # type: ignore[no-untyped-call]
    return seen


class _Bits(Function):
    """The second operand, with a derivative by the first."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, pulses: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(slopes)
        ctx.shape = codes.shape
        return pulses.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        each = gradients[0].reshape(len(slopes), *ctx.shape)
        return torch.sum(each * slopes, 0), None, None
