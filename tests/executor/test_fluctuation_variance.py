"""Variance of a read against drawing every electron and every cell of every read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.executor.cells import conductances_us
from cimc.executor.fluctuation_variance import variance_us2
from cimc.executor.site import Site
from tests.executor.devices import filled, physics

READS = 20_000
WHITE = {"sigma_relative": 0.03}
PINK = {"one_over_f": {"amplitude": 0.01, "exponent": 0.5, "limit": 0.02, "t_read": "250 ns"}}
TRAPS = {"telegraph": {"amplitude": 0.1, "occupancy": 0.3, "cells": 0.5}}
#: So strong that white noise of the electron's own signal matters: 5 % of the variance.
STRONG = {
    "sigma_relative": 0.3,
    "telegraph": {"amplitude": 0.6, "occupancy": 0.3, "cells": 0.5},
}


def sampled(g: torch.Tensor, noise: dict, trapped: torch.Tensor, at_s: float) -> torch.Tensor:
    """The oracle: conductances of every cell in every read, float64 ``(reads, cells)``."""
    draw = torch.Generator().manual_seed(7)
    shape = (READS, g.numel())
    read = g.double().expand(shape)
    if "telegraph" in noise:
        a, p = noise["telegraph"]["amplitude"], noise["telegraph"]["occupancy"]
        caught = torch.rand(shape, generator=draw, dtype=torch.float64) < p
        read = read * (1 - a * (caught & trapped).double())
        g = g * (1 - a * p * trapped.float())
    q = np.minimum(0.01 * (g.double().numpy() / 18.0) ** -0.5, 0.02)
    parts = []
    if "sigma_relative" in noise:
        parts.append(np.full(g.numel(), noise["sigma_relative"]))
    if "one_over_f" in noise:
        parts.append(q * np.sqrt(np.log((at_s + 250e-9) / 500e-9)))
    for sigma in parts:
        normal = torch.randn(shape, generator=draw, dtype=torch.float64)
        read = read + normal * torch.from_numpy(sigma) * read
    return read


@pytest.mark.parametrize(
    "noise", [WHITE, PINK, TRAPS, {**WHITE, **TRAPS}, {**WHITE, **PINK, **TRAPS}, STRONG]
)
def test_against_a_sampler_of_every_cell(noise: dict) -> None:
    """20,000 reads of 40 cells: variances are known to 1 %, bounds at 5 errors.

    All six cases, 40 cells: a false alarm once in 10,000 seeds.  Leaving out any one of the parts
    changes the variance by more than 5 % and is found with probability above 0.99.
    """
    one = filled(torch.linspace(2, 18, 40), (1, 40))
    modelled = physics(3600.0, noise__read=noise)
    g = one.cells.planes[0].flatten()
    draw = torch.empty(1, 1, 40).uniform_(generator=Site(one, 0, modelled, 3).stream("telegraph"))
    oracle = sampled(g, noise, draw.flatten() < 0.5, 3600.0)

    planes = conductances_us(one, one.cells.planes, modelled, 3, {})
    variance = variance_us2(one, 0, planes[0], modelled, 3)

    assert variance is not None
    exact = variance.flatten().double()
    quiet = exact == 0
    assert bool(quiet.any()) == (noise is TRAPS)
    error = (exact / READS).sqrt()
    assert bool(((oracle.mean(0) - planes[0].flatten()).abs() <= 5 * error + 1e-5).all())
    ratio = oracle.var(0)[~quiet] / exact[~quiet]
    assert float((ratio - 1).abs().max()) < 0.055
    assert float((ratio - 1).mean().abs()) < 5 * 0.01 / 40**0.5


def test_none_without_fluctuations() -> None:
    one = filled(10.0, (2, 2))
    quiet = physics(noise__programming={"sigma": "0.25 uS"})
    assert variance_us2(one, 0, one.cells.planes[0], quiet, 0) is None


def test_switches() -> None:
    one = filled(10.0, (2, 2))
    modelled = physics(3600.0, noise__read={**WHITE, **PINK, **TRAPS})
    white = type(modelled)(modelled.target, frozenset({"read"}), 3600.0)
    got = variance_us2(one, 0, one.cells.planes[0], white, 0)
    np.testing.assert_allclose(got, 0.09, rtol=1e-5)
    pink = type(modelled)(modelled.target, frozenset({"one-over-f"}), 0.0)
    got = variance_us2(one, 0, one.cells.planes[0], pink, 0)
    np.testing.assert_allclose(got, 0.0)
