"""Drift compensation: what the digital factor is, and what it leaves of an error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.compensation import after_programming, compensates, factor_of
from cimc.executor.matrices import matrices
from cimc.ir.geometry import Geometry
from cimc.program.model import DeviceProgram
from tests.executor.devices import chip, filled, physics
from tests.executor.programs import one_layer, quarters, target

TIMES = [1.0, 3600.0, 86400.0, 2.6e6]
ROWS, COLUMNS = 128, 64


def network(encoding: str = "differential-pair", **sections: object) -> DeviceProgram:
    """One matrix product, without converters."""
    device = target(encoding=encoding, read__dac_bits=None, adc__bits=None, **sections)
    geometry = Geometry("matrix", 1, ROWS, COLUMNS)
    return one_layer(
        "matmul", quarters((ROWS, COLUMNS), 0), geometry, ["n", ROWS], device=device,
        encoding=encoding, rows=48, columns=20,
    )  # fmt: skip


def outputs(program: DeviceProgram, at_s: float, seed: int = 0, mode: str = "chip"):
    run = Executor(program, mode, seed, at_s=at_s).run({"x": vectors()})
    return run.outputs["y"].astype(np.float64)


def vectors():
    return np.random.default_rng(1).uniform(0, 1, (200, ROWS)).astype(np.float32)


@pytest.mark.parametrize("compensation", ["none", "global", "per-column"])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
@pytest.mark.parametrize("at_s", TIMES)
def test_drift_without_spread_is_compensated_exactly(
    at_s: float, encoding: str, compensation: str
) -> None:
    program = network(encoding, noise__drift={"nu": 0.05, "compensation": compensation})
    exact = outputs(program, at_s, mode="ideal")
    share = at_s**-0.05 if compensation == "none" else 1.0
    np.testing.assert_allclose(
        outputs(program, at_s), exact * share, atol=2e-5 * np.abs(exact).max()
    )


@pytest.mark.parametrize("compensation", ["global", "per-column"])
@pytest.mark.parametrize("at_s", TIMES[1:])
def test_compensated_error_is_the_share_of_the_spread(at_s: float, compensation: str) -> None:
    """A cell's factor is lognormal around that of the mean: what a mean factor cannot undo.

    With ``d`` the relative deviation of a cell from the mean, of spread
    ``sqrt(exp(s^2) - 1)``, ``s = nu_sigma ln(t / t0)``, and ``e`` that of the sum the factor was
    found from, the error is ``sum_r x_r (d+ G+ - d- G-) - e y``; its variance is exact to first
    order in ``e``.  20 chips of 64 columns make 1,280 independent errors, so that the ratio of
    deviations is known to 2 %; the bound is 4 of them.
    """
    law = {"nu": 0.05, "nu_sigma": 0.01}
    program = network(noise__drift={**law, "compensation": compensation})
    exact = outputs(program, at_s, mode="ideal")
    error = np.stack([outputs(program, at_s, seed) - exact for seed in range(20)])
    measured = math.sqrt((error**2).mean())
    assert measured / expected_deviation(program, at_s, compensation) == pytest.approx(1, abs=0.08)
    uncompensated = outputs(network(noise__drift=law), at_s) - exact
    assert measured < 0.6 * math.sqrt((uncompensated**2).mean())


def expected_deviation(program: DeviceProgram, at_s: float, compensation: str) -> float:
    """Return the deviation of the outputs in closed form, see above."""
    layer = program.layers["w"]
    plus, minus = (plane[0].double().numpy() for plane in layer.cells.planes)
    x = vectors().astype(np.float64)
    axis = 0 if compensation == "per-column" else None
    total = (plus + minus).sum(axis)
    current = x @ (plus - minus)
    own = x**2 @ (plus**2 + minus**2)
    shared = (plus**2 + minus**2).sum(axis) * (current / total) ** 2
    both = x @ (plus**2 - minus**2) * current / total
    spread = math.sqrt(math.expm1((0.01 * math.log(at_s)) ** 2))
    return spread * float(layer.cells.gain) * math.sqrt((own - 2 * both + shared).mean())


def test_factors_of_columns_and_of_a_layer() -> None:
    one = filled(10.0, (3, 2))
    before = one.cells.planes
    now = (before[0] * torch.tensor([0.5, 0.25]), before[1] * torch.tensor([0.5, 0.75]))
    one_each = physics(noise__drift={"nu": 0.1, "compensation": "per-column"})
    np.testing.assert_allclose(factor_of(one, before, now, one_each), [2.0, 2.0])
    now = (now[0] * torch.tensor([1.0, 0.0]), now[1] * torch.tensor([1.0, 0.0]))
    np.testing.assert_allclose(factor_of(one, before, now, one_each), [2.0, 1.0])
    whole = physics(noise__drift={"nu": 0.1, "compensation": "global"})
    assert factor_of(one, before, now, whole) == pytest.approx(120 / 30)


def test_columns_of_an_offset_column_read_their_offset_cells_too() -> None:
    program = network("offset-column", noise__drift={"nu": 0.1, "compensation": "per-column"})
    layer = program.layers["w"]
    own, offset = layer.cells.planes
    now = own, offset * torch.tensor([1.0, 0.5, 1.0, 1.0])
    modelled = physics(noise__drift={"nu": 0.1, "compensation": "per-column"})
    factor = factor_of(layer, layer.cells.planes, now, modelled)
    columns = own.double().sum(1)[0]
    assert isinstance(factor, torch.Tensor)
    np.testing.assert_allclose(factor[:20], 1.0)
    exact = (columns + 1280) / (columns + 640)
    np.testing.assert_allclose(factor[20:40], exact[20:40], rtol=1e-6)


def test_temperature_is_compensated_for_the_read_after_programming_was_at_the_reference() -> None:
    heat = {"temperature": "350 K", "tc_lrs_per_k": -2e-3}
    program = network(
        noise__thermal=heat, noise__drift={"nu": 0.0, "compensation": "global"}, cell__g_min="0 uS"
    )
    exact = outputs(program, 10.0, mode="ideal")
    error = outputs(program, 10.0) - exact
    assert np.abs(error).max() < 0.02 * np.abs(exact).max()


def test_only_where_drift_is_modelled() -> None:
    modelled = physics(1e5, noise__drift={"nu": 0.05, "compensation": "global"})
    assert compensates(modelled)
    assert not compensates(replace(modelled, effects=frozenset()))
    assert not compensates(physics(1e5, noise__drift={"nu": 0.05}))
    law = {"nu": 0.05, "compensation": "global", "t0": "20 s"}
    assert not compensates(physics(20.0, noise__drift=law))
    assert compensates(physics(20.0, noise__drift=law, noise__relaxation={"rate": 0.1}))
    assert compensates(physics(0.0, noise__drift=law, noise__thermal={"temperature": "350 K"}))
    assert after_programming(modelled).at_s == 0.0
    one = filled(10.0)
    assert all(map(torch.equal, chip(one, after_programming(modelled)), one.cells.planes))
    assert matrices(one, one.cells.planes, modelled.target).lanes[0].multiplier == 1.0
