"""Lloyd's quantizer, a codebook a column."""

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.quantizers import lloyd, lloyd_columns


def errors(matrix, result):
    levels = np.take_along_axis(result.levels, result.codes(matrix).T.astype(np.int64), 1).T
    return np.square(matrix.astype(np.float64) - levels)


@pytest.mark.parametrize("draw", ["standard_normal", "laplace", "standard_exponential"])
@pytest.mark.parametrize("levels", [2, 4, 16])
def test_every_column_is_near_its_optimum(draw, levels):
    matrix = getattr(np.random.default_rng(0), draw)(size=(500, 12)).astype(np.float32)
    matrix *= np.arange(1, 13, dtype=np.float32)
    best = np.array([lloyd(c.copy(), levels).distortion for c in matrix.T])
    got = errors(matrix, lloyd_columns(matrix, levels)).mean(0)
    assert (got <= 1.05 * best).all()
    assert got.sum() <= 1.02 * best.sum()


def test_few_rows_are_optimal():
    matrix = np.random.default_rng(1).standard_normal((27, 9)).astype(np.float32)
    best = [lloyd(c.copy(), 4, threshold=0.0).distortion for c in matrix.T]
    np.testing.assert_allclose(errors(matrix, lloyd_columns(matrix, 4)).mean(0), best, rtol=1e-4)


def test_weights_of_rows():
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((40, 3)).astype(np.float32)
    counts = rng.integers(1, 4, 40)
    weighted = lloyd_columns(matrix, 4, weights=counts).levels
    repeated = lloyd_columns(np.repeat(matrix, counts, 0), 4).levels
    np.testing.assert_allclose(weighted, repeated, rtol=1e-4, atol=1e-4)


def test_fewer_distinct_values_than_levels_repeat_some():
    matrix = np.float32([[1, 5], [2, 5], [1, 5]])
    result = lloyd_columns(matrix, 4)
    assert set(result.levels[0].tolist()) == {1, 2}
    assert result.levels[1].tolist() == [5, 5, 5, 5]
    assert errors(matrix, result).sum() == 0


def test_columns_done_in_groups_are_the_same(monkeypatch):
    matrix = np.random.default_rng(3).standard_normal((60, 10)).astype(np.float32)
    whole = lloyd_columns(matrix, 4).levels
    monkeypatch.setattr("cimc.quantizers.columns._MEMORY", 3600 * 3)
    np.testing.assert_array_equal(lloyd_columns(matrix, 4).levels, whole)


@pytest.mark.parametrize("weights", [np.ones(2), np.zeros(3), np.float32([1, np.nan, 1])])
def test_refusals(weights):
    with pytest.raises(UsageError) as caught:
        lloyd_columns(np.ones((3, 2)), 4, weights=weights)
    assert caught.value.code == "CIMC-U32"


@pytest.mark.parametrize("power", [-100, 100])
def test_levels_scale_with_the_weights(power):
    matrix = np.random.default_rng(5).standard_normal((300, 4)).astype(np.float32)
    with np.errstate(over="raise", invalid="raise"):
        scaled = lloyd_columns(np.ldexp(matrix, power), 8).levels
    np.testing.assert_array_equal(scaled, np.ldexp(lloyd_columns(matrix, 8).levels, power))
