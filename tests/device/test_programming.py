"""Programming noise against distributions in closed form.

A Kolmogorov-Smirnov test of 1e5 draws at 1e-4 gives a false alarm once in 10,000 choices of seed
and finds a distribution that is off by 0.01 anywhere with probability above 0.99.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from cimc.device.programming import (
    polynomial_spread,
    programmed,
    programmed_lognormal,
    verified,
)
from cimc.device.seeding import generator

DRAWS = 100_000


def test_spread_around_the_target() -> None:
    """2e5 draws: the mean is known to 0.002 sigma, the deviation to 0.0016 sigma."""
    target = torch.full((200_000,), 10.0)
    g = programmed(target, 0.25, generator(1, "test"))
    assert float(g.mean()) == pytest.approx(10.0, abs=5 * 0.25 / 200_000**0.5)
    assert float(g.std()) == pytest.approx(0.25, rel=0.01)
    assert float(target.unique()) == 10.0


def test_never_negative() -> None:
    g = programmed(torch.full((1000,), 0.1), 1.0, generator(1, "test"))
    assert float(g.min()) == 0.0
    assert 0.4 < float((g == 0).float().mean()) < 0.52


def test_spread_may_depend_on_the_conductance() -> None:
    target = torch.cat([torch.full((50_000,), 2.0), torch.full((50_000,), 16.0)])
    g = programmed(target, lambda t: 0.02 * t, generator(1, "test"))
    assert float(g[:50_000].std()) == pytest.approx(0.04, rel=0.03)
    assert float(g[50_000:].std()) == pytest.approx(0.32, rel=0.03)


def test_lognormal_has_its_median_on_target() -> None:
    g = programmed_lognormal(torch.full((DRAWS,), 5.0), 0.4, generator(1, "test"))
    assert stats.kstest(g.numpy(), stats.lognorm(0.4, scale=5.0).cdf).pvalue > 1e-4


def test_a_target_of_zero_stays_zero_in_a_lognormal() -> None:
    assert float(programmed_lognormal(torch.zeros(9), 0.4, generator(1, "test")).max()) == 0.0


@pytest.mark.parametrize("a", [(0.1,), (0.02, 0.3), (0.0, 0.26, -0.2), (-0.5, 0.1)])
def test_polynomial_spread(a: tuple[float, ...]) -> None:
    target = torch.linspace(0, 25, 40)
    expected = 25 * np.polyval(a[::-1], target.double().numpy() / 25).clip(min=0)
    np.testing.assert_allclose(polynomial_spread(a, 25.0)(target), expected, atol=1e-5)
    assert float(target[-1]) == 25.0


def mixture(x, target: float, sigma: float, tolerance: float, iterations: int):
    """CDF after verifying: a write that hits, or, after the last one, a write that misses."""
    one = stats.norm(target, sigma)
    low, high = one.cdf(target - tolerance), one.cdf(target + tolerance)
    miss = 1 - (high - low)
    inside = (one.cdf(x).clip(low, high) - low) / (high - low)
    outside = (one.cdf(x) - (one.cdf(x).clip(low, high) - low)) / miss
    return (1 - miss**iterations) * inside + miss**iterations * outside


@pytest.mark.parametrize("iterations", [1, 2, 5])
@pytest.mark.parametrize("tolerance", [0.1, 0.4])
def test_verify_is_a_mixture_of_truncated_normals(tolerance: float, iterations: int) -> None:
    """One write more or less moves the CDF by more than 0.03 in every case but the last."""
    target, sigma = torch.full((DRAWS,), 10.0), 0.25
    write = partial(programmed, spread=sigma, generator=generator(2, "test"))
    g = verified(target, write, tolerance, iterations).numpy()
    exact = partial(mixture, target=10.0, sigma=sigma, tolerance=tolerance, iterations=iterations)
    assert stats.kstest(g, exact).pvalue > 1e-4
    miss = 2 * stats.norm.sf(tolerance / sigma)
    missed = int((np.abs(g - 10.0) > tolerance).sum())
    assert stats.binomtest(missed, DRAWS, miss**iterations).pvalue > 1e-4


def test_verify_looks_at_every_cell_of_a_matrix() -> None:
    target = torch.linspace(2, 18, 6000).reshape(2, 30, 100)
    write = partial(programmed, spread=1.0, generator=generator(2, "test"))
    g = verified(target, write, 0.5, 1000)
    assert g.shape == target.shape
    assert float((g - target).abs().max()) <= 0.5
