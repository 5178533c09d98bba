"""Lloyd's quantizer [GDQ §3.1] in little more than the time of a sort.

The values are sorted once.  They are then cut into a few thousand bins with exact sums, the best
codebook on bins is found by dynamic programming (so the start is near the global optimum on any
distribution, multi-modal and pruned ones included), and Lloyd's iterations polish it at full
resolution: the sum over any interval of sorted values is a difference of prefix sums plus the
rest of one bin, so an iteration costs microseconds, whatever the number of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cimc.errors import UsageError
from cimc.quantizers import codes as coding
from cimc.quantizers.arrays import (
    Codes,
    Doubles,
    Floats,
    Numbers,
    as_float32,
    check_levels,
    not_finite,
)
from cimc.quantizers.bins import bin_cuts, prefix_sums
from cimc.quantizers.optimal import partition

Indices = npt.NDArray[np.int64]

#: Bins of the dynamic programme a level; at least ``FEWEST_BINS`` in all.
_BINS_PER_LEVEL: Final = 16
#: Iterations after which polishing stops in any case.
_MOST_ITERATIONS: Final = 500
#: Values summed at a time: few enough for the cache, and for BLAS not to start threads.
_CHUNK: Final = 1 << 13
#: Below this share of the total energy the distortion is summed directly, not by difference.
_CANCELLATION: Final = 1e-6


@dataclass(frozen=True, slots=True)
class LloydResult:
    """A codebook fitted to values.

    Attributes:
        levels: Strictly ascending, float32 ``(v,)``; v is the number asked for, or the number of
            distinct values when that is smaller.
        boundaries: End points between levels, float32 ``(v - 1,)``.
        distortion: Mean squared error, weighted when weights were given.
        iterations: Lloyd iterations done after initialization [-].
    """

    levels: Floats
    boundaries: Floats
    distortion: float
    iterations: int

    def codes(self, values: Numbers) -> Codes:
        """Return the index of the nearest level of each value, uint8 of the same shape."""
        return coding.encode(values, self.boundaries)


def lloyd(
    values: Numbers,
    levels: int,
    *,
    weights: Numbers | None = None,
    threshold: float = 1e-7,
    keep_zero: bool = False,
) -> LloydResult:
    """Fit levels to values at least (weighted) mean squared error.

    Args:
        values: What is to be quantized, any shape; taken as float32.
        levels: Number of levels, 1..256.
        weights: Importance of each value, positive or zero, same shape (curvature); None: equal.
        threshold: Iterations stop when the distortion falls by less than this share of itself
            from one to the next [GDQ §3.1].
        keep_zero: Set the level whose interval holds 0 to exactly 0, so that pruned weights stay
            pruned.  It is done after fitting and only when 0 is one of the values.

    Returns:
        The codebook.  Fewer distinct values than levels give one level a distinct value and no
        error; all equal values give one level.

    Raises:
        UsageError: CIMC-U30 (no values, or not finite), U31 (levels out of range), U32 (weights
            of another shape, negative, or all zero).
    """
    check_levels(levels, least=1)
    points = _sorted_points(as_float32(values), weights, levels)
    best = points.start(levels)
    iterations = 0
    while iterations < _MOST_ITERATIONS:
        new = points.split(best.means)
        iterations += 1
        if points.energy - new.score >= (points.energy - best.score) * (1.0 - threshold):
            break
        best = new
    table = np.unique(best.means.astype(np.float32))
    if keep_zero and points.holds_zero():
        table = _with_zero(table)
    ends = coding.boundaries(table)
    return LloydResult(table, ends, points.distortion(table, ends), iterations)


@dataclass(frozen=True, slots=True)
class _Partition:
    """Intervals of the sorted values.

    Attributes:
        means: Mean of each interval, ascending, ``(v,)``.
        score: Energy the intervals explain; the distortion is the energy they do not.
    """

    means: Doubles
    score: float


class _Points:
    """Sorted values with exact interval sums.

    Attributes:
        x: Ascending values, float32 ``(n,)``.
        w: Their weights, float64 ``(n,)``, or None.
        cuts: First point of each bin and n, ``(b + 1,)``; equal values share a bin.
        weight: Weight of all points before each cut, ``(b + 1,)``.
        sum: Weighted sum of all points before each cut, ``(b + 1,)``.
        energy: Weighted sum of squares around the mean.
    """

    def __init__(self, x: Floats, w: Doubles | None, levels: int) -> None:
        self.x, self.w = x, w
        cuts = bin_cuts(x, levels * _BINS_PER_LEVEL)
        self.cuts: Indices = np.append(cuts, x.size)
        if w is None:
            self.weight = self.cuts.astype(np.float64)
            self.sum: Doubles = prefix_sums(self._bin_sums())
        else:
            self.weight = prefix_sums(np.add.reduceat(w, cuts))
            self.sum = prefix_sums(np.add.reduceat(w * x, cuts))
        self.energy = self._energy()

    def _equal_run(self) -> tuple[int, int, int]:
        """Return number, first and last + 1 of the largest bin if its values are all equal.

        Pruned weights are mostly zeros: their sums need no reading.  Otherwise an empty range.
        """
        k = int(np.diff(self.cuts).argmax())
        first, stop = int(self.cuts[k]), int(self.cuts[k + 1])
        equal = self.w is None and self.x[first] == self.x[stop - 1]
        return (k, first, stop) if equal else (0, 0, 0)

    def _bin_sums(self) -> Doubles:
        k, first, stop = self._equal_run()
        sums = np.empty(self.cuts.size - 1)
        for bins, at, part in (
            (slice(0, k), 0, self.x[:first]),
            (slice(k + (stop > first), sums.size), stop, self.x[stop:]),
        ):
            if part.size:
                cuts = self.cuts[:-1][bins] - at
                sums[bins] = np.add.reduceat(part, cuts, dtype=np.float64)
        if stop > first:
            sums[k] = (stop - first) * float(self.x[first])
        return sums

    def _energy(self) -> float:
        mean = self.sum[-1] / self.weight[-1]
        _, first, stop = self._equal_run()
        total = (stop - first) * (float(self.x[first]) - mean) ** 2
        for begin, end in ((0, first), (stop, self.x.size)):
            for start in range(begin, end, _CHUNK):
                some = slice(start, min(start + _CHUNK, end))
                part = self.x[some].astype(np.float64)
                part -= mean
                other = part if self.w is None else part * self.w[some]
                total += float(other @ part)
        return float(total)

    def start(self, levels: int) -> _Partition:
        """Return the best partition that does not split bins."""
        count, total = np.diff(self.weight), np.diff(self.sum)
        real = np.flatnonzero(count > 0)  # bins without weight do not matter
        edges = partition(count[real], total[real], min(levels, real.size))
        return self._partition(self.cuts[np.append(real, self.cuts.size - 1)[edges]])

    def split(self, means: Doubles) -> _Partition:
        """Give each point to the nearest mean; means without points disappear."""
        table = np.unique(means.astype(np.float32))
        inner = np.searchsorted(self.x, coding.boundaries(table), side="right")
        return self._partition(np.concatenate([[0], inner, [self.x.size]]))

    def _partition(self, edges: Indices) -> _Partition:
        weight, total = self._sums(edges)
        count = np.diff(weight)
        keep = count > 0
        count, means = count[keep], np.diff(total)[keep] / count[keep]
        center = total[-1] / weight[-1]
        return _Partition(means, float(count @ (means - center) ** 2))

    def _sums(self, edges: Indices) -> tuple[Doubles, Doubles]:
        """Return weight and weighted sum of all points before each edge."""
        bins = np.searchsorted(self.cuts, edges, side="right") - 1
        weight, total = self.weight[bins], self.sum[bins]
        for k, (edge, cut) in enumerate(zip(edges, self.cuts[bins], strict=True)):
            if edge == cut:
                continue
            if self.w is None:
                weight[k] += edge - cut
                total[k] += self.x[cut:edge].sum(dtype=np.float64)
            else:
                weight[k] += self.w[cut:edge].sum()
                total[k] += float(self.w[cut:edge] @ self.x[cut:edge].astype(np.float64))
        return weight, total

    def holds_zero(self) -> bool:
        """Return whether 0 is one of the values."""
        at = int(np.searchsorted(self.x, np.float32(0.0)))
        return at < self.x.size and bool(self.x[at] == 0.0)

    def distortion(self, table: Floats, ends: Floats) -> float:
        """Return the mean squared error of the codebook."""
        edges = np.concatenate([[0], np.searchsorted(self.x, ends, side="right"), [self.x.size]])
        weight, total = self._sums(edges)
        center = total[-1] / weight[-1]
        count, sums = np.diff(weight), np.diff(total) - center * np.diff(weight)
        q = table.astype(np.float64) - center
        rest = self.energy - float(2.0 * q @ sums - (q * q) @ count)
        if rest < _CANCELLATION * self.energy:
            rest = self._direct(table, edges)
        return rest / float(weight[-1])

    def _direct(self, table: Floats, edges: Indices) -> float:
        total = 0.0
        for level, a, b in zip(table, edges[:-1], edges[1:], strict=True):
            error = self.x[a:b].astype(np.float64) - float(level)
            error *= error
            total += float(error.sum() if self.w is None else error @ self.w[a:b])
        return total


def _sorted_points(array: Floats, weights: Numbers | None, levels: int) -> _Points:
    """Sort values, with their weights."""
    if weights is None:
        x = np.sort(array, axis=None)
        if not (np.isfinite(x[0]) and np.isfinite(x[-1])):
            raise not_finite(array)
        return _Points(x, None, levels)
    w = as_float32(weights, "weights").astype(np.float64)
    if w.shape != array.shape:
        message = f"weights of shape {w.shape} for values of shape {array.shape}"
        raise UsageError("CIMC-U32", message)
    if not np.isfinite(array).all():
        raise not_finite(array)
    if not np.isfinite(w).all() or w.min() < 0 or w.max() <= 0:
        message = f"weights should be finite, positive or zero, not all zero (min {w.min()})"
        raise UsageError("CIMC-U32", message)
    order = np.argsort(array, axis=None)
    return _Points(array.reshape(-1)[order], w.reshape(-1)[order], levels)


def _with_zero(table: Floats) -> Floats:
    """Set the level that zero belongs to to zero."""
    table = table.copy()
    table[coding.encode(np.zeros(1, np.float32), coding.boundaries(table))[0]] = 0.0
    return table
