"""Lloyd's quantizer for every column of a matrix at once.

The same way as for a whole layer (see :mod:`cimc.quantizers.lloyd`): sort, cut into bins, exact
dynamic programme on bins, Lloyd's iterations on prefix sums; here each step is done for all
columns together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from cimc.errors import UsageError
from cimc.quantizers import codes as coding
from cimc.quantizers.arrays import (
    Codes,
    Doubles,
    Floats,
    Numbers,
    as_float32,
    check_finite,
    check_levels,
)

Indices = npt.NDArray[np.int64]

#: Bins of the dynamic programme: at least this many, and this many a level.
_BINS, _BINS_PER_LEVEL = 96, 6
#: Numbers in the largest intermediate array; columns are done in groups that respect it.
_MEMORY: Final = 1 << 22
_MOST_ITERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class ColumnsResult:
    """A codebook a column.

    Attributes:
        levels: Ascending, float32 ``(columns, v)``; a column with fewer distinct values repeats
            some.
        boundaries: End points between levels, float32 ``(columns, v - 1)``.
    """

    levels: Floats
    boundaries: Floats

    def codes(self, matrix: Numbers) -> Codes:
        """Return the index of the nearest level of each value, uint8 ``(rows, columns)``."""
        return coding.encode_columns(matrix, self.boundaries)


def lloyd_columns(
    matrix: Numbers, levels: int, *, weights: Numbers | None = None, threshold: float = 1e-5
) -> ColumnsResult:
    """Fit levels to each column at least (weighted) mean squared error.

    Args:
        matrix: ``(rows, columns)``; taken as float32.
        levels: Levels of each column, 1..256.
        weights: Importance of each row, positive, ``(rows,)``; None: equal.
        threshold: Stop when no column's distortion falls by more than this share of itself.

    Raises:
        UsageError: CIMC-U30 (no values, not finite), U31 (levels), U32 (weights).
    """
    check_levels(levels, least=1)
    x = as_float32(matrix)
    check_finite(x)
    w = np.ones(x.shape[0]) if weights is None else as_float32(weights).astype(np.float64)
    if x.ndim != 2 or w.shape != x.shape[:1] or not np.isfinite(w).all() or w.min() <= 0:
        message = f"weights of shape {w.shape} for {x.shape}: one positive weight a row expected"
        raise UsageError("CIMC-U32", message)
    bins = min(x.shape[0], max(_BINS, levels * _BINS_PER_LEVEL))
    step = max(1, _MEMORY // max(bins * bins, x.shape[0]))
    parts = [
        _fit(x[:, start : start + step], w, levels, bins, threshold)
        for start in range(0, x.shape[1], step)
    ]
    table = np.concatenate(parts)
    return ColumnsResult(table, coding.boundaries(table))


def _fit(x: Floats, w: Doubles, levels: int, bins: int, threshold: float) -> Floats:
    """Fit the columns of one group; return levels ``(columns, v)``."""
    order = np.argsort(x, axis=0)
    values = np.ascontiguousarray(np.take_along_axis(x, order, 0).T, np.float64)
    center = values.mean(1, keepdims=True)
    values -= center
    weight = w[order.T]
    n, s = _prefix(weight), _prefix(weight * values)
    energy = (weight * values**2).sum(1)
    edges = _start(values, n, s, levels, bins)
    means, explained = _means(n, s, edges)
    for _ in range(_MOST_ITERATIONS):
        ends = (means[:, 1:] + means[:, :-1]) / 2
        inner = _search(values, ends)
        edges = np.concatenate([edges[:, :1], inner, edges[:, -1:]], 1)
        new, gained = _means(n, s, edges)
        better = gained > explained
        means = np.where(better[:, None], new, means)
        done = (gained - explained) <= threshold * (energy - explained)
        explained = np.maximum(gained, explained)
        if done.all():
            break
    return np.maximum.accumulate((means + center).astype(np.float32), axis=1)


def _prefix(parts: Doubles) -> Doubles:
    total = np.cumsum(parts, axis=1)
    return np.concatenate([np.zeros((total.shape[0], 1)), total], axis=1)


def _search(values: Doubles, ends: Doubles) -> Indices:
    """Return how many values are at most each end, a row of both at a time."""
    found = torch.searchsorted(
        torch.from_numpy(np.ascontiguousarray(values)),
        torch.from_numpy(np.ascontiguousarray(ends)),
        right=True,
    )
    result: Indices = found.numpy()
    return result


def _means(n: Doubles, s: Doubles, edges: Indices) -> tuple[Doubles, Doubles]:
    """Return the mean of each interval, and the energy that the intervals explain.

    An empty interval repeats the mean before it.
    """
    count = np.diff(np.take_along_axis(n, edges, 1))
    total = np.diff(np.take_along_axis(s, edges, 1))
    means = np.where(count > 0, total / np.where(count > 0, count, 1.0), 0.0)
    explained = (count * means**2).sum(1)
    means = np.maximum.accumulate(np.where(count > 0, means, -np.inf), axis=1)
    first = np.where(np.isfinite(means), means, np.inf).min(1, keepdims=True)
    return np.maximum(means, first), explained


def _start(values: Doubles, n: Doubles, s: Doubles, levels: int, bins: int) -> Indices:
    """Return the edges of the best partition of bins, ``(columns, levels + 1)``."""
    columns = values.shape[0]
    cuts = _cuts(values, bins)
    n, s = np.take_along_axis(n, cuts, 1), np.take_along_axis(s, cuts, 1)
    # [column, j, i]: bins i..j-1 as one interval; empty ones are allowed and explain nothing.
    count = n[:, :, None] - n[:, None, :]
    exact = (s[:, :, None] - s[:, None, :]) ** 2 / np.where(count > 0, count, 1.0)
    # float32 ends at 3e38, squares get there; a power of two changes nothing else.
    _, power = np.frexp(exact.max((1, 2), keepdims=True))
    exact = np.ldexp(exact, -power)
    exact[count < 0] = -np.inf
    score = exact.astype(np.float32)  # a start: the iterations that follow are exact
    total = np.empty_like(score)
    best, choices = score[:, :, 0], []
    for _ in range(levels - 1):
        np.add(score, best[:, None, :], out=total)
        choice = total.argmax(2)
        best = np.take_along_axis(total, choice[:, :, None], 2)[:, :, 0]
        choices.append(choice)
    edges = np.full((columns, levels + 1), cuts.shape[1] - 1, np.int64)
    for k in range(levels - 1, 0, -1):
        at = edges[:, k + 1][:, None]
        edges[:, k] = np.take_along_axis(choices[k - 1], at, 1)[:, 0]
    edges[:, 0] = 0
    return np.take_along_axis(cuts, edges, 1)


def _cuts(values: Doubles, bins: int) -> Indices:
    """Return where bins begin, by count and by where levels are going to be, ``(c, bins + 1)``."""
    columns, rows = values.shape
    if rows <= bins:
        return np.broadcast_to(np.arange(rows + 1), (columns, rows + 1))
    # Good quantizers put levels at the cube root of the density (Panter and Dite 1951), which is
    # one over the gaps: equal steps of the sum of gap ** (2 / 3).
    place = np.zeros(values.shape)
    np.cumsum(np.cbrt(np.diff(values) ** 2), axis=1, out=place[:, 1:])
    place /= np.where(place[:, -1:] > 0, place[:, -1:], 1.0)
    place += np.arange(rows) / rows
    grid = np.broadcast_to(np.linspace(0.0, place.max(), bins + 1), (columns, bins + 1))
    scaled: npt.NDArray[Any] = grid * (place[:, -1:] / place.max())
    cuts = _search(place, scaled)
    cuts[:, 0], cuts[:, -1] = 0, rows
    return cuts
