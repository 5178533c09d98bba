"""Drift against the power law."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from cimc.device.drift import OfState, drift
from cimc.device.seeding import generator

NONE = OfState(0.0)


def drifted(g: torch.Tensor, ratio: float, nu: OfState, sigma: OfState = NONE) -> torch.Tensor:
    return drift(g.clone(), ratio, 25.0, nu, sigma, generator(1, "test"))


@pytest.mark.parametrize("ratio", [1.0, 60.0, 3600.0, 86400.0, 2.6e6])
def test_without_spread_it_is_the_power_law(ratio: float) -> None:
    g = torch.linspace(0, 25, 50)
    torch.testing.assert_close(
        drifted(g, ratio, OfState(0.05)), g * ratio**-0.05, rtol=2e-6, atol=0
    )


def test_nothing_happens_before_t0() -> None:
    g = torch.linspace(0, 25, 50)
    assert torch.equal(drifted(g, 0.01, OfState(0.05), OfState(0.1)), g)


def test_the_exponent_follows_the_state_within_limits() -> None:
    g = torch.tensor([0.0, 0.1, 1.0, 5.0, 25.0])
    got = drifted(g, 1000.0, OfState(0.02, -0.0155, (0.03, 0.08)))[1:]
    nu = np.clip(0.02 - 0.0155 * np.log(g[1:].numpy() / 25), 0.03, 0.08)
    np.testing.assert_allclose(got, g[1:].numpy() * 1000.0**-nu, rtol=1e-5)
    assert nu[1:].tolist() == pytest.approx(
        [0.02 + 0.0155 * math.log(25), 0.02 + 0.0155 * math.log(5), 0.03]
    )
    assert nu[0] == np.float32(0.08)


@pytest.mark.parametrize("g", [2.0, 20.0])
def test_exponents_spread_normally(g: float) -> None:
    """False alarms once in 1e4 seeds; a spread off by 3 % is found with probability 0.99."""
    nu, sigma = OfState(0.05, -0.01), OfState(0.01, -0.004, (0.0, 0.02))
    got = drifted(torch.full((100_000,), g), 86400.0, nu, sigma)
    exponent = -torch.log(got.double() / g) / math.log(86400.0)
    x = math.log(g / 25)
    exact = stats.norm(0.05 - 0.01 * x, min(0.01 - 0.004 * x, 0.02))
    assert stats.kstest(exponent.numpy(), exact.cdf).pvalue > 1e-4
