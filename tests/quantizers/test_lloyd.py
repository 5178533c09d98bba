"""Lloyd's quantizer against an independent exact optimum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cimc.errors import UsageError
from cimc.quantizers import encode, lloyd


def gaussian(rng, n):
    return rng.standard_normal(n)


def pruned(rng, n):
    return rng.standard_normal(n) * (rng.random(n) > 0.9)


def four_modes(rng, n):
    return rng.normal(0, 0.05, n) + rng.choice([-3, -1, 0.5, 2], n, p=[0.1, 0.2, 0.3, 0.4])


def heavy_tails(rng, n):
    return rng.standard_t(2, n)


SETS = {f.__name__: f for f in (gaussian, pruned, four_modes, heavy_tails)}


def optimum(values, k, weights=None):
    """Exact least mean squared error of k levels: O(k n log n), by hand, no cimc code."""
    order = np.argsort(values, kind="stable")
    x = values[order].astype(np.float64)
    w = np.ones(x.size) if weights is None else weights[order].astype(np.float64)
    sums = [np.concatenate([[0.0], np.cumsum(w * x**p)]) for p in range(3)]

    def cost(i, j):  # points i..j-1 as one interval
        n, s, q = (c[j] - c[i] for c in sums)
        return q - s * s / np.where(n > 0, n, 1.0)

    before = cost(0, np.arange(x.size + 1))
    for _ in range(k - 1):
        after = np.zeros_like(before)
        stack = [(1, x.size, 0, x.size)]
        while stack:
            low, high, first, last = stack.pop()
            if low > high:
                continue
            j = (low + high) // 2
            i = np.arange(first, min(last, j - 1) + 1)
            total = before[i] + cost(i, j)
            best = int(total.argmin())
            after[j] = min(total[best], before[j])
            stack += [(low, j - 1, first, first + best), (j + 1, high, first + best, last)]
        before = after
    return max(0.0, before[-1]) / w.sum()


def error(values, result, weights=None):
    squares = (values.astype(np.float64) - result.levels[result.codes(values)]) ** 2
    return float(np.average(squares, weights=weights))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("levels", [2, 4, 8, 16])
def test_within_a_thousandth_of_the_exact_optimum(name, levels):
    values = SETS[name](np.random.default_rng(levels), 2_000).astype(np.float32)
    result = lloyd(values, levels)
    assert error(values, result) <= 1.001 * optimum(values, levels)
    assert result.distortion == pytest.approx(error(values, result), rel=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_many_levels_are_near_the_optimum_too(name):
    values = SETS[name](np.random.default_rng(5), 1_000).astype(np.float32)
    assert error(values, lloyd(values, 60)) <= 1.002 * optimum(values, 60)


@pytest.mark.slow
@pytest.mark.parametrize("size", [10_000, 100_000])
@pytest.mark.parametrize("name", SETS)
def test_within_a_thousandth_of_the_exact_optimum_of_many(name, size):
    values = SETS[name](np.random.default_rng(0), size).astype(np.float32)
    assert error(values, lloyd(values, 4)) <= 1.001 * optimum(values, 4)


def test_weights_are_the_same_as_repetition():
    rng = np.random.default_rng(1)
    values = rng.standard_normal(2_000).astype(np.float32)
    counts = rng.integers(0, 4, values.size)
    weighted = lloyd(values, 8, weights=counts)
    repeated = lloyd(np.repeat(values, counts), 8)
    np.testing.assert_allclose(weighted.levels, repeated.levels, rtol=1e-5)
    assert weighted.distortion == pytest.approx(repeated.distortion, rel=1e-5)


def test_weighted_optimum():
    rng = np.random.default_rng(2)
    values = rng.standard_normal(5_000).astype(np.float32)
    weights = rng.exponential(size=values.size) ** 3
    result = lloyd(values, 8, weights=weights)
    assert error(values, result, weights) <= 1.001 * optimum(values, 8, weights)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 60),
        elements=st.floats(-100, 100, width=32).map(lambda v: round(v, 2)),
    ),
    st.integers(1, 9),
)
def test_small_sets_are_near_the_optimum_and_consistent(values, levels):
    result = lloyd(values, levels)
    assert result.levels.dtype == np.float32
    assert (np.diff(result.levels) > 0).all()
    assert result.levels.size == min(levels, np.unique(values).size)
    scale = float(np.square(values, dtype=np.float64).mean())
    assert error(values, result) <= 1.0001 * optimum(values, levels) + 1e-12 * scale + 1e-12
    nearest = np.abs(values[:, None].astype(np.float64) - result.levels).min(axis=1)
    chosen = np.abs(values.astype(np.float64) - result.levels[result.codes(values)])
    np.testing.assert_array_equal(chosen, nearest)


def test_fewer_distinct_values_than_levels_are_kept_exactly():
    values = np.repeat(np.float32([-1.5, 0.0, 0.25, 7.0]), [3, 100_000, 2, 1])
    result = lloyd(values, 8)
    np.testing.assert_array_equal(result.levels, np.float32([-1.5, 0.0, 0.25, 7.0]))
    assert result.distortion == 0.0


def test_rare_near_values_among_many_zeros_are_told_apart():
    values = np.zeros(50_000, np.float32)
    values[:3] = [1.0, 1.001, -40.0]
    result = lloyd(values, 4)
    np.testing.assert_array_equal(result.levels, np.float32([-40.0, 0.0, 1.0, 1.001]))


def test_equal_values_and_one_value():
    assert lloyd(np.full((3, 4), 2.5), 8).levels.tolist() == [2.5]
    assert lloyd(np.float32([3.0]), 4).levels.tolist() == [3.0]
    assert lloyd(np.zeros(10), 4).distortion == 0.0


def test_a_large_offset_does_not_cancel():
    values = (1000.0 + np.random.default_rng(3).standard_normal(20_000)).astype(np.float32)
    result = lloyd(values, 8)
    assert result.distortion == pytest.approx(error(values, result), rel=1e-6)
    assert error(values, result) <= 1.001 * optimum(values, 8)


def test_zero_is_kept_exactly_when_asked():
    values = pruned(np.random.default_rng(4), 20_000).astype(np.float32) + np.float32(0)
    values[values != 0] += np.float32(0.1)
    assert 0.0 not in lloyd(values, 4).levels
    kept = lloyd(values, 4, keep_zero=True)
    assert (kept.levels[kept.codes(values)][values == 0] == 0.0).all()
    assert 0.0 not in lloyd(values[values != 0], 4, keep_zero=True).levels


def test_ties_take_the_lower_level():
    # [GDQ Eq. 2]: e[i-1] < x <= e[i]
    assert encode(
        np.float32([0.5, 1.5, np.nextafter(np.float32(0.5), 1)]), np.float32([0.5, 1.5])
    )[:].tolist() == [0, 1, 1]


def test_shape_and_torch_tensors():
    values = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    result = lloyd(values, 3)
    assert result.codes(values).shape == (4, 3, 2)
    np.testing.assert_array_equal(result.levels, lloyd(values.numpy(), 3).levels)


def test_the_same_values_in_another_order_give_the_same_levels():
    rng = np.random.default_rng(6)
    values = rng.standard_normal(30_000).astype(np.float32)
    np.testing.assert_array_equal(
        lloyd(values, 16).levels, lloyd(rng.permutation(values), 16).levels
    )


@pytest.mark.parametrize(
    ("values", "levels", "weights", "code"),
    [
        (np.zeros(0), 4, None, "CIMC-U30"),
        (np.float32([1, np.nan]), 4, None, "CIMC-U30"),
        (np.float32([1, -np.inf]), 4, None, "CIMC-U30"),
        (np.float32([1, np.inf]), 4, np.ones(2), "CIMC-U30"),
        (np.ones(3), 0, None, "CIMC-U31"),
        (np.ones(3), 257, None, "CIMC-U31"),
        (np.ones(3), 4, np.ones(2), "CIMC-U32"),
        (np.ones(3), 4, np.float32([1, -1, 1]), "CIMC-U32"),
        (np.ones(3), 4, np.zeros(3), "CIMC-U32"),
    ],
)
def test_refusals(values, levels, weights, code):
    with pytest.raises(UsageError) as caught:
        lloyd(values, levels, weights=weights)
    assert caught.value.code == code
