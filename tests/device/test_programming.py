import pytest
import torch

from cimc.device.programming import programmed
from cimc.device.seeding import generator


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
