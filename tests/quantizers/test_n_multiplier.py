"""Levels that are sums of multipliers [NM Eq. 4]."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.errors import UsageError
from cimc.quantizers.n_multiplier import n_multiplier, n_multiplier_columns, slices_of
from cimc.quantizers.uniform import uniform


def error(values, result, weights=None):
    lost = np.square(values - result.levels[result.codes(values)], dtype=np.float64)
    return float(np.average(lost, weights=weights))


def sums(r, c):
    """All sums, one by one: an independent form of Eq. 4."""
    return np.sort([c + np.dot(r, s) for s in product((0, 1), repeat=len(r))])


def best_of_all(x, n, w=None):
    """The least squares error over every assignment of values to bit patterns."""
    w = np.ones(len(x)) if w is None else w
    root = np.sqrt(w)
    patterns = np.array(list(product((0, 1), repeat=n)))
    best = np.inf
    for chosen in product(range(2**n), repeat=len(x)):
        basis = np.c_[patterns[list(chosen)], np.ones(len(x))]
        solved, *_ = np.linalg.lstsq(basis * root[:, None], x * root, rcond=None)
        best = min(best, float((w * (x - basis @ solved) ** 2).sum() / w.sum()))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_four_levels_of_six_values_are_the_best_there_are(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(6).astype(np.float32)
    w = rng.uniform(0.1, 3.0, 6).astype(np.float32)
    assert n_multiplier(x, 4).distortion <= best_of_all(x, 2) * 1.001 + 1e-12
    assert n_multiplier(x, 4, weights=w).distortion <= best_of_all(x, 2, w) * 1.001 + 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_two_levels_are_the_best_split(seed):
    """One multiplier: two free levels, so the best is the best of all splits, each side's mean."""
    x = np.sort(np.random.default_rng(seed).laplace(size=40)).astype(np.float32)
    splits = [
        (np.square(x[:k] - x[:k].mean()).sum() + np.square(x[k:] - x[k:].mean()).sum()) / x.size
        for k in range(1, x.size)
    ]
    result = n_multiplier(x, 2)
    k = int(np.argmin(splits)) + 1
    assert result.distortion == pytest.approx(min(splits), rel=1e-5)
    assert float(result.offset) == pytest.approx(x[:k].mean(), rel=1e-4)
    assert float(result.multipliers[0]) == pytest.approx(x[k:].mean() - x[:k].mean(), rel=1e-4)


def test_uniform_values_give_powers_of_two():
    x = np.linspace(-1, 1, 1 << 14, dtype=np.float32)
    result = n_multiplier(x, 16)
    np.testing.assert_allclose(result.multipliers / result.multipliers[0], [1, 2, 4, 8], rtol=2e-2)
    assert result.distortion == pytest.approx((2 / 16) ** 2 / 12, rel=1e-3)


def test_sums_are_found_again():
    r, c = np.array([0.31, 0.5, 1.17, 1.3]), -1.4
    x = np.random.default_rng(0).choice(sums(r, c), 3000).astype(np.float32)
    result = n_multiplier(x, 16)
    np.testing.assert_allclose(result.levels, sums(r, c), atol=1e-5)
    assert result.distortion < 1e-10


def test_a_negative_multiplier_has_a_positive_form():
    r, c = np.array([-0.5, 0.2, 1.1]), 0.3
    x = np.random.default_rng(1).choice(sums(r, c), 500).astype(np.float32)
    result = n_multiplier(x, 8)
    np.testing.assert_allclose(result.multipliers, [0.2, 0.5, 1.1], atol=1e-5)
    assert float(result.offset) == pytest.approx(-0.2, abs=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10_000),
    st.integers(1, 5),
    st.sampled_from(["normal", "laplace", "uniform", "exponential", "bimodal", "equal", "few"]),
    st.sampled_from([1e-20, 1.0, 1e15]),
)
def test_never_worse_than_uniform_levels(seed, n, kind, scale):
    rng = np.random.default_rng(seed)
    x = {
        "normal": lambda: rng.standard_normal(200),
        "laplace": lambda: rng.laplace(size=200),
        "uniform": lambda: rng.uniform(-1, 3, 200),
        "exponential": lambda: rng.exponential(size=200),
        "bimodal": lambda: np.concatenate([rng.normal(-3, 0.1, 150), rng.normal(2, 0.5, 50)]),
        "equal": lambda: np.full(9, 0.7),
        "few": lambda: rng.integers(0, 3, 30) - 1.0,
    }[kind]()
    x = (x * scale).astype(np.float32)
    result = n_multiplier(x, 2**n)
    assert (result.multipliers >= 0).all()
    assert (np.diff(result.multipliers) >= 0).all()
    assert (np.diff(result.levels) >= 0).all()
    np.testing.assert_allclose(
        result.levels,
        sums(result.multipliers.astype(float), float(result.offset)),
        rtol=1e-5, atol=1e-6 * np.abs(x).max(),
    )  # fmt: skip
    tiny = 1e-10 * float(np.square(x, dtype=np.float64).mean())
    for grid in ("free", "symmetric"):
        assert error(x, result) <= error(x, uniform(x, 2**n, grid=grid)) * (1 + 1e-4) + tiny
    # At this size there are no bins: the error it reports is the error there is.
    assert result.distortion == pytest.approx(error(x, result), rel=1e-3, abs=10 * tiny)


