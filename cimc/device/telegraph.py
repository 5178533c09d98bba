"""Random telegraph noise: a trap that catches an electron lowers the conductance of its cell.

A cell with a trap conducts ``G (1 - a)`` in a share ``p`` of the reads and ``G`` in the others:
mean ``G (1 - a p)``, variance ``a^2 p (1 - p) G^2``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def traps(
    shape: torch.Size | tuple[int, ...], share: float, generator: torch.Generator
) -> Tensor | None:
    """Draw which cells have a trap: bool in the given shape, or None where all have.

    Args:
        shape: Of the cells.
        share: Share of the cells with a trap [-].
        generator: A CPU stream; one uniform number a cell.
    """
    if share >= 1.0:
        return None
    return torch.empty(shape, dtype=torch.float32).uniform_(generator=generator) < share


def lower_by_traps(g_us: Tensor, trapped: Tensor | None, amplitude: float, p: float) -> Tensor:
    """Change conductances to their means over reads, in place.

    Args:
        g_us: Conductances with all traps empty, any shape [uS].
        trapped: Which cells have a trap; None: all.
        amplitude: Drop while an electron is trapped, as a share of the conductance [-].
        p: Share of reads in which one is [-].

    Returns:
        ``g_us``.
    """
    mean = 1.0 - amplitude * p
    if trapped is None:
        return g_us.mul_(mean)
    return g_us.mul_(_where(trapped.to(g_us.device), mean, 1.0))


def telegraph_variance(
    mean_us: Tensor, trapped: Tensor | None, amplitude: float, p: float
) -> Tensor:
    """Return the variance of a cell from read to read, new [uS^2].

    Args:
        mean_us: Mean conductances over reads, any shape [uS].
        trapped: Which cells have a trap; None: all.
        amplitude: Drop while an electron is trapped, as a share of the conductance [-].
        p: Share of reads in which one is [-].
    """
    mean = 1.0 - amplitude * p
    share = amplitude * amplitude * p * (1.0 - p) / (mean * mean) if mean > 0 else 0.0
    if trapped is None:
        return mean_us.square().mul_(share)
    return mean_us.square().mul_(_where(trapped.to(mean_us.device), share, 0.0))


def _where(mask: Tensor, inside: float, outside: float) -> Tensor:
    return mask.to(torch.float32).mul_(inside - outside).add_(outside)
