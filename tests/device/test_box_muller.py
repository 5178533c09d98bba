"""The sampler against the normal distribution: body, tails, moments, independence, resolution.

Seeds are fixed, so nothing here fails by chance from run to run; bounds are 5 standard errors
(a false alarm of 6e-7 for a new seed), and the power stated with each.
"""

import math

import numpy as np
import pytest
from scipy import stats

from cimc.device.box_muller import BLOCK, BoxMuller

N = 4_000_000


def draw(size: int, seed: int = 0, deviation: float = 1.0):
    source = BoxMuller(np.random.SFC64(seed))
    return np.concatenate([part.copy() for _, part in source.blocks(size, deviation)])


@pytest.fixture(scope="module")
def numbers():
    return draw(N).astype(np.float64)


def test_kolmogorov_smirnov(numbers) -> None:
    """4e6 numbers: a distribution function off by 0.001 anywhere gives p < 1e-3."""
    assert stats.kstest(numbers, "norm").pvalue > 1e-3


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5, 6, 8])
def test_moments(numbers, power: int) -> None:
    """A deviation 0.2 % too large would be 6 standard errors off in the second moment."""
    moment = math.prod(range(power - 1, 0, -2)) if power % 2 == 0 else 0
    error = math.sqrt((math.prod(range(2 * power - 1, 0, -2)) - moment**2) / N)
    assert abs((numbers**power).mean() - moment) < 5 * error


@pytest.mark.parametrize("limit", [2.0, 3.0, 4.0, 4.5])
def test_tails(numbers, limit: float) -> None:
    """At 4.5, 13.6 are expected on each side: both tails are there, and not too heavy."""
    expected = N * stats.norm.sf(limit)
    for count in ((numbers > limit).sum(), (numbers < -limit).sum()):
        assert abs(count - expected) < 5 * math.sqrt(expected)


def test_the_middle_is_fine(numbers) -> None:
    """Uniform within +-0.01, in steps of no more than float32 has at the radius, about 1e-7.

    31,800 numbers of 0.02 / 1e-7 would have 8 % alike; half of them are finer still.
    """
    near = numbers[np.abs(numbers) < 0.01]
    assert stats.kstest(near, stats.uniform(-0.01, 0.02).cdf).pvalue > 1e-3
    assert len(np.unique(near)) > 0.98 * len(near)


@pytest.mark.parametrize("lag", [1, 2, 3, BLOCK // 2 - 1, BLOCK // 2, BLOCK // 2 + 1, BLOCK])
def test_neighbours_and_partners_are_independent(numbers, lag: int) -> None:
    """Values and squares; the two numbers of a pair lie half a block apart."""
    a, b = numbers[:-lag], numbers[lag:]
    bound = 5 / math.sqrt(N)
    assert abs(np.mean(a * b)) < bound
    assert abs(np.mean((a**2 - 1) * (b**2 - 1))) < 2 * bound
    assert abs(np.mean((a**2 - 1) * b)) < math.sqrt(2) * bound


def test_pairs_are_round(numbers) -> None:
    """Angle uniform, squared radius exponential, and the one does not tell the other."""
    pairs = numbers[: N // BLOCK * BLOCK].reshape(-1, 2, BLOCK // 2)
    x, y = pairs[:, 0].ravel(), pairs[:, 1].ravel()
    angle, square = np.arctan2(y, x), (x**2 + y**2) / 2
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3
    assert stats.kstest(square, "expon").pvalue > 1e-3
    far = angle[square > 5]
    assert stats.kstest(far, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3


class Bits:
    """Random bits chosen by hand."""

    def __init__(self, words) -> None:
        self.words = words

    def integers(self, low, high, size, dtype):
        return np.array(self.words[:size], dtype=np.uint64).view(np.int64)


def test_every_pattern_of_bits_gives_a_finite_number_of_the_right_radius() -> None:
    """The ends of the ranges, where a logarithm or a tangent could be infinite."""
    ends = [0, 1, 2, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1]
    words = [radius + (angle << 32) for radius in ends for angle in ends]
    source = BoxMuller(np.random.SFC64(0))
    source._bits = Bits(np.array(words, dtype=np.uint64))  # type: ignore[assignment]
    ((_, got),) = source.blocks(2 * len(words))
    halves = (np.array(words, dtype=np.uint64).view(np.int32) | 1).astype(np.float64)
    radius = np.sqrt(-2 * np.log(np.minimum(np.abs(halves[: len(words)]) / 2**31, 1)))
    pair = np.hypot(got[: len(words)].astype(float), got[len(words) :].astype(float))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(pair, radius, rtol=1e-5, atol=4e-4)
    assert np.abs(got).max() == pytest.approx(math.sqrt(62 * math.log(2)), rel=1e-5)


def test_deviation_scales() -> None:
    np.testing.assert_allclose(draw(1001, 3, 0.02), 0.02 * draw(1001, 3), rtol=2e-6, atol=4e-9)


def test_streams_go_on() -> None:
    source = BoxMuller(np.random.SFC64(1))
    first, second = (next(source.blocks(7))[1].copy() for _ in range(2))
    assert not np.intersect1d(first, second).size
    assert [where for where, _ in source.blocks(BLOCK + 1)] == [
        slice(0, BLOCK), slice(BLOCK, BLOCK + 1)
    ]  # fmt: skip
