"""Fit the levels of a codebook to the outputs, for given codes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cimc.quantizers.feedback import decoded

#: Product of the second moments with weights, ``(groups, rows, columns)`` to the same shape.
Product = Callable[[Tensor], Tensor]


def refit(
    weight: Tensor, levels: Tensor, product: Product, codes: Tensor, *, iterations: int = 8
) -> Tensor:
    """Return the levels with the least output error for fixed codes, sorted as before.

    The error is quadratic in the levels.  It is minimized by conjugate gradients from the current
    levels: one product with H an iteration, and the error never grows.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        levels: Current levels, ``(v,)`` or ``(groups, columns, v)``.
        product: Multiplies weights by the damped second moments.
        codes: Index of the level of each weight, ``(groups, rows, columns)``.
        iterations: At most this many steps.

    Returns:
        Levels in the shape of ``levels``; a level without codes stays.  They may cease to ascend;
        the caller sorts (see :func:`sort_levels`).
    """
    index = codes.to(torch.int64)
    solution = levels.double().clone()
    residual = _gather(product(weight - decoded(codes, levels)), index, levels)
    direction, power = residual.clone(), _dot(residual, residual)
    first = power.clone()
    for _ in range(min(iterations, levels.shape[-1])):
        if not bool((power > 1e-12 * first).any()):
            break
        step = _gather(product(decoded(codes, direction.to(weight.dtype))), index, levels)
        curvature = _dot(direction, step)
        length = torch.where(curvature > 0, power / curvature.clamp(min=1e-300), 0.0)
        solution += length * direction
        residual -= length * step
        new = _dot(residual, residual)
        turn = torch.where(power > 0, new / power.clamp(min=1e-300), 0.0)
        direction = residual + turn * direction
        power = new
    return solution.to(levels.dtype)


def refit_scale(weight: Tensor, levels: Tensor, product: Product, codes: Tensor) -> Tensor:
    """Return the levels all scaled alike (by column where they differ) for the least output error.

    What levels in a fixed ratio allow: uniform ones, and those of a fixed list of cell states.
    Arguments as in :func:`refit`.
    """
    value = decoded(codes, levels)
    pull = product(value)
    axes = (0, 1, 2) if levels.ndim == 1 else (1,)
    power, wanted = (pull * value).sum(axes), (pull * weight).sum(axes)
    scale = torch.where((power > 0) & (wanted > 0), wanted / power.clamp(min=1e-30), 1.0)
    return levels * scale[..., None]


def sort_levels(levels: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return levels that ascend, and codes that still stand for the same weights."""
    ordered, order = torch.sort(levels, dim=-1, stable=True)
    rank = torch.argsort(order, dim=-1)
    renamed = decoded(codes, rank)
    return ordered, renamed.to(torch.uint8)


def _gather(gradient: Tensor, index: Tensor, levels: Tensor) -> Tensor:
    """Sum what belongs to each level, float64 in the shape of ``levels``."""
    total = torch.zeros(levels.shape, dtype=torch.float64, device=levels.device)
    if levels.ndim == 1:
        return total.scatter_add_(0, index.reshape(-1), gradient.double().reshape(-1))
    return total.scatter_add_(2, index.transpose(1, 2), gradient.double().transpose(1, 2))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product over levels, kept as an axis (per column where they differ)."""
    return (a * b).sum(-1, keepdim=True)
