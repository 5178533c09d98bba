"""Iterated IR drop against exact transfer matrices, and for curved cells against root finding."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import brentq, root
from torch import Tensor

from cimc.device.ir_drop import Wires, transfer_us
from cimc.device.ir_drop_iterative import Curve, currents_us
from cimc.device.nonlinearity import polynomial_curve, sinh_curve
from cimc.errors import ProgramError
from tests.device.test_ir_drop import cells

SOFT = partial(sinh_curve, v_read_v=0.2, v0_v=0.2)
STEEP = partial(sinh_curve, v_read_v=0.2, v0_v=0.025)
CUBIC = partial(polynomial_curve, coefficients=(1.0, 0.0, 3.0))


def inputs(*shape: int, seed: int = 0) -> Tensor:
    """Inputs in [-1, 1]."""
    draw = torch.Generator().manual_seed(seed)
    return 2.0 * torch.rand(shape, generator=draw, dtype=torch.float64) - 1.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (9, 14)])
def test_linear_cells_give_the_exact_currents(shape: tuple[int, int]) -> None:
    g_us, u = cells(3, *shape) + 1.0, inputs(1, 4, shape[0])
    for ohms in product((0.0, 1.0), (0.0, 2.0), (0.0, 30.0), (0.0, 50.0)):
        expected = u @ transfer_us(g_us, Wires(*ohms))
        found = currents_us(g_us, u, Wires(*ohms))
        atol = 1e-9 * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_wires_that_resist_a_thousand_times_more_than_usual_are_solved() -> None:
    g_us, u = cells(1, 40, 40), inputs(1, 2, 40)
    wires = Wires(1000.0, 1000.0)
    expected = u @ transfer_us(g_us, wires)
    found = currents_us(g_us, u, wires)
    atol = 1e-8 * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("curve", [None, STEEP])
def test_too_few_sweeps_are_an_error_that_says_how_far_it_is(curve: Curve | None) -> None:
    g_us, u = cells(3, 20, 20), inputs(3, 2, 20)
    g_us[1] = 0.0
    with pytest.raises(ProgramError, match=r"of 2 of 3 arrays .* after 3 sweeps") as caught:
        currents_us(g_us, u, Wires(100.0, 100.0), curve, sweeps=3)
    assert caught.value.code == "CIMC-P63"


@pytest.mark.parametrize("curve", [SOFT, STEEP, CUBIC])
def test_one_curved_cell_behind_a_resistance(curve: Curve) -> None:
    """``i = G f(u - i R)``, a scalar equation; R as large as the cell's resistance."""
    g_us, ohm, u = 100.0, 1e4, torch.linspace(-1, 1, 9, dtype=torch.float64)
    found = currents_us(
        torch.tensor([[[g_us]]]), u.reshape(1, -1, 1), Wires(driver_ohm=ohm), curve
    )

    def missing(i_us: float, drive: float) -> float:
        across = torch.tensor(drive - i_us * 1e-6 * ohm, dtype=torch.float64)
        return i_us - g_us * float(curve(across))

    expected = [brentq(missing, -100, 100, (float(x),), xtol=1e-12) for x in u]
    np.testing.assert_allclose(found[0, :, 0], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("curve", [SOFT, STEEP, CUBIC])
def test_curved_cells_obey_kirchhoff(curve: Curve) -> None:
    """All node voltages by a general root finder, from the laws written out with loops."""
    wires, g_us, u = Wires(500.0, 800.0, 2e3, 3e3), cells(1, 4, 3, seed=3), inputs(1, 1, 4)
    v, size = u[0, 0].numpy(), 12

    def across(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        word, bit = x[:size].reshape(4, 3), x[size:].reshape(4, 3)
        flow = g_us[0].numpy() * 1e-6 * curve(torch.from_numpy(word - bit)).numpy()
        left = np.zeros_like(x).reshape(2, 4, 3)
        for i in range(4):
            for j in range(3):
                before = word[i, j - 1] if j else v[i]
                ohm = 500.0 + (0.0 if j else 2e3)
                left[0, i, j] = before - word[i, j] - ohm * flow[i, j:].sum()
                after = bit[i + 1, j] if i < 3 else 0.0
                ohm = 800.0 + (0.0 if i < 3 else 3e3)
                left[1, i, j] = bit[i, j] - after - ohm * flow[: i + 1, j].sum()
        return left.ravel()

    start = np.concatenate([np.repeat(v, 3), np.zeros(size)])
    solved = root(across, start, tol=1e-13)
    assert abs(across(solved.x)).max() < 1e-10
    word, bit = torch.from_numpy(solved.x).reshape(2, 4, 3)
    expected = (g_us[0] * curve(word - bit)).sum(0)
    found = currents_us(g_us, u, wires, curve)[0, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 * float(g_us.max()))


def test_steps_that_overshoot_are_halved() -> None:
    """Cells that saturate have almost no slope where Newton's method starts."""
    wires, curve = Wires(driver_ohm=2e4), partial(_saturating, steepness=20.0)
    found = currents_us(torch.tensor([[[100.0]]]), torch.ones(1, 1, 1), wires, curve)

    def missing(i_us: float) -> float:
        across = torch.tensor(1.0 - i_us * 1e-6 * 2e4, dtype=torch.float64)
        return i_us - 100.0 * float(curve(across))

    assert float(found) == pytest.approx(brentq(missing, 0.0, 100.0, xtol=1e-12), rel=1e-7)


def _saturating(u: Tensor, steepness: float) -> Tensor:
    return torch.tanh(steepness * u) / np.tanh(steepness)


def test_without_wires_only_the_curve_acts() -> None:
    g_us, u = cells(2, 8, 5), inputs(1, 3, 8)
    found = currents_us(g_us, u, Wires(), SOFT)
    torch.testing.assert_close(found, SOFT(u) @ g_us)


def test_arrays_of_one_batch_do_not_touch_each_other() -> None:
    g_us, u = cells(3, 9, 8, seed=5), inputs(3, 2, 9, seed=6)
    g_us[2] *= 100.0
    wires = Wires(20.0, 20.0)
    each = [currents_us(g[None], v[None], wires, STEEP)[0] for g, v in zip(g_us, u, strict=True)]
    together = currents_us(g_us, u, wires, STEEP)
    for one, same in zip(each, together, strict=True):
        torch.testing.assert_close(same, one, rtol=0, atol=1e-8 * float(one.abs().max()))


def test_nothing_in_nothing_out() -> None:
    assert currents_us(cells(2, 0, 4), inputs(1, 3, 0), Wires(1.0, 1.0)).shape == (2, 3, 4)
    zero = currents_us(cells(1, 5, 4), torch.zeros(1, 1, 5), Wires(1.0, 1.0), STEEP)
    assert not zero.any()
