"""Learned step sizes of inputs (LSQ, Esser et al. 2020, arXiv:1902.08153), as the DAC has them."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from cimc.device.converters import dac_codes, largest_code
from cimc.errors import UsageError
from cimc.ir.layer import Dac

#: Resolutions that inputs are trained for [bit].
LEAST_BITS: Final = 2
MOST_BITS: Final = 8
#: Smallest step relative to the first: a step that learns stays positive.
_LEAST: Final = 1e-4


class InputStep(nn.Module):
    """Inputs of a layer rounded to multiples of a learned step.

    ``x_hat = s * clamp(round(x / s), -q or 0, q)``, with ``q = 2**(bits-1) - 1`` signed,
    ``2**bits - 1`` unsigned: exactly the codes of the DAC that :meth:`dac` returns.

    The gradient [Esser et al. Eq. 3, 5]: to ``x`` as it is within the range, nothing beyond; to
    ``s`` ``round(x/s) - x/s`` within, the end code beyond, times ``1 / sqrt(N q)``, with N the
    elements of one sample.

    Args:
        bits: Resolution, 2 to 8 [bit].
        signed: Whether inputs may be negative.
        step: First step, positive, in units of the input.

    Attributes:
        bits: Resolution [bit].
        signed: Whether codes run from ``-q`` (otherwise from 0).
        relative: The step relative to ``first``: what is learned, so that one learning rate suits
            all layers.

    Raises:
        UsageError: CIMC-U51, bits out of range, or a step that is not positive and finite.
    """

    first: Tensor

    def __init__(self, bits: int, signed: bool, step: float) -> None:
        super().__init__()
        if not LEAST_BITS <= bits <= MOST_BITS:
            raise UsageError(
                "CIMC-U51",
                f"inputs of {bits} bits asked for; {LEAST_BITS} to {MOST_BITS} can be trained",
                hint=f"activation_bits: {LEAST_BITS} to {MOST_BITS}, or 0 for the DAC's",
            )
        if not (step > 0 and math.isfinite(step)):
            raise UsageError("CIMC-U51", f"a step of {step} for inputs; it should be positive")
        self.bits, self.signed = bits, signed
        self.register_buffer("first", torch.tensor(step, dtype=torch.float32))
        self.relative = nn.Parameter(torch.ones(()))

    @property
    def q(self) -> int:
        """Largest code [-]."""
        return largest_code(self.bits, signed=self.signed)

    def step(self) -> Tensor:
        """Return ``s``, positive, float32 ``()``."""
        return self.first * self.relative.abs().clamp_min(_LEAST)

    def forward(self, x: Tensor) -> Tensor:
        """Return the inputs on the grid, in the shape of ``x``, first axis samples."""
        features = max(1, x.numel() // max(1, len(x) if x.ndim > 1 else 1))
        scale = 1.0 / math.sqrt(features * self.q)
        step = self.step()
        result: Tensor = _Rounded.apply(x, step, self.bits, self.signed, scale)  # type: ignore[no-untyped-call]
        return result

    def dac(self) -> Dac:
        """Return the DAC that makes the same codes: static, full scale ``s * q``."""
        step = float(self.step().detach())
        return Dac(self.bits, self.signed, "static", step * self.q)


def _factor(step: Tensor) -> float:
    """Return codes per unit of input, as a DAC with full scale ``s * q`` has it: ``q / (s q)``."""
    return 1.0 / float(step)


class _Rounded(torch.autograd.Function):
    """Round to the grid; only the input and the step are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, bits: int, signed: bool, scale: float
    ) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.settings = (bits, signed, scale)
        return dac_codes(x, _factor(step), bits, signed=signed).mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step = ctx.saved_tensors
        bits, signed, scale = ctx.settings
        q = largest_code(bits, signed=signed)
        ratio = x * _factor(step)
        codes = ratio.round().clamp_(-q if signed else 0, q)
        inside = (ratio >= (-q if signed else 0)) & (ratio <= q)
        codes.sub_(ratio.mul_(inside))
        pull = torch.dot(codes.reshape(-1), gradient.reshape(-1)) * scale
        return gradient * inside, pull.reshape(step.shape), None, None, None
