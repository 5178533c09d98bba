"""Codebooks of cells with fixed states."""

from itertools import combinations

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.quantizers import constrained, lloyd, pair_differences
from cimc.quantizers.constrained import offset_differences

STATES = (2.0, 3.0, 7.0, 10.0)


def error(values, result):
    return float(np.square(values - result.levels[result.codes(values)], dtype=np.float64).mean())


def test_differences_are_to_the_lowest_state_with_both_signs():
    assert pair_differences(STATES).tolist() == [-8, -5, -1, 0, 1, 5, 8]


def brute_force(values, levels, d):
    best = np.inf
    for chosen in combinations(d, levels):
        if max(map(abs, chosen)) != d[-1]:
            continue
        for scale in np.geomspace(0.02, 1.5, 300):
            q = np.asarray(chosen) * scale
            best = min(best, np.square(values[:, None] - q).min(1).mean())
    return best


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_choice_and_scale_are_near_the_best_there_is(levels):
    values = np.random.default_rng(levels).standard_normal(300)
    result = constrained(values, levels, STATES)
    assert error(values, result) <= 1.02 * brute_force(values, levels, pair_differences(STATES))


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_choice_beside_an_offset_column_is_near_the_best_there_is(levels):
    assert offset_differences(STATES).tolist() == [-5, -4, 0, 3]  # to 7, the nearest to 6
    values = np.random.default_rng(levels).standard_normal(300)
    result = constrained(values, levels, STATES, offset=True)
    d = offset_differences(STATES)
    assert np.isin(result.differences, d).all()
    assert {result.differences[0], result.differences[-1]} & {-5, 3}
    best = np.inf
    for chosen in combinations(d, levels):
        if -5 not in chosen and 3 not in chosen:
            continue
        for scale in np.geomspace(0.02, 1.5, 300):
            q = np.asarray(chosen) * scale
            best = min(best, np.square(values[:, None] - q).min(1).mean())
    assert error(values, result) <= 1.02 * best


@pytest.mark.parametrize("levels", [2, 3, 6, 7])
def test_levels_are_differences_of_states_over_the_full_range(levels):
    values = np.random.default_rng(1).laplace(size=5_000)
    result = constrained(values, levels, STATES)
    assert result.levels.size == levels
    assert np.isin(result.differences, pair_differences(STATES)).all()
    assert np.abs(result.differences).max() == 8
    np.testing.assert_allclose(result.levels, result.scale * result.differences, rtol=1e-6)


def test_more_levels_than_differences_gives_all_of_them():
    result = constrained(np.random.default_rng(2).standard_normal(100), 16, STATES)
    assert result.differences.tolist() == [-8, -5, -1, 0, 1, 5, 8]


def test_many_states_are_as_good_as_free_levels():
    values = np.random.default_rng(3).standard_normal(20_000).astype(np.float32)
    states = tuple(np.linspace(0.0, 1.0, 65))
    free = lloyd(values, 8).distortion
    assert error(values, constrained(values, 8, states)) <= 1.05 * free


def test_weights_count():
    values = np.float32([0.1, 0.1, 1.0, -1.0])
    result = constrained(values, 3, (0.0, 1.0, 8.0), weights=np.float32([1, 1, 0, 0]))
    assert np.abs(result.levels - 0.1).min() < 1e-3


def test_zeros_stay_zero():
    result = constrained(np.zeros(9), 5, STATES)
    assert (result.levels[result.codes(np.zeros(9))] == 0).all()


@pytest.mark.parametrize("states", [(1.0,), (2.0, 1.0), (1.0, 1.0), ()])
def test_refuses_states_that_are_none(states):
    with pytest.raises(UsageError) as caught:
        constrained(np.ones(3), 4, states)
    assert caught.value.code == "CIMC-U35"
