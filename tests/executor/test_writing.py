"""Programming noise and variation of devices as a target describes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cimc.errors import ProgramError
from cimc.program.positions import positions
from tests.executor.devices import chip, filled, physics


@pytest.mark.parametrize(
    ("noise", "exact"),
    [
        ({"sigma": "0.25 uS"}, stats.norm(10, 0.25)),
        ({"sigma_relative": 0.02}, stats.norm(10, 0.32)),
        ({"sigma_log": 0.1}, stats.lognorm(0.1, scale=10)),
        ({"polynomial": [0.01, 0.02]}, stats.norm(10, 0.18 + 0.2)),
    ],
)  # fmt: skip
def test_programming(noise, exact) -> None:
    """False alarms once in 1e4 seeds; a spread off by 5 % is found with probability 0.99."""
    plus, _ = chip(filled(10.0), physics(noise__programming=noise))
    assert stats.kstest(plus.numpy().ravel(), exact.cdf).pvalue > 1e-4


def test_program_and_verify() -> None:
    noise = {"sigma": "0.25 uS", "verify": {"tolerance": "0.1 uS", "iterations": 100}}
    plus, _ = chip(filled(10.0), physics(noise__programming=noise))
    assert (
        stats.kstest(plus.numpy().ravel(), stats.truncnorm(-0.4, 0.4, 10, 0.25).cdf).pvalue > 1e-4
    )


@pytest.mark.parametrize(("g", "sigma"), [(2.0, 0.4), (18.0, 1.8)])
def test_device_to_device(g: float, sigma: float) -> None:
    spread = {"sigma_lrs": 0.1, "sigma_hrs": 0.2}
    plus, _ = chip(filled(g), physics(noise__device_to_device=spread))
    assert stats.kstest(plus.numpy().ravel(), stats.norm(g, sigma).cdf).pvalue > 1e-4


def test_smooth_variation_over_physical_arrays() -> None:
    """Covariance over 1,500 chips; standard errors below 0.037, bounds at 5 of them.

    Cells of both planes at chosen places, with distances on the array, not in the plane: the two
    cells of a pair are neighbours, columns of a plane lie two bit lines apart.
    """
    spread = {"sigma_relative": 0.1, "length": 6.0}
    one = filled(10.0, (24, 12))
    where = positions(one)
    cells = [(0, 0, 0), (1, 0, 0), (0, 4, 2), (1, 8, 2), (0, 23, 11)]
    place = np.array(
        [(where[p].word_line[0, r, c], where[p].bit_line[0, r, c]) for p, r, c in cells]
    )
    modelled, drawn = physics(noise__correlated=spread), []
    for seed in range(1500):
        planes = chip(one, modelled, seed)
        drawn.append([float(planes[p][0, r, c]) / 10.0 - 1.0 for p, r, c in cells])
    got = np.cov(np.array(drawn).T) / 0.1**2
    distance = ((place[:, None] - place[None]) ** 2).sum(-1)
    np.testing.assert_allclose(got, np.exp(-distance / (2 * 6.0**2)), atol=0.18)
    assert abs(got[0, 1] - np.exp(-1 / 72)) < 0.1


def test_arrays_vary_over_the_wafer() -> None:
    """Covariance over 1,000 chips, arrays at distances up to 36: standard errors below 0.045."""
    spread = {"wafer_sigma_relative": 0.05, "wafer_length": 16.0}
    modelled, numbers = physics(noise__correlated=spread), [0, 1, 256, 1536]
    layers = [filled(10.0, (1, 1), array=k) for k in numbers]
    drawn = [[float(chip(w, modelled, s)[0]) / 10 - 1 for w in layers] for s in range(1000)]
    place = np.array([(0, 0), (0, 1), (0, 16), (16, 32)])
    distance = ((place[:, None] - place[None]) ** 2).sum(-1)
    exact = np.exp(-distance / (2 * 16.0**2))
    np.testing.assert_allclose(np.cov(np.array(drawn).T) / 0.05**2, exact, atol=0.2)
    planes = chip(layers[0], modelled)
    assert torch.equal(*planes)


def test_an_array_beyond_the_wafer() -> None:
    modelled = physics(noise__correlated={"wafer_sigma_relative": 0.05})
    with pytest.raises(ProgramError, match="outside the wafer") as caught:
        chip(filled(10.0, (1, 1), array=3 << 20), modelled)
    assert caught.value.code == "CIMC-P62"