@pytest.mark.parametrize(("kind", "bars"), [
    # Against Lloyd's free levels [-]: what sums cost, by levels; 4 levels and 16 levels.
    ("normal", {4: 1.001, 8: 1.03, 16: 1.06}),
    ("laplace", {4: 1.01, 8: 1.05, 16: 1.25}),
])  # fmt: skip
def test_sums_are_nearly_as_good_as_free_levels(kind, bars):
    from cimc.quantizers.lloyd import lloyd

    rng = np.random.default_rng(0)
    x = getattr(rng, "standard_normal" if kind == "normal" else kind)(size=1 << 18)
    x = x.astype(np.float32)
    for levels, bar in bars.items():
        result = n_multiplier(x, levels)
        assert error(x, result) <= bar * lloyd(x, levels).distortion
        # Bins instead of values: the same to a part in a thousand.
        assert result.distortion == pytest.approx(error(x, result), rel=1e-3)


def test_weights_say_where_levels_are_needed():
    rng = np.random.default_rng(3)
    x = rng.standard_normal(20_000).astype(np.float32)
    w = np.exp(-((x - 1.0) ** 2) * 4).astype(np.float32)
    plain, weighted = n_multiplier(x, 8), n_multiplier(x, 8, weights=w)
    assert error(x, weighted, w) < 0.5 * error(x, plain, w)
    whole = np.repeat(x[:50], 3)
    np.testing.assert_allclose(
        n_multiplier(x[:50], 4, weights=np.full(50, 3.0)).distortion,
        n_multiplier(whole, 4).distortion,
        rtol=1e-6,
    )


@pytest.mark.parametrize("levels", [2, 8, 16])
def test_columns_are_as_good_as_each_alone(levels):
    rng = np.random.default_rng(4)
    m = (rng.standard_normal((90, 12)) * rng.uniform(0.01, 10, 12)).astype(np.float32)
    m[:, 3] = 0.5
    w = rng.uniform(0.2, 2, 90).astype(np.float32)
    result = n_multiplier_columns(m, levels, weights=w)
    codes = result.codes(m)
    for k in range(12):
        one = n_multiplier(m[:, k], levels, weights=w)
        lost = np.square(m[:, k] - result.levels[k][codes[:, k]], dtype=np.float64)
        assert np.average(lost, weights=w) == pytest.approx(
            result.distortion[k], rel=1e-3, abs=1e-12
        )
        assert result.distortion[k] <= one.distortion * 1.02 + 1e-12
    assert result.multipliers.shape == (12, slices_of(levels))
    assert result.offset.shape == (12,)


@pytest.mark.parametrize("levels", [0, 1, 3, 12, 512, -4])
def test_numbers_of_levels_that_sums_do_not_have(levels):
    with pytest.raises(UsageError) as caught:
        n_multiplier(np.ones(3), levels)
    assert caught.value.code == "CIMC-U37"


@pytest.mark.parametrize(
    ("values", "weights", "code"),
    [
        (np.array([]), None, "CIMC-U30"),
        (np.array([1.0, np.nan]), None, "CIMC-U30"),
        (np.array([1.0, 2.0]), np.array([1.0]), "CIMC-U32"),
        (np.array([1.0, 2.0]), np.array([1.0, -1.0]), "CIMC-U32"),
        (np.array([1.0, 2.0]), np.zeros(2), "CIMC-U32"),
    ],
)
def test_values_that_cannot_be_fitted(values, weights, code):
    with pytest.raises(UsageError) as caught:
        n_multiplier(values, 4, weights=weights)
    assert caught.value.code == code


def descended(x, r, c, rounds=60):
    """The error where alternating nearest levels and least squares ends, from a start."""
    n = len(r)
    bits = np.array(list(product((0, 1), repeat=n)), float)
    basis = np.c_[bits, np.ones(2**n)]
    for _ in range(rounds):
        sums = basis @ np.r_[r, c]
        order = np.argsort(sums)
        code = order[np.searchsorted((sums[order][1:] + sums[order][:-1]) / 2, x)]
        count = np.bincount(code, minlength=2**n).astype(float)
        total = np.bincount(code, x, minlength=2**n)
        power = basis.T @ (count[:, None] * basis) + 1e-9 * np.eye(n + 1)
        *r, c = np.linalg.solve(power, basis.T @ total)
    return float(np.mean((x - sums[code]) ** 2))


@pytest.mark.parametrize("draw", ["standard_normal", "laplace", "standard_exponential"])
def test_sixteen_levels_are_near_the_best_of_many_starts(draw):
    """Local minima: a tenth of the starts ends within some percent of the best."""
    rng = np.random.default_rng(11)
    x = np.sort(getattr(rng, draw)(size=4000)).astype(np.float32)
    span = x[-1] - x[0]
    best = min(
        descended(x, rng.uniform(0, rng.uniform(0.1, 1) * span, 4), rng.uniform(x[0], x.mean()))
        for _ in range(120)
    )
    assert n_multiplier(x, 16).distortion <= 1.01 * best
