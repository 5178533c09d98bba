"""Coverage under optional stopping, by simulation; its power is that of the bounded sequence's."""

import math

import numpy as np
import pytest
from scipy import stats

from cimc.verification.intervals import student
from cimc.verification.normal_sequence import NormalMean

RUNS, CHIPS, CONFIDENCE = 400, 60, 0.95
LIMIT = int(stats.binom.ppf(0.999, RUNS, 1 - CONFIDENCE))


def last(values: np.ndarray, resolution: float = 0.0) -> tuple[float, float]:
    sequence = NormalMean(CONFIDENCE, resolution)
    for value in values:
        interval = sequence.update(float(value))
    low = -math.inf if interval.low is None else interval.low
    return low, math.inf if interval.high is None else interval.high


@pytest.mark.parametrize("sigma", [1e-4, 0.05])
def test_the_mean_is_covered_at_every_look(sigma: float) -> None:
    misses = 0
    for seed in range(RUNS):
        low, high = last(np.random.default_rng(seed).normal(0.9, sigma, CHIPS))
        misses += not low <= 0.9 <= high
    assert 0 < misses <= LIMIT


def test_accuracies_on_few_images_are_covered_though_often_equal() -> None:
    """40 images, nine chips in ten right on all: ten equal chips are no certainty."""
    truth, misses = 1 - 0.1 / 40, 0
    for seed in range(RUNS):
        wrong = np.random.default_rng(seed).random(CHIPS) < 0.1
        low, high = last(1 - wrong / 40, resolution=1 / 40)
        misses += not low <= truth <= high
    assert misses <= LIMIT


def test_alike_chips_are_decided_by_a_few() -> None:
    draw = np.random.default_rng(0)
    low, _ = last(draw.normal(0.992, 0.0003, 6))
    assert low > 0.99


def test_the_price_of_looking_always_is_moderate() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.01, 50)
    low, high = last(values)
    fixed = student(values.tolist(), CONFIDENCE)
    assert fixed.low is not None
    assert fixed.high is not None
    assert 1.0 < (high - low) / (fixed.high - fixed.low) < 2.2


def test_the_martingale_starts_at_one_and_one_chip_says_nothing() -> None:
    assert NormalMean(0.95).update(0.5).low is None
