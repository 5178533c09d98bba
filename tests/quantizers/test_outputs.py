"""Codes and levels for the least output error: feedback, descent, refits."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.errors import UsageError
from cimc.quantizers import (
    bias_correction,
    centered,
    fit_outputs,
    fit_without_data,
    lloyd,
    prior_moment,
    refit,
    refit_scale,
    retarget,
)
from cimc.quantizers.feedback import damped, decoded, descend, feedback, nearest, output_error
from cimc.quantizers.refit import sort_levels


def problem(groups=2, rows=20, columns=6, seed=0, inputs=300):
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rows, rows, generator=g) / rows**0.5
    x = torch.randn(groups, inputs, rows, generator=g) @ mixing + 0.3
    weight = torch.randn(groups, rows, columns, generator=g)
    moment = x.transpose(1, 2) @ x / inputs
    levels = torch.from_numpy(lloyd(weight, 4).levels)
    return weight, levels, moment, x


def loss(weight, codes, levels, h):
    return output_error(weight, decoded(codes, levels), h)


def sketch_feedback(w, levels, hessian):
    """Error feedback as in the sketch: inverse of H, one row at a time; w (out, in)."""
    hessian = hessian.double()
    order = torch.argsort(hessian.diag(), descending=True)
    h = hessian[order][:, order]
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    w = w[:, order].double().clone()
    r = torch.zeros_like(w)
    for j in range(w.shape[1]):
        r[:, j] = levels.double()[nearest(w[:, j : j + 1].float(), levels)[:, 0]]
        w[:, j:] -= ((w[:, j] - r[:, j]) / u[j, j])[:, None] * u[j, j:][None]
    return r[:, torch.argsort(order)]


@pytest.mark.parametrize("rows", [5, 16, 17, 130, 300])
def test_feedback_is_gptq_in_curvature_order(rows):
    weight, levels, moment, _ = problem(1, rows, 5, inputs=4 * rows)
    h = damped(moment)
    ours = decoded(feedback(weight, levels, h), levels)[0].T
    theirs = sketch_feedback(weight[0].T, levels, h[0]).float()
    assert (ours == theirs).float().mean() > 0.995  # ties and rounding apart


@pytest.mark.parametrize("rows", [20, 150])
def test_each_step_lowers_the_output_error(rows):
    weight, levels, moment, _ = problem(2, rows, 7, inputs=3 * rows)
    h = damped(moment)
    rounded = nearest(weight.reshape(1, -1), levels).reshape(weight.shape)
    fed = feedback(weight, levels, h)
    descended = descend(weight, levels, h, fed)
    fitted = fit_outputs(weight, levels, moment)
    losses = [loss(weight, c, levels, h) for c in (rounded, fed, descended)]
    losses.append(loss(weight, fitted.codes, fitted.levels, h))
    assert losses[0] > 1.3 * losses[1] > 1.3 * losses[2] > losses[3]
    assert fitted.error == pytest.approx(losses[-1], rel=1e-3)


def test_descent_ends_where_no_single_change_helps():
    weight, levels, moment, _ = problem(1, 12, 3)
    h = damped(moment)
    codes = descend(weight, levels, h, feedback(weight, levels, h), sweeps=100, gain=0.0)
    best = loss(weight, codes, levels, h)
    for row, column, code in itertools.product(range(12), range(3), range(4)):
        other = codes.clone()
        other[0, row, column] = code
        assert loss(weight, other, levels, h) >= best * (1 - 1e-5)


def test_small_problems_come_near_the_best_of_all_codes():
    ratios = []
    for seed in range(10):
        weight, levels, moment, _ = problem(1, 6, 1, seed)
        h = damped(moment)
        best = min(
            loss(weight, torch.tensor(c).reshape(1, 6, 1), levels, h)
            for c in itertools.product(range(4), repeat=6)
        )
        codes = descend(weight, levels, h, feedback(weight, levels, h))
        ratios.append(loss(weight, codes, levels, h) / best)
    assert np.median(ratios) <= 1.05


def test_uncorrelated_inputs_mean_nearest_levels():
    weight, levels, _, _ = problem()
    h = torch.eye(20).repeat(2, 1, 1)
    expected = nearest(weight.reshape(1, -1), levels).reshape(weight.shape)
    assert torch.equal(feedback(weight, levels, h).long(), expected)
    assert torch.equal(descend(weight, levels, h, expected).long(), expected)


def test_levels_of_columns_and_shared_levels_agree():
    weight, levels, moment, _ = problem()
    h = damped(moment)
    own = levels.expand(2, 6, 4)
    codes = feedback(weight, levels, h)
    assert torch.equal(codes, feedback(weight, own, h))
    assert torch.equal(descend(weight, levels, h, codes), descend(weight, own, h, codes))
    better = fit_outputs(weight, own, moment)
    assert better.levels.shape == (2, 6, 4)
    assert better.error < fit_outputs(weight, levels, moment).error


def test_refit_is_the_least_squares_solution():
    weight, levels, moment, _ = problem(1, 15, 8)
    h = damped(moment).double()
    weight, levels = weight.double(), levels.double()
    codes = feedback(weight, levels, h)
    new = refit(weight, levels, lambda x: h @ x, codes)
    factor = torch.linalg.cholesky(h[0]).T
    one_hot = torch.nn.functional.one_hot(codes[0].long(), 4).double()
    a = torch.einsum("rs,scv->rcv", factor, one_hot).reshape(-1, 4)
    b = (factor @ weight[0]).reshape(-1)
    torch.testing.assert_close(new, torch.linalg.lstsq(a, b).solution, rtol=1e-6, atol=1e-8)


def test_refit_leaves_levels_nobody_uses():
    weight, levels, moment, _ = problem()
    levels = torch.cat([levels, torch.tensor([99.0])])
    codes = feedback(weight, levels, damped(moment))
    assert refit(weight, levels, lambda x: damped(moment) @ x, codes)[-1] == 99.0


def test_refit_scale_keeps_proportions_and_never_hurts():
    weight, levels, moment, _ = problem()
    h = damped(moment)
    codes = feedback(weight, levels * 1.2, h)
    new = refit_scale(weight, levels * 1.2, lambda x: h @ x, codes)
    torch.testing.assert_close(new / new[0], levels / levels[0])
    assert loss(weight, codes, new, h) <= loss(weight, codes, levels * 1.2, h)


def test_sorting_levels_keeps_what_codes_stand_for():
    levels = torch.tensor([0.5, -1.0, 2.0, 0.0])
    codes = torch.randint(0, 4, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    ordered, renamed = sort_levels(levels, codes)
    assert ordered.tolist() == [-1.0, 0.0, 0.5, 2.0]
    assert torch.equal(decoded(renamed, ordered), decoded(codes, levels))


def test_blocks_of_rows_share_levels():
    weight, levels, moment, _ = problem()
    cut = [(slice(0, 12), moment[:, :12, :12]), (slice(12, 20), moment[:, 12:, 12:])]
    both = torch.zeros_like(moment)
    for rows, h in cut:
        both[:, rows, rows] = h
    split, whole = (
        fit_outputs(weight, levels, cut, damp=0.0),
        fit_outputs(weight, levels, both, damp=0.0),
    )
    assert split.error == pytest.approx(whole.error, rel=0.1)
    assert split.codes.shape == weight.shape


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_rank_deficient_moments_are_damped(rows, columns, groups, seed):
    weight, levels, _, x = problem(groups, rows, columns, seed, inputs=3)
    moment = x.transpose(1, 2) @ x / 3  # at most rank 3
    fitted = fit_outputs(weight, levels, moment)
    assert fitted.codes.shape == weight.shape
    assert int(fitted.codes.max()) < fitted.levels.shape[-1]
    assert np.isfinite(fitted.error)
    assert (fitted.levels.diff() >= 0).all()


def test_inputs_that_are_all_zero():
    weight, levels, moment, _ = problem()
    fitted = fit_outputs(weight, levels, torch.zeros_like(moment))
    expected = nearest(weight.reshape(1, -1), fitted.levels).reshape(weight.shape)
    assert torch.equal(fitted.codes.long(), expected)


def test_the_mean_is_left_to_the_bias():
    weight, levels, moment, x = problem()
    mean = x.mean(1)
    fitted = fit_outputs(weight, levels, centered(moment, mean))
    quantized = decoded(fitted.codes, fitted.levels)
    difference = x @ weight - x @ quantized
    bias = bias_correction(weight, quantized, mean)
    torch.testing.assert_close(bias, difference.mean(1), rtol=1e-4, atol=1e-5)
    corrected = float((difference - bias[:, None]).square().sum())
    plain = fit_outputs(weight, levels, moment)
    other = x @ (weight - decoded(plain.codes, plain.levels))
    assert corrected < float((other - other.mean(1, keepdim=True)).square().sum())


@pytest.mark.parametrize(
    "moment",
    [
        torch.eye(3)[None],
        torch.full((2, 20, 20), torch.nan),
        -torch.eye(20).repeat(2, 1, 1),
        [(slice(0, 10), torch.eye(10).repeat(2, 1, 1))],
        [(slice(5, 20), torch.eye(15).repeat(2, 1, 1))],
    ],
)
def test_refusals(moment):
    weight, levels, _, _ = problem()
    with pytest.raises(UsageError) as caught:
        fit_outputs(weight, levels, moment)
    assert caught.value.code == "CIMC-U34"


def test_weights_retargeted_to_the_inputs_there_are():
    weight, _, _, x = problem()
    drifted = 0.8 * x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    h, cross = drifted.transpose(1, 2) @ drifted / 300, drifted.transpose(1, 2) @ x / 300
    aimed = retarget(weight, h, cross, damp=1e-3)
    wanted = x @ weight
    assert (drifted @ aimed - wanted).norm() < 0.6 * (drifted @ weight - wanted).norm()
    torch.testing.assert_close(retarget(weight, h, h), weight, rtol=1e-3, atol=1e-4)


def test_the_prior_of_a_kernel():
    moment = prior_moment(2, (1, 3))[0]
    assert moment.shape == (6, 6)
    assert moment[0, :3].tolist() == [1.5, 1.0, 0.75]
    assert moment[0, 3:].tolist() == [0.5, 0.5, 0.5]
    torch.testing.assert_close(moment, moment.T)
    assert prior_moment(4, ()).shape == (1, 4, 4)


@pytest.mark.parametrize("kernel", [(), (3, 3), (5,), (2, 2, 2)])
@pytest.mark.parametrize("channels", [1, 7, 31])
@pytest.mark.parametrize("levels", [4, 16])
def test_without_data_the_error_for_expected_inputs_falls(kernel, channels, levels):
    g = torch.Generator().manual_seed(channels)
    rows = channels * int(np.prod(kernel or (1,)))
    weight = torch.randn(2, rows, 40, generator=g)
    start = torch.from_numpy(lloyd(weight, levels).levels)
    table, codes = fit_without_data(weight, start, kernel)
    h = prior_moment(channels, kernel)
    rounded = nearest(weight.reshape(1, -1), start).reshape(weight.shape)
    before = loss(weight, rounded, start, h.expand(2, -1, -1))
    after = loss(weight, codes, table, h.expand(2, -1, -1))
    assert after < (0.9 if rows > 1 else 1.01) * before
    own = start.expand(2, 40, levels)
    assert torch.equal(fit_without_data(weight, own, kernel, rounds=1)[1],
                       fit_without_data(weight, start, kernel, rounds=1)[1])  # fmt: skip


def test_without_data_a_kernel_that_does_not_divide_the_rows_is_none():
    weight = torch.randn(1, 10, 3, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([-1.0, 0.0, 1.0])
    _, codes = fit_without_data(weight, levels, (3, 3))
    assert torch.equal(codes, fit_without_data(weight, levels, ())[1])
