import math

import numpy as np
import pytest
from scipy import stats

from cimc.verification.intervals import chips_needed, order_statistic, student


def test_student_equals_scipy() -> None:
    values = [0.91, 0.93, 0.92, 0.95, 0.9]
    low, high = stats.t.interval(
        0.9, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    interval = student(values, 0.9)
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_one_chip_bounds_nothing() -> None:
    assert student([0.9], 0.95).low is None
    assert order_statistic([], 0.5, 0.95).low is None


def test_order_statistic_of_the_median_equals_the_textbook() -> None:
    # Conover: n = 20, 95.86 % interval of the median is (x6, x15).
    interval = order_statistic(list(range(1, 21)), 0.5, 0.95)
    assert (interval.low, interval.high) == (6, 15)


@pytest.mark.parametrize("quantile", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [5, 30, 72, 200])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_order_statistic_has_the_exact_binomial_coverage(
    quantile: float, n: int, confidence: float
) -> None:
    interval = order_statistic(list(range(1, n + 1)), quantile, confidence)
    tail = (1 - confidence) / 2
    below = stats.binom(n, quantile)
    if interval.low is None:
        assert below.cdf(0) > tail
    else:
        k = int(interval.low)
        assert below.sf(k - 1) >= 1 - tail > below.sf(k)
    if interval.high is not None:
        k = int(interval.high)
        assert below.cdf(k - 1) >= 1 - tail
        assert k == 1 or below.cdf(k - 2) < 1 - tail


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.5])
def test_chips_needed_is_where_the_bound_appears(quantile: float) -> None:
    n = chips_needed(quantile, 0.95)
    assert order_statistic([0.5] * n, quantile, 0.95).low == 0.5
    assert order_statistic([0.5] * (n - 1), quantile, 0.95).low is None


def test_student_covers_normal_chips() -> None:
    draw = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        interval = student(draw.normal(0.9, 0.01, 8).tolist(), 0.95)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 0.9 <= interval.high
    # 0.95 +- 5 standard errors.
    assert abs(hits / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)
