"""Programming noise: how far the conductance of a cell ends up from its target.

A *write* takes targets and returns the conductances it leaves, one draw a cell; there are writes
of several distributions, and any of them can be verified and repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: Standard deviation of the programmed conductance: a number, or a function of the target [uS].
Spread = float | Callable[[Tensor], Tensor]
#: Takes targets of any shape [uS]; returns what one write leaves, new, never negative [uS].
Write = Callable[[Tensor], Tensor]


def programmed(target_us: Tensor, spread: Spread, generator: torch.Generator) -> Tensor:
    """Return the conductances that one write leaves, normal around their targets.

    A conductance is never negative: what falls below 0 is 0, which for a cell at ``k`` standard
    deviations above 0 happens with probability ``erfc(k / sqrt 2) / 2``.

    Args:
        target_us: Conductance targets, any shape [uS].
        spread: Standard deviation [uS].
        generator: A CPU stream, so that a chip is the same chip on every device.

    Returns:
        float32, new, on the device of ``target_us`` [uS].
    """
    sigma = spread(target_us) if callable(spread) else spread
    return _normals(target_us, generator).mul_(sigma).add_(target_us).clamp_(min=0)


def programmed_lognormal(target_us: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Return the conductances that one write leaves, lognormal with the median on target.

    ``G = target * exp(sigma z)``; the mean is ``exp(sigma^2 / 2)`` of the target.

    Args:
        target_us: Conductance targets, any shape [uS].
        sigma: Standard deviation of ``ln G`` [-].
        generator: A CPU stream.

    Returns:
        float32, new, on the device of ``target_us`` [uS].
    """
    return _normals(target_us, generator).mul_(sigma).exp_().mul_(target_us)


def polynomial_spread(
    coefficients: Sequence[float], g_max_us: float
) -> Callable[[Tensor], Tensor]:
    """Return the spread ``sigma = g_max * sum a_k (G / g_max)^k``, never below 0.

    Joshi et al., Nature Communications 11, 2473 (2020), describe phase-change memory so, with
    three coefficients.

    Args:
        coefficients: ``a0``, ``a1``, ...; at least one [-].
        g_max_us: Highest conductance [uS].
    """

    def spread(target_us: Tensor) -> Tensor:
        share = target_us / g_max_us
        sigma = torch.full_like(share, coefficients[-1])
        for a in reversed(coefficients[:-1]):
            sigma.mul_(share).add_(a)
        return sigma.clamp_(min=0).mul_(g_max_us)

    return spread


def verified(target_us: Tensor, write: Write, tolerance_us: float, iterations: int) -> Tensor:
    """Program and verify: write again the cells that read back too far from their targets.

    A write does not remember the one before.  So a cell whose single write misses by more than
    the tolerance with probability ``p`` ends up within it with probability ``1 - p^iterations``,
    distributed as one write given that it hits, and otherwise as one write given that it misses.

    Args:
        target_us: Conductance targets, any shape [uS].
        write: One write; called with all targets, then with those still to be hit, flat.
        tolerance_us: Largest deviation that is accepted [uS].
        iterations: Writes of a cell at most, the first one in [-].

    Returns:
        What ``write`` returned, in the shape of ``target_us`` [uS].
    """
    g_us = write(target_us).contiguous()
    flat, wanted = g_us.view(-1), target_us.reshape(-1)
    missed = _missed(flat, wanted, tolerance_us).nonzero().squeeze(1)
    for _ in range(iterations - 1):
        if not missed.numel():
            break
        again = wanted[missed]
        written = write(again)
        flat[missed] = written
        missed = missed[_missed(written, again, tolerance_us)]
    return g_us


def _missed(g_us: Tensor, target_us: Tensor, tolerance_us: float) -> Tensor:
    return (g_us - target_us).abs_() > tolerance_us


def _normals(like: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.empty(like.shape, dtype=torch.float32).normal_(generator=generator)
    return noise.to(like.device)
