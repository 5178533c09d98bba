"""Values that a weight's own cells reach: [NM Eq. 11] and [NM Eq. 12], one weight at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.training.known_chip import KnownChip
from cimc.training.reachable_levels import KnownCells, ReachableLevels
from cimc.training.reachable_sums import ReachableSums, multipliers_of
from cimc.training.recipe import FaultTraining, Recipe
from tests.training.put import TARGETS, on_chip


def known(kind: str, *, gains: bool = False, layer: int = -1) -> KnownCells:
    network, target, _, faults = on_chip(kind, gains=gains)
    cells = KnownChip.of(network, target, faults).layers
    return list(cells.values())[layer]


def weights(cells: KnownCells, seed: int = 3) -> Tensor:
    """Latent weights, some beyond the largest."""
    own = cells.weights(cells.cells())
    draw = torch.Generator().manual_seed(seed)
    return own.abs().max() * torch.randn(own.shape, generator=draw) / 2


def levels(cells: KnownCells, matrix: Tensor, **recipe: Any) -> ReachableLevels:
    kind = ReachableLevels if recipe.get("levels", "fixed") == "fixed" else ReachableSums
    return kind(cells, Recipe(**recipe), matrix)


def sums(cells: KnownCells, place: tuple[int, int, int]) -> list[float]:
    """All ``<var * r, S> + c`` of one weight [NM Eq. 12], float64, bit by bit.

    ``S`` are the bits that are not stuck.  A bit contributes ``(G - G_min) / (G_max - G_min)``
    multipliers: ``var`` of the LRS, about; as much as the HRS has changed, for bit 0.
    """
    r, c = multipliers_of(cells)
    r, c = (r, c) if r.ndim == 1 else (r[place[2]], c[place[2]])
    cell, faults = cells.target.cell, cells.faults
    low, high = np.float32(cell.g_min_us), np.float32(cell.g_max_us)
    each = []
    for k in range(len(r)):
        stuck = float(faults.stuck_us[k][place])
        lrs = 1.0 if faults.gain_lrs is None else float(faults.gain_lrs[k][place])
        hrs = 1.0 if faults.gain_hrs is None else float(faults.gain_hrs[k][place])
        held = [low * hrs, high * lrs] if np.isnan(stuck) else [stuck]
        each.append([float(r[k]) * (g - low) / (high - low) for g in held])
    return [float(c) + sum(bits) for bits in product(*each)]


def places(matrix: Tensor, count: int = 60) -> list[tuple[int, int, int]]:
    every = list(np.ndindex(*matrix.shape))
    return every[:: max(1, len(every) // count)]


@pytest.mark.parametrize("gains", [False, True])
def test_the_nearest_of_all_sums_of_the_bits_that_are_left(*, gains: bool) -> None:
    cells = known("digital slices", gains=gains)
    matrix = weights(cells)
    value = levels(cells, matrix)(matrix)
    size = float(matrix.abs().max())
    sizes = set()
    for place in places(matrix):
        wanted, reach = float(matrix[place]), sums(cells, place)
        best = min(abs(wanted - v) for v in reach)
        assert abs(abs(wanted - float(value[place])) - best) < 1e-5 * size
        assert min(abs(float(value[place]) - v) for v in reach) < 1e-5 * size
        sizes.add(len(reach))
    assert len(sizes) > 1  # some have a stuck cell, some have none


def literal(cells: KnownCells, matrix: Tensor, delta: float, alpha: float) -> float:
    """[NM Eq. 11] as it is printed: loops over weights and levels."""
    r, c = multipliers_of(cells)
    assert r.ndim == 1
    every = [
        float(c) + float((r * torch.tensor(s)).sum()) for s in product((0.0, 1.0), repeat=len(r))
    ]
    size, total = max(abs(v) for v in every), 0.0
    for place in np.ndindex(*matrix.shape):
        reach = sums(cells, place)
        costs = []
        for level in every:
            valid = min(abs(level - v) for v in reach) < 1e-5 * size
            costs.append((float(matrix[place]) - level) ** 2 if valid else delta * size**2)
        total += min(costs)
    return alpha * total


@pytest.mark.parametrize("delta", [4.0, 0.05, 1e-3])
def test_the_validity_loss_is_equation_11(delta: float) -> None:
    cells = _stuck_at_ends(known("digital slices"))
    matrix = weights(cells)
    module = levels(
        cells, matrix, quantization="regularized", noise="none",
        faults=FaultTraining("validity", delta=delta),
    )  # fmt: skip
    want = literal(cells, matrix, delta, module.alpha)
    assert float(module.penalty(matrix)) == pytest.approx(want, rel=1e-4)
    assert float(module.alpha) == pytest.approx((matrix.numel() * 7) ** -0.5)


def _stuck_at_ends(cells: KnownCells) -> KnownCells:
    """Cells stuck at a conductance of their own reach no level at all: stuck at ends instead."""
    cell = cells.target.cell
    middle = (cell.g_min_us + cell.g_max_us) / 2
    stuck = tuple(
        torch.where(s.isnan(), s, torch.where(s > middle, cell.g_max_us, cell.g_min_us))
        for s in cells.faults.stuck_us
    )
    return replace(cells, faults=replace(cells.faults, stuck_us=stuck))


@pytest.mark.parametrize("delta", [4.0, 0.02])
def test_its_gradient_is_that_of_the_values_that_win(delta: float) -> None:
    cells = _stuck_at_ends(known("digital slices"))
    matrix = weights(cells).requires_grad_()
    module = levels(
        cells, matrix.detach(), quantization="regularized", noise="none",
        faults=FaultTraining("validity", delta=delta),
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(module.penalty(matrix), matrix)
    with torch.no_grad():
        near = module.quantized(matrix)
        away = matrix - near
        most = delta * float(module.limit()) ** 2
        lost = module.affected & (away.square() > most)
        want = torch.where(lost, 0.0, 2 * module.alpha * away)
    torch.testing.assert_close(gradient, want)
    assert bool(lost.any()) == (delta < 1)


def test_with_unreachable_values_all_valid_it_is_equation_6() -> None:
    """Method ``nearest-valid`` draws to all levels, whatever is stuck."""
    cells = _stuck_at_ends(known("digital slices"))
    matrix = weights(cells)
    given = {"quantization": "regularized", "noise": "none"}
    blind = levels(cells, matrix, faults=FaultTraining("nearest-valid"), **given)
    r, c = multipliers_of(cells)
    every = torch.tensor([float(c + (r * torch.tensor(s)).sum())
                          for s in product((0.0, 1.0), repeat=len(r))])  # fmt: skip
    want = (matrix[..., None] - every).square().amin(-1).sum() * blind.alpha
    torch.testing.assert_close(blind.train().penalty(matrix), want, rtol=1e-5, atol=0)
    assert blind.eval().penalty(matrix) > 1.1 * want


@pytest.mark.parametrize("kind", TARGETS)
def test_snapping_moves_weights_with_stuck_cells_only(kind: str) -> None:
    cells = known(kind)
    matrix = weights(cells)
    module = levels(cells, matrix, faults=FaultTraining("nearest-valid"))
    snapped = module.snapped(matrix)
    stuck = module.affected
    assert 0 < int(stuck.sum()) < stuck.numel()
    assert torch.equal(snapped[~stuck], matrix[~stuck])
    module.eval()
    torch.testing.assert_close(snapped[stuck], module(matrix)[stuck])


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_no_stuck_cell_is_programmed(kind: str, *, gains: bool) -> None:
    """Whatever the weights: a stuck cell is given the state nearest to where it is stuck."""
    cells = known(kind, gains=gains)
    matrix = weights(cells)
    module = levels(cells, matrix)
    held, value = module.programmed(matrix)
    again, other = module.programmed(-matrix)
    assert not torch.equal(value, other)
    for one, two, stuck in zip(held.planes, again.planes, cells.faults.stuck_us, strict=True):
        at = ~stuck.isnan()
        assert torch.equal(one[at], two[at])
        if held.states_us is not None and held.states_us.ndim == 1:
            away = (held.states_us[one[at].long()] - stuck[at]).abs()
            nearest = (held.states_us[:, None] - stuck[at]).abs().amin(0)
            torch.testing.assert_close(away, nearest)


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("learned", ["multipliers", "step"])
def test_learned_multipliers_get_their_derivative(learned: str, *, gains: bool) -> None:
    """Against finite differences of Eq. 12 at fixed bits, times alpha as in LSQ."""
    cells = known("digital slices", gains=gains)
    matrix = weights(cells).requires_grad_()
    module = levels(cells, matrix.detach(), levels=learned)
    weight = torch.linspace(-1, 1, matrix.numel()).reshape(matrix.shape)
    (module(matrix) * weight).sum().backward()
    torch.testing.assert_close(matrix.grad, weight)
    bits = [plane.double() for plane in module.cells().planes]

    def literally(r: Tensor, c: Tensor) -> float:
        cell, faults = cells.target.cell, cells.faults
        low, high = float(np.float32(cell.g_min_us)), float(np.float32(cell.g_max_us))
        total = c.double()
        for k, bit in enumerate(bits):
            lrs = 1.0 if faults.gain_lrs is None else faults.gain_lrs[k].double()
            hrs = 1.0 if faults.gain_hrs is None else faults.gain_hrs[k].double()
            g = torch.where(bit > 0, high * lrs, low * hrs)
            g = torch.where(faults.stuck_us[k].isnan(), g, faults.stuck_us[k].double())
            total = total + r[k].double() * (g - low) / (high - low)
        return float((total * weight).sum())

    with torch.no_grad():
        r, c = (v.double() for v in module.sums())
    small, size = 1e-4, float(module.size)
    if learned == "step":
        steps = [r * small]
    else:
        steps = [small * size * row for row in torch.eye(len(r)).double()]
    want = [(literally(r + s, c) - literally(r - s, c)) / (2 * small) for s in steps]
    got = module.multipliers.grad
    torch.testing.assert_close(
        got.double().reshape(-1), module.alpha * torch.tensor(want).double(), rtol=2e-3, atol=1e-5
    )
    change = (literally(r, c + small * size) - literally(r, c - small * size)) / (2 * small)
    assert float(module.offset.grad) == pytest.approx(module.alpha * change, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("gains", [False, True])
def test_learned_multipliers_begin_as_they_were_and_move_the_values(*, gains: bool) -> None:
    cells = known("digital slices", gains=gains)
    matrix = weights(cells)
    fixed, learning = levels(cells, matrix), levels(cells, matrix, levels="multipliers")
    torch.testing.assert_close(learning(matrix), fixed(matrix), rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        learning.multipliers.mul_(1.5)
    held, value = learning.programmed(matrix)
    torch.testing.assert_close(value, learning(matrix).detach(), rtol=1e-4, atol=1e-6)
    again = replace(cells, layer=replace(cells.layer, cells=held))
    r, _ = multipliers_of(again)
    torch.testing.assert_close(r, 1.5 * multipliers_of(cells)[0], rtol=1e-4, atol=1e-6)


def test_multipliers_stay_positive() -> None:
    cells = known("digital slices")
    module = levels(cells, weights(cells), levels="multipliers")
    with torch.no_grad():
        module.multipliers[0] = -1.0
    module.after_step(weights(cells))
    assert float(module.multipliers.detach()[0]) == 0.0


def test_multipliers_of_pairs_are_refused() -> None:
    cells = known("pair")
    with pytest.raises(UsageError, match="no bit slices") as caught:
        levels(cells, weights(cells), levels="multipliers")
    assert caught.value.code == "CIMC-U71"


def test_a_checkpoint_knows_the_chip() -> None:
    cells = known("pair")
    other = replace(cells, faults=_stuck_at_ends(cells).faults)
    one, two = levels(cells, weights(cells)), levels(other, weights(cells))
    assert not torch.equal(one.state_dict()["chip"], two.state_dict()["chip"])


@pytest.mark.parametrize("method", ["validity", "nearest-valid"])
def test_the_penalty_of_learned_multipliers_is_that_of_the_values_of_their_cells(
    method: Any,
) -> None:
    cells = known("digital slices")
    matrix = weights(cells)
    given: dict[str, Any] = {"quantization": "regularized", "noise": "none"}
    module = levels(
        cells, matrix, levels="multipliers", faults=FaultTraining(method, delta=0.05), **given
    )
    for training in (True, False):
        module.train(training)
        fast = module.penalty(matrix)
        slow = module._penalty(matrix, module._value(matrix))
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0)
        fast, slow = (
            torch.autograd.grad(loss, [module.multipliers, module.offset]) for loss in (fast, slow)
        )
        for one, two in zip(fast, slow, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
