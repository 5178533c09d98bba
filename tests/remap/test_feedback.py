"""Error feedback and descent over reachable values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.quantizers import feedback as levels_only
from cimc.quantizers.feedback import damped, output_error
from cimc.remap.descend import descend
from cimc.remap.feedback import feedback
from cimc.remap.feedback_rows import rows_of
from cimc.remap.options import CellFaults, Options, options_of
from cimc.remap.pair_options import pair_options
from tests.remap.small_layers import Case, case, reachable

SEEDS = st.integers(0, 2**31)


def moments(rows: int, seed: int, groups: int = 2, correlated: float = 1.0) -> torch.Tensor:
    """Damped second moments of correlated inputs, ``(groups, rows, rows)``."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(groups, 4 * rows + 8, 2, generator=draw)
    mix = torch.randn(groups, 2, rows, generator=draw)
    x = torch.randn(groups, 4 * rows + 8, rows, generator=draw) + correlated * common @ mix
    return damped(x.transpose(1, 2) @ x / x.shape[1])


def pairs(rows: int, columns: int, rate: float, seed: int) -> tuple[Options, torch.Tensor]:
    """Pairs of 8 states with stuck cells, and weights wanted."""
    draw = torch.Generator().manual_seed(seed)
    states = torch.tensor([2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 14.0, 18.0])

    def stuck() -> torch.Tensor:
        share = torch.rand(1, rows, columns, generator=draw)
        plane = torch.full((1, rows, columns), torch.nan).where(share >= rate, 18.0)
        return torch.where(share < rate / 2, 2.0, plane)

    options = pair_options(CellFaults((stuck(), stuck())), states, torch.ones(1), None)
    return options, 5 * torch.randn(1, rows, columns, generator=draw)


def of_case(made: Case, use: str = "states") -> Options:
    return options_of(
        made.cells, made.encoding, made.faults, made.target, use=use, levels=made.levels,
        column_tile=made.column_tile,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("rows", [1, 15, 33, 300])
def test_without_faults_it_is_feedback_over_levels(rows: int, own: bool) -> None:
    draw = torch.Generator().manual_seed(rows)
    states = torch.tensor([2.0, 5.0, 6.5, 11.0, 18.0])
    gain = torch.rand(6, generator=draw) + 0.5 if own else torch.ones(1)
    delta = torch.cat([states - 2.0, 2.0 - states[1:]]).sort().values
    levels = delta * gain[:, None] if own else delta
    planes = (torch.zeros(2, rows, 3), torch.zeros(2, rows, 3))
    options = pair_options(CellFaults.none(planes), states, gain, levels)
    weight, h = 8 * torch.randn(2, rows, 3, generator=draw), moments(rows, 1)
    stacked = levels.reshape(2, 3, -1) if own else levels
    codes = levels_only.feedback(weight, stacked, h)
    order = torch.argsort(h.diagonal(dim1=1, dim2=2), dim=1, stable=True)
    value, choice = feedback(weight, options, h, order=order)
    expected = levels_only.decoded(codes, stacked)
    # Sums are formed in another order: a weight may fall on the other side of a boundary.
    assert (value - expected).abs().le(1e-4).float().mean() > 0.99
    assert output_error(weight, value, h) == pytest.approx(
        output_error(weight, expected, h), rel=0.02
    )
    better, _ = descend(weight, options, h, choice)
    codes = levels_only.descend(weight, stacked, h, codes)
    assert output_error(weight, better, h) <= 1.02 * output_error(
        weight, levels_only.decoded(codes, stacked), h
    )


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, gains=st.sampled_from(("none", "mild")))
@pytest.mark.parametrize("kind", ["pair", "offset", "digital", "conductance"])
def test_every_step_can_only_help(kind: str, seed: int, gains: str) -> None:
    made = case(kind, seed, gains=gains, own_states=seed % 2 == 0)
    options = of_case(made)
    draw = torch.Generator().manual_seed(seed)
    center = options.nearest(torch.zeros(made.shape))[0]
    wanted = center + 5 * made.cells.gain.abs().max() * torch.randn(made.shape, generator=draw)
    h = moments(3, seed)
    found, choice = feedback(wanted, options, h)
    assert torch.equal(options.values(choice), found)
    error = output_error(wanted, found, h)
    for _ in range(3):
        found, choice = descend(wanted, options, h, choice, sweeps=1)
        assert torch.equal(options.values(choice), found)
        after = output_error(wanted, found, h)
        assert after <= error * (1 + 1e-4) + 1e-9
        error = after


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_one_row_is_the_nearest(seed: int) -> None:
    options, wanted = pairs(1, 40, 0.3, seed)
    h = torch.full((1, 1, 1), 0.7)
    assert torch.equal(feedback(wanted, options, h)[0], options.nearest(wanted)[0])


