"""Places of faulty cells against what the processes say exactly.

Bounds are five standard deviations, or a chi-square quantile: a right program fails a check with
a probability below 1e-6, and not by chance at all as long as the seeds stay.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chi2

from cimc.faults import Clusters
from cimc.faults.points import centres_per_cell, clustered, offsets, scattered

FALSE_ALARM = 1e-6


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.3, 0.9, 0.999])
def test_as_many_as_asked_for(rate: float) -> None:
    count = 2_000_000
    found = scattered(generator(0), count, rate)
    assert found.min() >= 0
    assert found.max() < count
    assert (np.diff(found) > 0).all()
    assert abs(len(found) - count * rate) < 5 * math.sqrt(count * rate * (1 - rate))


@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_neighbours_are_independent(rate: float) -> None:
    """Pairs of neighbours, both faulty: mean n p^2, variance of an m-dependent sum."""
    count = 1_000_000
    faulty = np.zeros(count, bool)
    faulty[scattered(generator(1), count, rate)] = True
    for step in (1, 2, 256):
        both = int((faulty[step:] & faulty[:-step]).sum())
        mean = (count - step) * rate**2
        deviation = math.sqrt(mean * (1 - rate**2) + 2 * count * (rate**3 - rate**4))
        assert abs(both - mean) < 5 * deviation


def test_every_pattern_of_four_cells_has_its_probability() -> None:
    rate, draws, rng = 0.35, 20_000, generator(2)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        pattern = tuple(scattered(rng, 4, rate).tolist())
        counts[pattern] = counts.get(pattern, 0) + 1
    statistic = 0.0
    for size in range(5):
        expected = draws * rate**size * (1 - rate) ** (4 - size)
        for pattern in itertools.combinations(range(4), size):
            statistic += (counts.pop(pattern, 0) - expected) ** 2 / expected
    assert counts == {}
    assert statistic < chi2.isf(FALSE_ALARM, 15)


def test_none_and_all() -> None:
    assert scattered(generator(0), 100, 0.0).tolist() == []
    assert scattered(generator(0), 0, 0.5).tolist() == []
    assert scattered(generator(0), 5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert scattered(generator(0), 100, 1e-300).tolist() == []


def test_a_disc() -> None:
    assert offsets(0.0).tolist() == [[0, 0]]
    assert len(offsets(1.0)) == 5
    assert len(offsets(1.5)) == 9
    assert len(offsets(2.5)) == 21


def arrays(rate: float, clusters: Clusters, size: int, count: int) -> npt.NDArray[np.bool_]:
    """Faulty cells of many arrays, bool ``(count, size, size)``."""
    rng = generator(3)
    out = np.zeros((count, size * size), bool)
    for cells in out:
        found = clustered(rng, size, size, rate, clusters)
        assert (np.diff(found) > 0).all()
        cells[found] = True
    return out.reshape(count, size, size)


def far(samples: npt.NDArray[np.float64], mean: float) -> float:
    """How many standard errors the mean of independent samples is off."""
    error = samples.std(ddof=1) / math.sqrt(len(samples))
    return float(abs(samples.mean() - mean) / error)


@pytest.mark.parametrize(
    ("rate", "clusters"),
    [
        (0.01, Clusters()),
        (0.3, Clusters()),
        (0.1, Clusters(1.0, 50.0, 2.0)),
        (0.05, Clusters(1.0, 3.0, 0.0)),
        (0.2, Clusters(1.0, 0.5, 6.0)),
    ],
)
def test_a_cell_is_hit_with_the_rate_asked_for(rate: float, clusters: Clusters) -> None:
    """Everywhere alike: also at edges and corners, also where hits fall on one cell."""
    found = arrays(rate, clusters, 24, 1500).astype(np.float64)
    assert far(found.mean(axis=(1, 2)), rate) < 5
    corners = found[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    edges = np.concatenate([found[:, 0], found[:, -1], found[:, :, 0]], axis=1).mean(axis=1)
    assert far(corners, rate) < 5
    assert far(edges, rate) < 5


@pytest.mark.parametrize("step", [(0, 1), (1, 1), (2, 0), (3, 2), (5, 0)])
def test_two_cells_are_hit_together_as_the_process_says(step: tuple[int, int]) -> None:
    """Pair probability of a Neyman-Scott process on a grid, in closed form.

    Of ``m`` centres that reach a cell, ``o`` reach the other too: both are missed by all with
    probability ``exp(-k (o (1 - e^(-2c/m)) + 2 (m - o) (1 - e^(-c/m))))``.
    """
    rate, clusters, size = 0.05, Clusters(1.0, 6.0, 2.5), 40
    disc = {tuple(d) for d in offsets(clusters.radius).tolist()}
    m = len(disc)
    o = sum((r + step[0], c + step[1]) in disc for r, c in disc)
    k, hits = centres_per_cell(rate, clusters), clusters.cells / m
    neither = math.exp(-k * (o * -math.expm1(-2 * hits) + 2 * (m - o) * -math.expm1(-hits)))
    both = 1 - 2 * (1 - rate) + neither
    found = arrays(rate, clusters, size, 600)
    down, right = step
    pairs = found[:, down:, right:] & found[:, : size - down, : size - right]
    assert far(pairs.mean(axis=(1, 2)), both) < 5
    assert both == pytest.approx(rate**2, rel=1e-9) if o == 0 else both > 1.05 * rate**2


def test_no_clusters() -> None:
    assert clustered(generator(0), 8, 8, 0.0, Clusters()).tolist() == []
    assert clustered(generator(0), 0, 8, 0.5, Clusters()).tolist() == []
