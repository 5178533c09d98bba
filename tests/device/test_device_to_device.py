"""Variation of end states against its closed form."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from cimc.device.device_to_device import vary_states
from cimc.device.seeding import generator

G_MIN, G_MAX = 2.0, 18.0
CELLS = 100_000


def varied(g: float, hrs: float, lrs: float, distribution="normal") -> torch.Tensor:
    cells = torch.full((CELLS,), g)
    return vary_states(cells, G_MIN, G_MAX, hrs, lrs, distribution, generator(1, "test"))


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
@pytest.mark.parametrize("g", [2.0, 6.0, 10.0, 18.0])
def test_mean_stays_and_spread_follows_the_state(g: float, distribution) -> None:
    """A spread that is off by 2 % would be 9 standard errors off."""
    s = (g - G_MIN) / (G_MAX - G_MIN)
    sigma = math.hypot((1 - s) * G_MIN * 0.2, s * G_MAX * 0.1)
    got = varied(g, 0.2, 0.1, distribution)
    assert float(got.mean()) == pytest.approx(g, abs=5 * sigma / CELLS**0.5)
    assert float(got.std()) == pytest.approx(sigma, rel=0.012)


def test_a_state_at_an_end_has_the_factor_of_that_end() -> None:
    """False alarms once in 1e4 seeds."""
    for g, hrs, lrs, sigma in ((G_MIN, 0.3, 0.1, 0.3), (G_MAX, 0.3, 0.1, 0.1)):
        normal, lognormal = (varied(g, hrs, lrs, kind) / g for kind in ("normal", "lognormal"))
        assert stats.kstest(normal.numpy(), stats.norm(1, sigma).cdf).pvalue > 1e-4
        s = math.sqrt(math.log(1 + sigma**2))
        exact = stats.lognorm(s, scale=math.exp(-(s**2) / 2))
        assert exact.mean() == pytest.approx(1)
        assert exact.std() == pytest.approx(sigma)
        assert stats.kstest(lognormal.numpy(), exact.cdf).pvalue > 1e-4


def test_beyond_an_end_a_cell_moves_with_that_end() -> None:
    change = varied(20.0, 0.0, 0.1) - 20.0
    torch.testing.assert_close(change, varied(18.0, 0.0, 0.1) - 18.0, rtol=0, atol=1e-5)
    assert varied(1.0, 0.0, 0.1).unique().tolist() == [1.0]


def test_never_negative() -> None:
    assert float(varied(2.0, 1.0, 0.0).min()) == 0.0
