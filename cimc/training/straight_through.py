"""The extended straight-through estimator [STE §III, Alg. 1].

The forward pass is what the device gives, whatever it contains; the backward pass is that of the
clean linear operation.  [STE] adds the device's difference to the clean output,
``y_clean + (y_device - y_clean).detach()``, so the clean output is computed only to be cancelled.
For convolutions and products the gradients are known without it: :func:`convolution` and
:func:`product` never compute it and keep nothing but what the plain operation keeps.

What the input converter clips is left out: the operation is that of the clipped input, as for any
quantizer (LSQ, PACT).  Told otherwise, weights grow into a range that cannot show it, and
training from random weights stalls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Input of a layer to what the chip makes of it, bias included.
Device = Callable[[Tensor], Tensor]
#: Smallest and largest input that a converter does not clip.
Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """A convolution with the same padding on both sides of an axis."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int


def clipped(x: Tensor, limits: Limits | None) -> Tensor:
    """Return what a converter can show of an input; None: all of it."""
    return x if limits is None else x.clamp(*limits)


def convolution(
    device: Device,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    settings: Settings,
    limits: Limits | None = None,
) -> Tensor:
    """Return ``device(x)`` with the gradients of a convolution.

    Args:
        device: What the chip computes; adds the bias.
        x: ``(n, c, *spatial)``.
        weight: Clean weight, ``(m, c / groups, *kernel)``.
        bias: ``(m,)``, or None.
        settings: Of the convolution.
        limits: Beyond which the device clips the input.
    """
    result: Tensor = _Convolution.apply(device, x, weight, bias, settings, limits)  # type: ignore[no-untyped-call]
    return result


def product(
    device: Device,
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    limits: Limits | None = None,
) -> Tensor:
    """Return ``device(x)`` with the gradients of ``x @ matrix + bias``.

    Args:
        device: What the chip computes; adds the bias.
        x: ``(..., rows)``.
        matrix: Clean weight, ``(rows, columns)``.
        bias: Broadcasts to ``(..., columns)``, or None.
        limits: Beyond which the device clips the input.
    """
    result: Tensor = _Product.apply(device, x, matrix, bias, limits)  # type: ignore[no-untyped-call]
    return result


def with_difference(device: Device, x: Tensor, clean: Tensor) -> Tensor:
    """Return ``device(x)`` with the gradients of ``clean``, as [STE Alg. 1] writes it.

    For operations whose gradients need their own forward pass.

    Args:
        device: What the chip computes.
        x: Its input.
        clean: The clean operation's output, with its graph.
    """
    with torch.no_grad():
        difference = device(x.detach()) - clean.detach()
    return clean + difference


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        device: Device,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        settings: Settings,
        limits: Limits | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.limits = limits
        ctx.settings, ctx.bias = settings, None if bias is None else list(bias.shape)
        return device(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        s: Settings = ctx.settings
        wanted = [ctx.needs_input_grad[1], ctx.needs_input_grad[2], ctx.needs_input_grad[3]]
        gx, gw, gb = torch.ops.aten.convolution_backward(
            gradients[0], clipped(x, ctx.limits), weight, ctx.bias, s.stride, s.padding,
            s.dilation, False, [0] * len(s.stride), s.groups, wanted,
        )  # fmt: skip
        return None, _inside(gx, x, ctx.limits), gw, gb, None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        device: Device,
        x: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        limits: Limits | None,
    ) -> Tensor:
        ctx.save_for_backward(x, matrix)
        ctx.limits = limits
        ctx.bias = None if bias is None else bias.shape
        return device(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix = ctx.saved_tensors
        g = gradients[0]
        gx = torch.matmul(g, matrix.T) if ctx.needs_input_grad[1] else None
        gw = None
        if ctx.needs_input_grad[2]:
            seen = clipped(x, ctx.limits)
            gw = seen.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])
        gb = g.sum_to_size(ctx.bias) if ctx.needs_input_grad[3] else None
        return None, _inside(gx, x, ctx.limits), gw, gb, None


def _inside(gradient: Tensor | None, x: Tensor, limits: Limits | None) -> Tensor | None:
    """Return the gradient by an input, in place, without what the device clips.

    One pass: that of a hard tanh, which is 0 at its ends too, so they lie one number further out.
    """
    if gradient is None or limits is None:
        return gradient
    low = math.nextafter(limits[0], -math.inf) if x.dtype == torch.float64 else _below(limits[0])
    high = math.nextafter(limits[1], math.inf) if x.dtype == torch.float64 else -_below(-limits[1])
    inside: Tensor = torch.ops.aten.hardtanh_backward.grad_input(
        gradient, x, low, high, grad_input=gradient
    )
    return inside


def _below(value: float) -> float:
    """Return the next float32 number below one that is rounded to float32."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))
