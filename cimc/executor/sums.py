"""Digital sums of converter codes."""

from __future__ import annotations

import torch
from torch import Tensor


def add(total: Tensor | None, codes: Tensor, factor: float | Tensor, *, fresh: bool) -> Tensor:
    """Return ``total + codes * factor``.

    Args:
        total: The sum so far, broadcast against ``codes``; None: 0.
        codes: Overwritten.
        factor: A number, or several broadcast against ``codes``.
        fresh: Whether ``total`` may be overwritten; then it has the shape of ``codes``.
    """
    if total is None:
        return codes.mul_(factor)
    out = total if fresh else codes
    if isinstance(factor, Tensor):
        return torch.addcmul(total, codes, factor, out=out)
    return torch.add(total, codes, alpha=factor, out=out)


def weighted(codes: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of the codes of several phases.

    Args:
        codes: Phases one after the other along the first axis, ``(phases * n, ...)``.
        weights: Float32 ``(phases,)``.

    Returns:
        A new tensor, ``(n, ...)``; in the memory layout of ``codes``.
    """
    if not codes.is_contiguous() and codes.is_contiguous(memory_format=torch.channels_last):
        return weighted(codes.permute(0, 2, 3, 1), weights).permute(0, 3, 1, 2)
    parts = codes.view(len(weights), -1, *codes.shape[1:])
    if codes.is_contiguous():
        return torch.mv(parts.view(len(weights), -1).T, weights).view(parts.shape[1:])
    total: Tensor = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:].tolist(), strict=True):
        total.add_(part, alpha=weight)
    return total
