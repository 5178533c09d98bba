"""Drift: the power-law decay of conductance with time.

``G(t) = G(t0) (t / t0)^-nu`` with an exponent that differs from cell to cell and with the state:
Joshi et al., Nature Communications 11, 2473 (2020), Methods; Nandakumar et al., IEEE ICECS 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Smallest conductance whose logarithm is taken, as a share of the highest.
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class OfState:
    """A figure that changes with the state of a cell: ``at_g_max + slope ln(G / g_max)``.

    Attributes:
        at_g_max: Its value at the highest conductance.
        slope: Its change with ``ln G``.
        limits: It is kept within these.
    """

    at_g_max: float
    slope: float = 0.0
    limits: tuple[float, float] = (-1.0, 1.0)

    def of(self, log_state: Tensor | None) -> Tensor | float:
        """Return the figure for ``ln(G / g_max)``; a number where it does not change."""
        if self.slope == 0.0 or log_state is None:
            return min(max(self.at_g_max, self.limits[0]), self.limits[1])
        return (log_state * self.slope).add_(self.at_g_max).clamp_(*self.limits)


def drift(
    g_us: Tensor,
    ratio: float,
    g_max_us: float,
    nu: OfState,
    nu_sigma: OfState,
    generator: torch.Generator,
) -> Tensor:
    """Let conductances drift, in place.

    Args:
        g_us: Conductances at ``t0``, any shape [uS].
        ratio: ``t / t0``; at 1 and below nothing happens [-].
        g_max_us: Highest conductance [uS].
        nu: Mean exponent of a cell [-].
        nu_sigma: Standard deviation of the exponent from cell to cell, its limits at least 0 [-].
        generator: A CPU stream; one number a cell, none where exponents have no spread.

    Returns:
        ``g_us``.
    """
    if ratio <= 1.0:
        return g_us
    log_ratio = math.log(ratio)
    log_state = None
    if nu.slope != 0.0 or nu_sigma.slope != 0.0:
        log_state = g_us.div(g_max_us).clamp_(min=_TINY).log_()
    mean, sigma = nu.of(log_state), nu_sigma.of(log_state)
    if isinstance(sigma, float) and sigma == 0.0:
        if isinstance(mean, float):
            return g_us.mul_(math.exp(-mean * log_ratio))
        return g_us.mul_(mean.mul_(-log_ratio).exp_())
    exponent = torch.empty(g_us.shape, dtype=torch.float32).normal_(generator=generator)
    exponent = exponent.to(g_us.device).mul_(sigma).add_(mean)
    return g_us.mul_(exponent.mul_(-log_ratio).exp_())
