"""Descent in blocks of correlated rows, and the orders rows are visited in."""

from __future__ import annotations

import pytest
import torch

from cimc.quantizers.feedback import output_error
from cimc.remap.descend import TOGETHER, alike, descend
from cimc.remap.feedback import feedback
from cimc.remap.feedback_order import hardest_last
from cimc.remap.options import CellFaults
from cimc.remap.pair_options import pair_options
from tests.remap.test_feedback import moments, pairs


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 50])
def test_every_row_is_visited_once(rows: int, number: int) -> None:
    order = alike(moments(rows, 3, groups=1), number)
    assert torch.equal(order.sort().values, torch.arange(rows))


def test_rows_with_the_same_inputs_are_changed_together() -> None:
    """Four kinds of inputs, eight rows each, mixed up."""
    kind = torch.arange(32) % 4
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))[:, kind]
    x = x + 0.1 * torch.randn(500, 32, generator=torch.Generator().manual_seed(1))
    order = alike((x.T @ x / 500)[None])
    for block in order.split(TOGETHER):
        assert len(set(kind[block].tolist())) == 1


def test_what_is_far_off_and_matters_is_fixed_first() -> None:
    h = torch.diag(torch.tensor([1.0, 4.0, 1.0, 2.0]))[None]
    error = torch.tensor([3.0, 1.0, 0.0, 1.0])[None, :, None].expand(1, 4, 5)
    assert hardest_last(h, error).tolist() == [[2, 3, 1, 0]]


def test_groups_may_share_their_moments() -> None:
    draw = torch.Generator().manual_seed(2)
    stuck = torch.full((3, 20, 4), torch.nan)
    stuck[torch.rand(stuck.shape, generator=draw) < 0.2] = 18.0
    states = torch.tensor([2.0, 5.0, 9.0, 18.0])
    options = pair_options(CellFaults((stuck, stuck.flip(1))), states, torch.ones(1), None)
    wanted = 6 * torch.randn(3, 20, 4, generator=draw)
    h = moments(20, 2, groups=1)
    shared, choice = feedback(wanted, options, h)
    assert torch.allclose(shared, feedback(wanted, options, h.expand(3, -1, -1))[0])
    better, _ = descend(wanted, options, h, choice)
    assert output_error(wanted, better, h) < output_error(wanted, shared, h)


def test_nothing_moves_where_every_weight_is_reached() -> None:
    options, wanted = pairs(40, 6, 0.0, 1)
    reached, choice = options.nearest(wanted)
    value, again = descend(reached, options, moments(40, 1, groups=1), choice)
    assert torch.equal(value, reached)
    assert torch.equal(again, choice)


def test_no_sweeps_change_nothing() -> None:
    options, wanted = pairs(20, 6, 0.3, 1)
    value, choice = options.nearest(wanted)
    same, _ = descend(wanted, options, moments(20, 1, groups=1), choice, sweeps=0)
    assert torch.equal(same, value)


@pytest.mark.parametrize("sweeps", [1, 2, 3, 5])
def test_a_sweep_more_never_hurts(sweeps: int) -> None:
    options, wanted = pairs(150, 12, 0.3, sweeps)
    h = moments(150, sweeps, groups=1, correlated=2.0)
    _, choice = feedback(wanted, options, h)
    fewer, _ = descend(wanted, options, h, choice, sweeps=sweeps, gain=0.0)
    more, _ = descend(wanted, options, h, choice, sweeps=sweeps + 1, gain=0.0)
    assert output_error(wanted, more, h) <= output_error(wanted, fewer, h) * (1 + 1e-5)


@pytest.mark.parametrize("groups", [1, 3])
def test_moments_that_rounding_left_indefinite(groups: int) -> None:
    """Inputs that hardly vary about a large mean: covariances are differences of large sums."""
    h = moments(20, 4, groups=groups)
    h[-1, :8, :8] = 1.0 - 1e-3 * torch.eye(8)  # seven eigenvalues of -0.001
    draw = torch.Generator().manual_seed(3)
    stuck = torch.full((groups, 20, 4), torch.nan)
    stuck[torch.rand(stuck.shape, generator=draw) < 0.2] = 18.0
    states = torch.tensor([2.0, 5.0, 9.0, 18.0])
    options = pair_options(CellFaults((stuck, stuck.flip(1))), states, torch.ones(1), None)
    wanted = 6 * torch.randn(groups, 20, 4, generator=draw)
    before, choice = feedback(wanted, options, h)
    after, _ = descend(wanted, options, h, choice)

    def lost(value: torch.Tensor) -> float:
        return float(((wanted - value) * (h @ (wanted - value))).sum())

    assert lost(after) <= lost(before)
