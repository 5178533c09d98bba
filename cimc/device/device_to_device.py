"""Device-to-device variation: every cell has a lowest and a highest state of its own.

[NM Eq. 12], "Regularization-based framework for quantization-, fault- and variability-aware
training", multiplies every bit of a weight by a factor of its own cell (LRS), and names the same
for the HRS; here the states between move in proportion.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Distribution = Literal["normal", "lognormal"]


def vary_states(
    g_us: Tensor,
    g_min_us: float,
    g_max_us: float,
    sigma_hrs: float,
    sigma_lrs: float,
    distribution: Distribution,
    generator: torch.Generator,
) -> Tensor:
    """Move every cell with its own end states, in place.

    With the state ``s = (G - g_min) / (g_max - g_min)`` and factors ``f`` of mean 1,
    ``G += (1 - s) g_min (f_hrs - 1) + s g_max (f_lrs - 1)``; a cell outside the range moves as
    the nearer end does.  Never below 0.

    Args:
        g_us: Conductances, any shape [uS].
        g_min_us: Mean of the lowest state, HRS [uS].
        g_max_us: Mean of the highest state, LRS [uS].
        sigma_hrs: Standard deviation of the factor of the HRS [-].
        sigma_lrs: The same for the LRS [-].
        distribution: Of the factors.
        generator: A CPU stream; one number a cell for each end that varies, HRS first.

    Returns:
        ``g_us``.
    """
    state = _state(g_us, g_min_us, g_max_us)
    if sigma_hrs > 0 and g_min_us > 0:
        change = _change(g_us, sigma_hrs, distribution, generator)
        g_us.addcmul_(change, 1.0 - state, value=g_min_us)
    if sigma_lrs > 0:
        change = _change(g_us, sigma_lrs, distribution, generator)
        g_us.addcmul_(change, state, value=g_max_us)
    return g_us.clamp_(min=0)


def move_states(
    g_us: Tensor, g_min_us: float, g_max_us: float, f_hrs: Tensor | None, f_lrs: Tensor | None
) -> Tensor:
    """Move every cell with end states that are known, in place, as :func:`vary_states` does.

    Args:
        g_us: Conductances, any shape [uS].
        g_min_us: Mean of the lowest state, HRS [uS].
        g_max_us: Mean of the highest state, LRS [uS].
        f_hrs: Factor of the HRS of each cell, in the shape of ``g_us`` [-]; None: 1.
        f_lrs: The same of the LRS ([NM Eq. 12] ``var``).

    Returns:
        ``g_us``.
    """
    state = _state(g_us, g_min_us, g_max_us)
    if f_hrs is not None:
        g_us.addcmul_(f_hrs - 1.0, 1.0 - state, value=g_min_us)
    if f_lrs is not None:
        g_us.addcmul_(f_lrs - 1.0, state, value=g_max_us)
    return g_us.clamp_(min=0)


def _state(g_us: Tensor, g_min_us: float, g_max_us: float) -> Tensor:
    """Return where between its end states a cell stands, 0 at the lowest, 1 at the highest."""
    return g_us.sub(g_min_us).div_(g_max_us - g_min_us).clamp_(0.0, 1.0)


def _change(
    like: Tensor, sigma: float, distribution: Distribution, generator: torch.Generator
) -> Tensor:
    """Return factors minus 1: mean 0, standard deviation ``sigma``."""
    z = torch.empty(like.shape, dtype=torch.float32).normal_(generator=generator)
    if distribution == "normal":
        z.mul_(sigma)
    else:
        variance = math.log1p(sigma * sigma)
        z.mul_(math.sqrt(variance)).sub_(variance / 2).expm1_()
    return z.to(like.device)
