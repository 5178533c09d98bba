"""Cells that cannot be programmed: stuck at the lowest or the highest conductance."""

from __future__ import annotations

import torch
from torch import Tensor


def stick(
    g_us: Tensor,
    at_g_min: float,
    at_g_max: float,
    g_min_us: float,
    g_max_us: float,
    generator: torch.Generator,
) -> Tensor:
    """Stick randomly chosen cells, in place.

    Args:
        g_us: Conductances, any shape [uS].
        at_g_min: Probability that a cell is stuck at ``g_min_us`` (HRS).
        at_g_max: Probability that a cell is stuck at ``g_max_us`` (LRS); the sum is at most 1.
        g_min_us: Conductance of a cell stuck at HRS [uS].
        g_max_us: Conductance of a cell stuck at LRS [uS].
        generator: A CPU stream; one uniform number a cell.

    Returns:
        ``g_us``.
    """
    draw = torch.empty(g_us.shape, dtype=torch.float32).uniform_(generator=generator)
    draw = draw.to(g_us.device)
    g_us.masked_fill_(draw < at_g_min, g_min_us)
    return g_us.masked_fill_(draw >= 1.0 - at_g_max, g_max_us)
