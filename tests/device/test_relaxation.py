"""Relaxation in log time against its closed form."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from cimc.device.relaxation import decades, relax
from cimc.device.seeding import generator


def test_decades() -> None:
    assert decades(0, 1) == 0
    assert decades(999, 1) == pytest.approx(3)
    assert decades(90, 10) == pytest.approx(1)


@pytest.mark.parametrize(("rate", "passed"), [(0.05, 1.0), (0.05, 6.0), (0.3, 5.0)])
def test_the_mean_moves_linearly_and_the_spread_as_a_root(rate: float, passed: float) -> None:
    """False alarms once in 1e4 seeds; a shift of 0.02 sigma is found with probability 0.99."""
    g = relax(torch.full((100_000,), 18.0), 4.0, rate, 0.2, passed, generator(1, "test"))
    left = max(0.0, 1 - rate * passed)
    exact = stats.norm(4.0 + 14.0 * left, 0.2 * passed**0.5)
    assert stats.kstest(g.numpy(), exact.cdf).pvalue > 1e-4


def test_without_spread_it_is_exact() -> None:
    g = relax(torch.tensor([2.0, 4.0, 18.0]), 4.0, 0.1, 0.0, 2.0, generator(1, "test"))
    torch.testing.assert_close(g, torch.tensor([2.4, 4.0, 15.2]))


def test_never_negative() -> None:
    g = relax(torch.full((1000,), 0.1), 0.0, 0.0, 1.0, 4.0, generator(1, "test"))
    assert float(g.min()) == 0.0
