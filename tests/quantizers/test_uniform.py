"""Uniform quantizers."""

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.quantizers import uniform, uniform_columns

# Least mean squared error of uniform quantizers of a unit Gaussian: Max, IRE Trans. IT-6 (1960).
MAX_1960 = {4: 0.1188, 8: 0.03744, 16: 0.01154}


def error(values, result):
    return float(np.square(values - result.levels[result.codes(values)], dtype=np.float64).mean())


@pytest.mark.parametrize("levels", MAX_1960)
def test_the_best_range_for_a_gaussian(levels):
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    assert error(values, uniform(values, levels)) == pytest.approx(MAX_1960[levels], rel=0.02)


@pytest.mark.parametrize("levels", [2, 3, 4, 7, 8, 16, 255, 256])
@pytest.mark.parametrize("grid", ["symmetric", "zero", "free"])
@pytest.mark.parametrize("clip", ["mse", "max"])
def test_levels_are_equally_spaced(levels, grid, clip):
    values = np.random.default_rng(levels).laplace(size=3_000).astype(np.float32) + np.float32(0.1)
    result = uniform(values, levels, grid=grid, clip=clip)
    assert result.levels.size == levels
    np.testing.assert_allclose(np.diff(result.levels), result.step, rtol=1e-3)
    if grid == "symmetric":
        np.testing.assert_array_equal(result.levels, -result.levels[::-1])
    if grid == "zero" or (grid == "symmetric" and levels % 2):
        assert 0.0 in result.levels
    if clip == "max" and (grid, levels) != ("zero", 2):
        assert values.max() <= result.levels[-1] * 1.0001
        assert values.min() >= result.levels[0] * 1.0001 - 1e-6


@pytest.mark.parametrize("grid", ["symmetric", "zero", "free"])
def test_the_best_range_is_never_worse_than_the_full_one(grid):
    values = np.random.default_rng(1).standard_t(3, 2_000).astype(np.float32)
    best, full = (uniform(values, 8, grid=grid, clip=c) for c in ("mse", "max"))
    assert error(values, best) < error(values, full)


def test_against_a_search_of_steps():
    values = np.random.default_rng(2).standard_t(4, 1_000).astype(np.float32)
    steps = np.linspace(0.01, 2.0, 2_000)
    table = (np.arange(8) - 3.5) * steps[:, None]
    best = min(np.square(values[:, None] - q).min(1).mean() for q in table)
    assert error(values, uniform(values, 8)) <= 1.002 * best


def test_columns_are_what_each_alone_would_be():
    matrix = np.random.default_rng(3).standard_normal((300, 6)).astype(np.float32)
    matrix *= np.float32([1, 2, 3, 10, 0.1, 0.0])
    result = uniform_columns(matrix, 8)
    for k in range(5):
        np.testing.assert_allclose(result.levels[k], uniform(matrix[:, k], 8).levels, rtol=1e-5)
    assert (result.levels[5] == 0).all()
    assert (result.codes(matrix)[:, 5] == 0).all()


def test_equal_values_are_their_own_level():
    assert uniform(np.full(4, 3.0), 8).levels.tolist() == [3.0]
    assert uniform(np.zeros(4), 8).levels.tolist() == [0.0]


def test_two_levels_with_zero_take_the_side_that_matters():
    values = np.float32([-3, -3, 0, 1])
    assert uniform(values, 2, grid="zero", clip="max").levels.tolist() == [-3, 0]
    assert uniform(-values, 2, grid="zero", clip="max").levels.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"levels": 1}, "CIMC-U31"),
        ({"levels": 300}, "CIMC-U31"),
        ({"levels": 4, "clip": "best"}, "CIMC-U33"),
        ({"levels": 4, "grid": "log"}, "CIMC-U33"),
    ],
)
def test_refusals(arguments, code):
    with pytest.raises(UsageError) as caught:
        uniform(np.ones(3), **arguments)
    assert caught.value.code == code


def test_refuses_what_is_no_matrix():
    with pytest.raises(UsageError):
        uniform_columns(np.ones(3), 4)
    with pytest.raises(UsageError):
        uniform_columns(np.float32([[1, np.nan]]), 4)
