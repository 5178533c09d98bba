"""Noise referred to the bit line against a sampler that draws every cell of every read."""

import math

import pytest
import torch
from scipy import stats

from cimc.device.normals import Normals
from cimc.device.read_noise import add_fluctuation


def per_device(x, plus, minus, sigma: float, reads: int):
    """The oracle: cells fluctuate one by one; currents ``(reads, columns)``."""
    draw = torch.Generator().manual_seed(5)
    shape = (reads, *plus.shape)
    noisy = [
        g * (1 + sigma * torch.randn(shape, generator=draw, dtype=torch.float64))
        for g in (plus.double(), minus.double())
    ]
    return torch.einsum("r,nrc->nc", x.double(), noisy[0] - noisy[1])


def test_same_distribution_as_drawing_every_cell() -> None:
    """20,000 reads: a ratio of deviations of 1.05 would be 7 standard errors off."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(-127, 128, (24,), generator=draw).float()
    plus, minus = (2 + 16 * torch.rand(24, 3, generator=draw) for _ in range(2))
    sigma, reads = 0.05, 20_000

    exact = (x @ (plus - minus)).expand(reads, 3).clone()
    cells = sigma**2 * (plus.square() + minus.square())
    power = (x.square() @ cells).expand(reads, 3).clone()
    noisy = add_fluctuation(exact, power, 0.0, Normals(0, "read"))

    oracle = per_device(x, plus, minus, sigma, reads)
    torch.testing.assert_close(
        noisy.double().std(0) / oracle.std(0), torch.ones(3).double(), rtol=0.03, atol=0
    )
    error = oracle.std(0) * math.sqrt(2 / reads)
    assert bool(((noisy.double().mean(0) - oracle.mean(0)).abs() < 5 * error).all())
    for column in range(3):
        assert stats.ks_2samp(noisy[:, column], oracle[:, column]).pvalue > 1e-3
    assert abs(float(torch.corrcoef(noisy.T)[0, 1])) < 0.04


def test_a_negative_power_is_no_noise() -> None:
    """A convolution may compute a sum of squares as slightly less than zero."""
    current = torch.ones(4)
    assert add_fluctuation(current, torch.full((4,), -1e-6), 0.0, Normals(0)).tolist() == [1] * 4


@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
def test_draws_are_shared_where_power_is(shape: tuple[int, int]) -> None:
    current = add_fluctuation(torch.zeros(2, 3), torch.ones(shape), 0.0, Normals(0))
    assert bool((current[0] == current[1]).all()) == (shape[0] == 1)


@pytest.mark.parametrize("power", [None, 4.0])
@pytest.mark.parametrize("still", [9.0, torch.tensor([9.0, 25.0])])
def test_variances_add_up(power, still) -> None:
    """40,000 draws: a ratio of deviations is known to 0.35 %; 2 % is nearly 6 standard errors."""
    shape = (40_000, 2)
    own = None if power is None else torch.full(shape, power)
    drawn = add_fluctuation(torch.zeros(shape), own, still, Normals(1, "read"))
    wanted = (torch.as_tensor(still) + (power or 0.0)).sqrt().expand(2)
    torch.testing.assert_close(drawn.std(0), wanted, rtol=0.02, atol=0)
