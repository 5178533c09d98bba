"""1/f noise of a read, which grows with the time a cell has had to fluctuate.

Nandakumar et al., "Phase-change memory models for deep learning training and inference", IEEE
ICECS 2019; Joshi et al., Nature Communications 11, 2473 (2020), Methods.
"""

from __future__ import annotations

import math

from torch import Tensor

#: Smallest conductance whose power is taken, as a share of the highest.
_TINY = 1e-7


def spectrum_factor(time_s: float, t_read_s: float) -> float:
    """Return ``ln((t + t_read) / (2 t_read))``, at least 0 [-].

    The power between the frequencies ``1 / (t + t_read)`` and ``1 / (2 t_read)`` of a spectrum
    ``1/f``; before ``t_read`` there is none.

    Args:
        time_s: Time after programming, at least 0 [s].
        t_read_s: Duration of a read, above 0 [s].
    """
    return max(0.0, math.log((time_s + t_read_s) / (2.0 * t_read_s)))


def one_over_f_power(
    g_us: Tensor, g_max_us: float, amplitude: float, exponent: float, limit: float, factor: float
) -> Tensor | float:
    """Return the variance of a read over the square of the conductance, ``q(G)^2 factor`` [-].

    ``q(G) = min(amplitude (G / g_max)^-exponent, limit)``.

    Args:
        g_us: Conductances, any shape [uS].
        g_max_us: Highest conductance [uS].
        amplitude: ``q`` at the highest conductance [-].
        exponent: Growth towards low conductance [-].
        limit: Largest ``q`` [-].
        factor: Of :func:`spectrum_factor` [-].

    Returns:
        A new tensor in the shape of ``g_us``; a number where it is the same for all.
    """
    if exponent == 0.0 or amplitude == 0.0:
        return min(amplitude, limit) ** 2 * factor
    # What fluctuates by a share of nothing does not matter, but its derivative should be finite.
    share = g_us.div(g_max_us).clamp_(min=_TINY)
    return share.pow_(-exponent).mul_(amplitude).clamp_(max=limit).square_().mul_(factor)
