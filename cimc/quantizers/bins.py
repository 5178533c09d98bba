"""Cut sorted values into a few thousand bins that a good codebook can be found on."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cimc.quantizers.arrays import Doubles, Floats

Indices = npt.NDArray[np.int64]

#: Fewest bins; no more distinct values than these have a bin each.
FEWEST_BINS: Final = 1024
#: Values compared at a time.
_CHUNK: Final = 1 << 13


def bin_cuts(x: Floats, bins: int) -> Indices:
    """Return the first point of each bin, ascending from 0.

    Args:
        x: Ascending values, ``(n,)``.
        bins: About how many bins; more for values that repeat, fewer for few distinct ones.
    """
    cuts = _fine_cuts(x, _even_cuts(x, FEWEST_BINS), max(FEWEST_BINS, bins))
    return np.union1d(cuts, _long_runs(x))


def prefix_sums(parts: Doubles) -> Doubles:
    """Return the sum of all parts before each, and of all, ``(n + 1,)``."""
    return np.concatenate([[0.0], np.cumsum(parts)])


def _even_cuts(x: Floats, bins: int) -> Indices:
    """Cut sorted values at equal counts and at equal steps, so that tails and peaks are both fine.

    A cut goes to the first of equal values.  No more distinct values than bins: all of them.
    """
    at = np.linspace(0, x.size, min(x.size, bins // 2), endpoint=False).astype(np.int64)
    if x.size <= bins or np.unique(x[at]).size < bins // 4:  # perhaps few distinct values
        distinct = _distinct(x, bins)
        if distinct is not None:
            return distinct
    grid = np.linspace(x[0], x[-1], bins // 2, dtype=np.float64).astype(np.float32)
    cuts = np.searchsorted(x, np.concatenate([x[at], grid]))
    return np.unique(cuts[cuts < x.size])


def _long_runs(x: Floats) -> Indices:
    """Return where runs of equal values over a quarter of all begin and end."""
    middle = x[:: max(1, x.size // 8)]
    ends = np.concatenate([np.searchsorted(x, middle, side=s) for s in ("left", "right")])
    long = np.tile(np.diff(ends.reshape(2, -1), axis=0)[0] > x.size // 4, 2)
    return np.unique(ends[long & (ends < x.size)])


def _distinct(x: Floats, most: int) -> Indices | None:
    """Return the first of each run of equal values; None when there are more runs than asked."""
    found, runs = [np.zeros(1, np.int64)], 1
    for start in range(1, x.size, _CHUNK):
        stop = min(start + _CHUNK, x.size)
        new = np.flatnonzero(x[start:stop] != x[start - 1 : stop - 1]) + start
        found.append(new)
        runs += new.size
        if runs > most:
            return None
    return np.concatenate(found)


def _fine_cuts(x: Floats, cuts: Indices, bins: int) -> Indices:
    """Add cuts where levels are going to be.

    The best quantizers of many levels put them at a density that is the cube root of the density
    of values (Panter and Dite 1951); cuts at equal steps of that leave as many bins to each level.
    """
    if x.size <= FEWEST_BINS:
        return cuts  # every distinct value has its bin
    low = np.append(x[cuts], x[-1]).astype(np.float64)
    steps = prefix_sums(np.cbrt(np.diff(cuts, append=x.size) * np.diff(low) ** 2))
    if steps[-1] <= 0.0:
        return cuts
    at = np.interp(np.linspace(0.0, steps[-1], bins), steps, low)
    fine = np.searchsorted(x, at.astype(np.float32))
    return np.union1d(cuts[:: max(1, 2 * cuts.size // bins)], fine[fine < x.size])
