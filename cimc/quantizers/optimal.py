"""The best partition of a line of bins into intervals, by dynamic programming.

The cost of an interval is the squared distance of its points to their mean.  The total cost is
the sum of all squares minus ``sum_intervals S**2 / n`` (n the weight, S the weighted sum of an
interval), so only the second term is maximized and second moments are not needed.  The argument
of the maximum is monotone (the cost is concave Monge), which divide and conquer uses: O(k b log b)
for b bins and k intervals, every step vectorized over one depth of the recursion.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimc.quantizers.arrays import Doubles

Indices = npt.NDArray[np.int64]


def partition(count: Doubles, total: Doubles, intervals: int) -> Indices:
    """Split bins into the given number of intervals at least squared error.

    Args:
        count: Weight of each bin, positive, ``(b,)``.
        total: Weighted sum of the values of each bin, ``(b,)``; means ascend.
        intervals: How many, 1..b.

    Returns:
        Edges: first bin of each interval and b at the end, ``(intervals + 1,)``.
    """
    bins = count.size
    n = np.concatenate([[0.0], np.cumsum(count)])
    s = np.concatenate([[0.0], np.cumsum(total - total.sum() / count.sum() * count)])
    best = np.full(bins + 1, -np.inf)
    best[1:] = s[1:] ** 2 / n[1:]
    choices = []
    for k in range(2, intervals + 1):
        best, choice = _one_more(best, n, s, k)
        choices.append(choice)
    edges = np.empty(intervals + 1, np.int64)
    edges[intervals] = bins
    for k in range(intervals - 1, 0, -1):
        edges[k] = choices[k - 1][edges[k + 1]]
    edges[0] = 0
    return edges


def _one_more(best: Doubles, n: Doubles, s: Doubles, k: int) -> tuple[Doubles, Indices]:
    """Extend the best partitions of every prefix by one interval.

    Args:
        best: Score of the best k - 1 intervals over the first j bins, ``(b + 1,)``.
        n: Weight of the first j bins, ``(b + 1,)``.
        s: Sum of the first j bins, ``(b + 1,)``.
        k: Intervals afterwards; prefixes shorter than k bins stay impossible.

    Returns:
        The scores for k intervals, and where the last interval begins.
    """
    bins = n.size - 1
    score = np.full(bins + 1, -np.inf)
    choice = np.full(bins + 1, k - 1, np.int64)
    low = np.full(bins + 2, k - 1, np.int64)  # known lower bound of the choice, by position
    step = 1 << max(0, (bins - k).bit_length())
    known = np.array([], np.int64)  # positions solved so far, ascending
    while step:
        ends = np.arange(k - 1 + step, bins + 1, 2 * step)
        if ends.size:
            at = np.searchsorted(known, ends)
            before, after = np.append(known, 0)[at - 1], np.append(known, 0)[at]
            first = np.where(at > 0, choice[before], low[ends])
            last = np.where(at < known.size, choice[np.minimum(after, bins)], ends - 1)
            last = np.minimum(last, ends - 1)
            score[ends], choice[ends] = _solve(best, n, s, ends, first, last)
            known = np.sort(np.concatenate([known, ends]))
        step >>= 1
    return score, choice


def _solve(
    best: Doubles, n: Doubles, s: Doubles, ends: Indices, first: Indices, last: Indices
) -> tuple[Doubles, Indices]:
    """Return score and argument of ``max_i best[i] + (s[j]-s[i])**2/(n[j]-n[i])`` for each end j.

    Args:
        best: Score of each prefix, ``(b + 1,)``.
        n: Weight of each prefix, ``(b + 1,)``.
        s: Sum of each prefix, ``(b + 1,)``.
        ends: The j, ``(m,)``.
        first: Smallest i to try for each, ``(m,)``.
        last: Largest i to try for each, ``(m,)``.
    """
    length = last - first + 1
    start = np.cumsum(length) - length
    i = np.arange(int(length.sum())) + np.repeat(first - start, length)
    gain = np.repeat(s[ends], length) - s[i]
    gain *= gain
    gain /= np.repeat(n[ends], length) - n[i]
    gain += best[i]
    top = np.maximum.reduceat(gain, start)
    hit = np.flatnonzero(gain == np.repeat(top, length))
    return top, i[hit[np.searchsorted(hit, start)]]
