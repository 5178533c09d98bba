"""Transfer matrices of arrays with resistive wires against closed forms, Kirchhoff's equations
and the currents of badcrossbar 1.1.0."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.device.ir_drop import Wires, split, transfer_us
from cimc.device.nodal import Nodal
from tests.benchmarks.ir_drop import STORED_INPUTS, array

STORED = Path(__file__).parent / "data" / "badcrossbar.npz"
EVERYWHERE = Wires(1.0, 2.0, 30.0, 50.0)


def cells(*shape: int, seed: int = 0) -> Tensor:
    """Conductances between 2 and 100 uS, log-uniform, every tenth cell 0."""
    draw = torch.Generator().manual_seed(seed)
    g_us = 2.0 * 50.0 ** torch.rand(shape, generator=draw, dtype=torch.float64)
    return torch.where(torch.rand(shape, generator=draw) < 0.1, 0.0, g_us)


def by_nodes(g_us: Tensor, wires: Wires) -> Tensor:
    """The same from node voltages, one word line driven after the other."""
    return torch.from_numpy(Nodal(g_us.numpy(), wires).currents(np.eye(len(g_us))))


def test_without_wires_the_cells_are_seen_as_they_are() -> None:
    g_us = cells(5, 7)
    assert torch.equal(transfer_us(g_us, Wires()), g_us)
    assert transfer_us(g_us[:0], EVERYWHERE).shape == (0, 7)


def test_one_cell_is_in_series_with_everything() -> None:
    seen = transfer_us(torch.tensor([[1e4]]), EVERYWHERE)
    assert float(seen) == pytest.approx(1e6 / (100.0 + 1.0 + 2.0 + 30.0 + 50.0), rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_a_uniform_word_line_falls_off_as_a_hyperbolic_cosine(count: int) -> None:
    """``u_j = cosh((N - j + 1/2) a) / cosh((N + 1/2) a)`` with ``cosh a = 1 + g r / 2``."""
    g_us, ohm = 50.0, 120.0
    a = np.arccosh(1.0 + g_us * 1e-6 * ohm / 2.0)
    j = np.arange(1, count + 1)
    expected = g_us * np.cosh((count - j + 0.5) * a) / np.cosh((count + 0.5) * a)
    row = transfer_us(torch.full((1, count), g_us), Wires(word_line_ohm=ohm))
    np.testing.assert_allclose(row[0], expected, rtol=1e-12)
    column = transfer_us(torch.full((count, 1), g_us), Wires(bit_line_ohm=ohm))
    np.testing.assert_allclose(column.flip(0)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 5), (6, 6), (13, 9), (11, 33)])
def test_kirchhoff_holds_at_every_node_for_any_resistances(shape: tuple[int, int]) -> None:
    g_us = cells(*shape, seed=1)
    g_us[0, 0] = 50.0
    for ohms in product((0.0, 1.0), (0.0, 2.0), (0.0, 30.0), (0.0, 50.0)):
        wires = Wires(*ohms)
        expected = by_nodes(g_us, wires)
        found = transfer_us(g_us, wires)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 * float(expected.max()))


@pytest.mark.parametrize("ohm", [1e-12, 1e-9, 1e-6, 1e-3, 1e3, 1e6])
def test_extreme_wires_keep_their_digits(ohm: float) -> None:
    """For wires of almost no resistance: its effect is linear, at most ``r n G_total``."""
    g_us = cells(12, 9, seed=2)
    found = transfer_us(g_us, Wires(ohm, ohm))
    if ohm >= 1e-3:
        expected = by_nodes(g_us, Wires(ohm, ohm))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 * float(expected.max()))
    else:
        bound = 24 * ohm * float(g_us.sum()) * 1e-6
        assert float((g_us - found).abs().max()) <= bound * float(g_us.max())


def test_an_array_may_be_read_from_its_other_side() -> None:
    """Reciprocity: driving the bit lines and sensing the word lines transposes the matrix."""
    g_us = cells(10, 14, seed=3)
    mirrored = transfer_us(g_us.flip(0, 1).mT, EVERYWHERE.mirrored())
    torch.testing.assert_close(mirrored.mT.flip(0, 1), transfer_us(g_us, EVERYWHERE))


def test_word_lines_switched_off_only_lengthen_the_bit_lines() -> None:
    g_us = cells(9, 6, seed=4)
    whole = torch.zeros(20, 6, dtype=torch.float64)
    whole[3:12] = g_us
    expected = transfer_us(whole, EVERYWHERE)[3:12]
    torch.testing.assert_close(transfer_us(g_us, EVERYWHERE.below(8)), expected)


def test_a_batch_of_arrays_is_each_of_them() -> None:
    g_us = cells(2, 3, 12, 7, seed=5)
    each = torch.stack([transfer_us(g, EVERYWHERE) for g in g_us.reshape(6, 12, 7)])
    torch.testing.assert_close(transfer_us(g_us, EVERYWHERE).reshape(6, 12, 7), each)


def test_more_resistance_never_lets_more_current_through() -> None:
    g_us = cells(16, 16, seed=6)
    totals = [float(transfer_us(g_us, Wires(r, r, r, r)).sum()) for r in (0.0, 1.0, 10.0, 100.0)]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("wires", [EVERYWHERE, Wires(1.0, 0.0, 3.0, 5.0), Wires(0.0, 1.0)])
def test_the_gradient_is_right(wires: Wires) -> None:
    g_us = (cells(6, 7, seed=7) + 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda g: transfer_us(g, wires), g_us, atol=1e-6)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_currents_are_those_of_badcrossbar(size: int) -> None:
    ohms, volts = array(size, STORED_INPUTS)
    with np.load(STORED) as stored:
        expected = stored[f"currents_{size}"]
    found = volts @ transfer_us(torch.from_numpy(1e6 / ohms), Wires(1.0, 1.0)).numpy() * 1e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * expected.max())


@pytest.mark.parametrize("size", [1, 5, 6, 10, 11, 81, 252, 256])
def test_leaves_cover_an_axis_without_much_waste(size: int) -> None:
    cells_of_leaf, leaves = split(size)
    assert 1 <= cells_of_leaf <= 5
    assert leaves & (leaves - 1) == 0
    assert size <= cells_of_leaf * leaves < size * 4 / 3 + 1
