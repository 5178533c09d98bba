"""Loss of retention in log time: conductances relax towards a state of rest and spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def decades(time_s: float, t0_s: float) -> float:
    """Return the decades since programming, ``log10(1 + t / t0)`` [-].

    Args:
        time_s: Time after programming, at least 0 [s].
        t0_s: Start of the first decade, above 0 [s].
    """
    return math.log10(1.0 + time_s / t0_s)


def relax(
    g_us: Tensor,
    rest_us: float,
    rate: float,
    sigma_us: float,
    passed: float,
    generator: torch.Generator,
) -> Tensor:
    """Let conductances relax, in place.

    ``G = rest + (G - rest) max(0, 1 - rate L) + sigma sqrt(L) z``, never below 0: the mean moves
    linearly, the spread grows as a random walk does, in the decades ``L``.

    Args:
        g_us: Conductances after programming, any shape [uS].
        rest_us: Where they end [uS].
        rate: Share of the way that a decade takes [-].
        sigma_us: Standard deviation after one decade [uS].
        passed: Decades ``L``, at least 0 [-].
        generator: A CPU stream; one number a cell, none where ``sigma_us`` is 0.

    Returns:
        ``g_us``.
    """
    left = max(0.0, 1.0 - rate * passed)
    g_us.mul_(left).add_(rest_us * (1.0 - left))
    if sigma_us > 0:
        z = torch.empty(g_us.shape, dtype=torch.float32).normal_(generator=generator)
        g_us.add_(z.to(g_us.device), alpha=sigma_us * math.sqrt(passed))
    return g_us.clamp_(min=0)
