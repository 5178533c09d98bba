import pytest
import torch

from cimc.device.seeding import generator
from cimc.device.stuck import stick


def test_rates() -> None:
    g = stick(torch.full((100_000,), 7.0), 0.02, 0.05, 2.0, 18.0, generator(3, "stuck"))
    assert float((g == 2.0).float().mean()) == pytest.approx(0.02, abs=0.002)
    assert float((g == 18.0).float().mean()) == pytest.approx(0.05, abs=0.003)
    assert set(g.unique().tolist()) == {2.0, 7.0, 18.0}


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 0, 7.0), (1, 0, 2.0), (0, 1, 18.0)])
def test_none_and_all(low: float, high: float, expected: float) -> None:
    g = stick(torch.full((1000,), 7.0), low, high, 2.0, 18.0, generator(3, "stuck"))
    assert g.unique().tolist() == [expected]
