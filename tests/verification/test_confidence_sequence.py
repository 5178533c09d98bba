"""Coverage under optional stopping, by simulation.

A broken sequence is found: with a true miss rate of 15 % instead of the promised 5 %, the chance
that a test passes is that of a Binomial(RUNS, 0.15) variable not exceeding the limit below, under
three in a thousand.  (The ordinary interval, looked at after every chip, misses more than that.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cimc.verification.confidence_sequence import BoundedMean, Quantile, bounded_interval
from cimc.verification.intervals import student

RUNS, CHIPS, CONFIDENCE = 300, 40, 0.95
#: Misses allowed: the promised rate plus 3.1 standard deviations, one false alarm in 1,000.
LIMIT = int(stats.binom.ppf(0.999, RUNS, 1 - CONFIDENCE))

Draw = Callable[[np.random.Generator, int], np.ndarray]
POPULATIONS: dict[str, tuple[Draw, float]] = {
    "good chips": (lambda g, n: np.clip(g.normal(0.9, 0.01, n), 0, 1), 0.9),
    "spread chips": (lambda g, n: g.beta(8, 2, n), 0.8),
    "one in ten dead": (lambda g, n: np.where(g.random(n) < 0.1, 0.1, 0.95), 0.865),
    "coins": (lambda g, n: (g.random(n) < 0.5).astype(float), 0.5),
}


def test_the_power_stated_above_holds() -> None:
    assert stats.binom.cdf(LIMIT, RUNS, 0.15) < 3e-3


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_mean_is_covered_at_every_look(name: str) -> None:
    draw, truth = POPULATIONS[name]
    misses = 0
    for seed in range(RUNS):
        sequence = BoundedMean(CONFIDENCE)
        for value in draw(np.random.default_rng(seed), CHIPS):
            interval = sequence.update(float(value))
        # Bounds only tighten, so the last look misses if any look missed.
        assert interval.low is not None
        assert interval.high is not None
        misses += not interval.low <= truth <= interval.high
    assert misses <= LIMIT


def test_student_looked_at_every_chip_would_break_the_promise() -> None:
    """The test above can fail: the ordinary interval does."""
    draw, truth = POPULATIONS["good chips"]
    misses = 0
    for seed in range(200):
        values = draw(np.random.default_rng(seed), CHIPS).tolist()
        looks = [student(values[:n], CONFIDENCE) for n in range(2, CHIPS)]
        misses += any(not i.low <= truth <= i.high for i in looks)  # type: ignore[operator]
    assert misses > 200 * 0.15


@pytest.mark.parametrize("quantile", [0.1, 0.5])
@pytest.mark.parametrize("discrete", [False, True])
def test_the_quantile_is_covered_at_every_look(quantile: float, discrete: bool) -> None:
    truth = 0.9 + 0.01 * float(stats.norm.ppf(quantile))
    if discrete:  # accuracies on few images have many ties
        truth = math.floor(truth * 100) / 100
    misses = 0
    for seed in range(RUNS):
        values = np.random.default_rng(seed).normal(0.9, 0.01, CHIPS)
        if discrete:
            values = np.floor(values * 100) / 100
        sequence = Quantile(quantile, CONFIDENCE)
        for value in values:
            interval = sequence.update(float(value))
        low = -math.inf if interval.low is None else interval.low
        high = math.inf if interval.high is None else interval.high
        misses += not low <= truth <= high
    assert misses <= LIMIT


def test_bounds_only_tighten_and_close_in() -> None:
    sequence, widths = BoundedMean(0.95), []
    for value in np.random.default_rng(0).normal(0.7, 0.02, 400):
        interval = sequence.update(float(value))
        assert interval.low is not None
        assert interval.high is not None
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths, reverse=True)
    # Near the information limit of bounded values: about log(2/alpha)/n each side.
    assert widths[-1] < 0.025


def test_gross_differences_are_decided_by_a_few_chips() -> None:
    sequence = BoundedMean(0.95)
    for _ in range(10):
        interval = sequence.update(0.99)
    assert interval.low is not None
    assert interval.low > 0.6


def test_extreme_values_do_not_break_the_arithmetic() -> None:
    for value in (0.0, 1.0):
        interval = bounded_interval([value] * 200, 0.95)
        assert interval.low is not None
        assert interval.high is not None
        assert 0.0 <= interval.low <= value <= interval.high <= 1.0
        assert interval.high - interval.low < 0.05


def test_quantile_needs_enough_chips_for_a_lower_bound() -> None:
    sequence, first = Quantile(0.1, 0.95), None
    for n in range(1, 200):
        interval = sequence.update(1.0 - n / 1000)
        if interval.low is not None and first is None:
            first = n
    # A fixed number of chips needs 36 for one side of a two-sided interval.
    assert first is not None
    assert 25 <= first <= 80
