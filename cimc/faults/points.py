"""Places of faulty cells on one array, without drawing a number for every healthy cell."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cimc.faults.rates import Clusters

Places = npt.NDArray[np.int64]


def scattered(rng: np.random.Generator, count: int, rate: float) -> Places:
    """Return which of ``count`` cells are faulty, each with probability ``rate``, ascending.

    Exact: the gaps between faulty cells are geometric.

    Args:
        rng: Random numbers; about ``count * rate`` are drawn.
        count: Cells [-].
        rate: Probability in [0, 1] [-].
    """
    if rate <= 0.0 or count == 0:
        return np.zeros(0, np.int64)
    if rate >= 1.0:
        return np.arange(count)
    mean = count * rate
    parts, last = [], -1
    while last < count:
        # Nearly always enough at once: six standard deviations and a little.
        few = int(mean + 6.0 * math.sqrt(mean)) + 16
        gaps = np.log1p(-rng.random(few))
        gaps /= math.log1p(-rate)
        places = np.cumsum(np.minimum(gaps, count).astype(np.int64) + 1) + last
        parts.append(places)
        last = int(places[-1])
        mean = max(0.0, (count - last) * rate)
    found = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return found[: np.searchsorted(found, count)]


def clustered(
    rng: np.random.Generator, rows: int, columns: int, rate: float, clusters: Clusters
) -> Places:
    """Return the cells that clusters hit, row by row, ascending, none twice.

    Centres lie beyond the edges too, so that cells there are hit as often as any.

    Args:
        rng: Random numbers.
        rows: Of the array [-].
        columns: Of the array [-].
        rate: Probability that a cell is hit, in [0, 1) [-].
        clusters: How hits lie around a centre.
    """
    if rate <= 0.0 or rows == 0 or columns == 0:
        return np.zeros(0, np.int64)
    disc = offsets(clusters.radius)
    reach = int(clusters.radius)
    height, width = rows + 2 * reach, columns + 2 * reach
    centres = rng.poisson(centres_per_cell(rate, clusters) * height * width)
    place = rng.integers(0, height * width, centres)
    place = np.repeat(place, rng.poisson(clusters.cells, centres))
    hit = disc[rng.integers(0, len(disc), len(place))]
    row, column = place // width - reach + hit[:, 0], place % width - reach + hit[:, 1]
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    found: Places = row[inside] * columns + column[inside]
    found.sort()  # much faster than numpy.unique, which hashes
    different: Places = found[np.diff(found, prepend=-1) != 0]
    return different


def offsets(radius: float) -> npt.NDArray[np.int64]:
    """Return the cells of a disc around a cell, int64 ``(m, 2)``."""
    reach = int(radius)
    steps = np.arange(-reach, reach + 1)
    row, column = np.meshgrid(steps, steps, indexing="ij")
    near = row**2 + column**2 <= radius**2
    return np.stack([row[near], column[near]], axis=1)


def centres_per_cell(rate: float, clusters: Clusters) -> float:
    """Return the mean number of centres on a cell: a cell is hit with probability ``rate``.

    A centre whose disc of ``m`` cells covers a cell hits it ``Poisson(cells / m)`` times, so
    misses it with probability ``exp(-cells / m)``; ``m`` cells around have such centres, in
    Poisson numbers of mean ``k``: the cell is missed by all with probability
    ``exp(-k m (1 - exp(-cells / m)))``.
    """
    m = len(offsets(clusters.radius))
    return -math.log1p(-rate) / (m * -math.expm1(-clusters.cells / m))