def optimum(made: Case, wanted: torch.Tensor, h: torch.Tensor, group: int, column: int) -> float:
    """The least error of one column, over all values of all its weights."""
    values = [np.unique(reachable(made, (group, r, column)).round(5)) for r in range(3)]
    grid = np.stack([a.reshape(-1) for a in np.meshgrid(*values, indexing="ij")], 1)
    away = grid - wanted[group, :, column].double().numpy()
    return float(np.einsum("ni,ij,nj->n", away, h[group].double().numpy(), away).min())


def test_most_columns_of_three_rows_are_at_their_optimum() -> None:
    reached = total = 0
    errors = np.zeros(3)
    for seed in range(12):
        made = case("pair", seed, states=4)
        options, h = of_case(made), moments(3, seed)
        draw = torch.Generator().manual_seed(seed)
        wanted = 8 * made.cells.gain.abs() * torch.randn(made.shape, generator=draw)
        start = options.nearest(wanted)[0]
        found, choice = feedback(wanted, options, h)
        found, _ = descend(wanted, options, h, choice)
        for group, column in product(range(2), range(4)):
            best = optimum(made, wanted, h, group, column)
            each = []
            for value in (start, found):
                away = (value - wanted)[group, :, column].double()
                each.append(float(away @ h[group].double() @ away))
            assert each[1] >= best * (1 - 1e-3) - 1e-6
            reached += each[1] <= best * (1 + 1e-3) + 1e-6
            errors += [each[0], each[1], best]
            total += 1
    assert reached >= 0.6 * total
    assert errors[1] <= 1.25 * errors[2]
    assert errors[0] > errors[1]


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_correlated_inputs_make_good_what_cells_cannot(rate: float) -> None:
    """Every one of 20 problems: far less chance than 1e-6 of a false alarm by the margins seen."""
    for seed in range(20):
        options, wanted = pairs(96, 24, rate, seed)
        h = moments(96, seed, groups=1, correlated=2.0)
        errors = [output_error(wanted, options.nearest(wanted)[0], h)]
        found, choice = feedback(wanted, options, h)
        errors.append(output_error(wanted, found, h))
        found, choice = descend(wanted, options, h, choice)
        errors.append(output_error(wanted, found, h))
        assert errors[1] < 0.8 * errors[0]
        assert errors[2] < 0.98 * errors[1]


def test_groups_are_walked_each_in_its_own_order() -> None:
    made = case("pair", 4, states=6)
    options, h = of_case(made), moments(3, 9)
    h[1] = h[1].flip(0).flip(1) * torch.tensor([3.0, 0.2, 1.0])[:, None].sqrt()
    h[1] = (h[1] + h[1].T) / 2 + torch.eye(3)
    wanted = 10 * made.cells.gain.abs() * torch.randn(made.shape)
    both, _ = feedback(wanted, options, h)
    for group in range(2):
        index = slice(group, group + 1)
        alone, _ = feedback(wanted[index], options[index], h[index])
        assert torch.allclose(alone, both[index])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("gains", ["none", "mild", "wild"])
@pytest.mark.parametrize("kind", ["pair", "offset", "digital"])
def test_row_after_row_is_the_same_as_all_at_once(kind: str, gains: str, own: bool) -> None:
    for seed in range(6):
        made = case(kind, seed, gains=gains, own_states=own)
        options = of_case(made)
        draw = torch.Generator().manual_seed(seed)
        wanted = 10 * made.cells.gain.abs().max() * torch.randn(made.shape, generator=draw)
        value, _ = options.nearest(wanted)
        rows = rows_of(options)
        for row in range(made.shape[1]):
            some, choice = rows.nearest(row, wanted[:, row].numpy())
            assert np.allclose(some, value[:, row].numpy(), rtol=1e-5, atol=1e-5)
            again = options[:, row].values(torch.from_numpy(np.ascontiguousarray(choice)))
            assert np.allclose(some, again.numpy(), rtol=1e-5, atol=1e-5)
