"""I-V curves of cells: current against input, both as shares of their full scale.

A conductance is measured at the read voltage, so ``f(1) = 1`` for every curve, and a cell's
current is ``G * v_read * f(V / v_read)``: the curve applies to the input, before the product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def sinh_curve(u: Tensor, v_read_v: float, v0_v: float) -> Tensor:
    """Return ``f(u) = sinh(u v_read / V0) / sinh(v_read / V0)``.

    Computed as ``exp(a (|u| - 1)) expm1(-2 a |u|) / expm1(-2 a)`` with ``a = v_read / V0``, which
    neither overflows for large ``a`` nor loses digits for small ``u``.

    Args:
        u: Inputs in [-1, 1], any shape.
        v_read_v: Read voltage, that of ``u = 1`` [V].
        v0_v: Scale of the curve [V].

    Returns:
        A new tensor; odd in ``u``.
    """
    a = v_read_v / v0_v
    if u.requires_grad:
        # Not ``abs`` and ``sign``, whose derivatives at 0 are 0: that of the curve is not.
        sign = torch.where(u < 0, -1.0, 1.0).to(u.dtype)
        size = u * sign
    else:
        sign, size = u.sign(), u.abs()
    top = math.expm1(-2 * a)
    return torch.exp(a * (size - 1)) * (torch.expm1(-2 * a * size) / top) * sign


def polynomial_curve(u: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Return ``f(u) = sum_k a_k u |u|**(k-1) / sum_k a_k``, k from 1.

    Args:
        u: Inputs in [-1, 1], any shape.
        coefficients: ``a_1, a_2, ...``; their sum is not 0.

    Returns:
        A new tensor; odd in ``u``.
    """
    total = math.fsum(coefficients)
    size = u.abs()
    value = torch.full_like(u, coefficients[-1] / total)
    for coefficient in reversed(coefficients[:-1]):
        value = value * size + coefficient / total
    return value * u
