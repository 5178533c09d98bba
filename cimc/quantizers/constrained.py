"""Codebooks of weights that cells with a fixed list of states can hold.

A weight is ``scale * (G+ - G-)``.  With the unified reference of [GDQ §4.4] one cell of a pair
stands at the lowest state, so the differences are those of every state to the lowest, with both
signs.  Which of them make the codebook, and the scale, are chosen together: for a scale the best
choice is found exactly by dynamic programming over the differences, several scales are tried, and
the best is polished by least squares.

Beside an offset column a weight is ``scale * (G - G_offset)``, the offset cells at the state
nearest to the middle, and the differences are those of every state to that one.

The least or the greatest difference is always chosen, so that an end of a codebook is an end of
the range of the cells, as assigning conductances takes it to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cimc.device.conductance import middle_state
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

#: Scales tried, as shares of the one that takes the largest value to the largest difference.
_SHARES: Final = np.linspace(0.15, 1.05, 19)
#: Alternations of choice and scale after the best of them.
_ROUNDS: Final = 4
#: Bins the values are gathered in.
_BINS: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class ConstrainedResult:
    """A codebook that cells with fixed states can hold.

    Attributes:
        levels: ``scale * differences``, ascending, float32 ``(v,)``.
        boundaries: End points between levels, float32 ``(v - 1,)``.
        differences: Chosen differences of states [uS], ascending, float64 ``(v,)``.
        scale: Weight units per uS.
    """

    levels: Floats
    boundaries: Floats
    differences: Doubles
    scale: float

    def codes(self, values: Numbers) -> Codes:
        """Return the index of the nearest level of each value, uint8 of the same shape."""
        return coding.encode(values, self.boundaries)


def pair_differences(states_us: tuple[float, ...]) -> Doubles:
    """Return what pairs with a unified reference can hold [uS], ascending, ``(2 s - 1,)``.

    Args:
        states_us: Conductances of a cell, ascending [uS].

    Raises:
        UsageError: CIMC-U35, fewer than two states, or not ascending.
    """
    states = _checked(states_us)
    up = states - states[0]
    return np.concatenate([-up[:0:-1], up])


def _checked(states_us: tuple[float, ...]) -> Doubles:
    states = np.asarray(states_us, np.float64)
    if states.ndim != 1 or states.size < 2 or not (np.diff(states) > 0).all():
        message = f"cell states should be at least two, ascending, got {states_us}"
        raise UsageError("CIMC-U35", message)
    return states


def offset_differences(states_us: tuple[float, ...]) -> Doubles:
    """Return what a cell beside an offset column can hold [uS], ascending, ``(s,)``.

    Args:
        states_us: Conductances of a cell, ascending [uS].

    Raises:
        UsageError: CIMC-U35, fewer than two states, or not ascending.
    """
    states = _checked(states_us)
    differences: Doubles = states - states[middle_state(states_us)]
    return differences


def constrained(
    values: Numbers,
    levels: int,
    states_us: tuple[float, ...],
    *,
    weights: Numbers | None = None,
    offset: bool = False,
) -> ConstrainedResult:
    """Choose differences of cell states, and a scale, at least (weighted) mean squared error.

    Args:
        values: Any shape; taken as float32.
        levels: Number of levels, 2..256; more than there are differences gives all of them.
        states_us: Conductances of a cell, ascending [uS].
        weights: Importance of each value, positive or zero, same shape; None: equal.
        offset: Cells beside an offset column, instead of pairs.

    Raises:
        UsageError: CIMC-U30 (no values, not finite), U31 (levels), U35 (states).
    """
    check_levels(levels)
    x = as_float32(values)
    check_finite(x)
    d = offset_differences(states_us) if offset else pair_differences(states_us)
    points = _Points.of(x, None if weights is None else as_float32(weights, "weights"))
    top = float(np.abs(x).max())
    if top == 0.0:
        top = 1.0  # any scale holds zeros
    count = min(levels, d.size)
    largest = float(np.abs(d).max())
    tries = [_choose(points, d, top / largest * share, count) for share in _SHARES]
    best = min(tries, key=lambda t: t[0])
    for _ in range(_ROUNDS):
        scale = points.best_scale(d[best[2]], best[1])
        new = _choose(points, d, scale, count)
        if new[0] >= best[0]:
            break
        best = new
    _, scale, chosen = best
    table = (scale * d[chosen]).astype(np.float32)
    return ConstrainedResult(table, coding.boundaries(table), d[chosen], scale)


@dataclass(frozen=True, slots=True)
class _Points:
    """Sorted bins of values with prefix sums of weight, value and square."""

    x: Doubles
    n: Doubles
    s: Doubles
    q: Doubles

    @classmethod
    def of(cls, values: Floats, weights: Floats | None) -> _Points:
        order = np.argsort(values, axis=None)
        x = values.reshape(-1)[order].astype(np.float64)
        w = np.ones(x.size) if weights is None else weights.reshape(-1)[order].astype(np.float64)
        grid = np.linspace(x[0], x[-1], _BINS // 2)
        at = np.linspace(0, x.size, _BINS // 2, endpoint=False).astype(np.int64)
        cuts = np.unique(np.concatenate([np.searchsorted(x, grid), at, [0]]))
        cuts = cuts[cuts < x.size]
        n = np.add.reduceat(w, cuts)
        kept = n > 0
        n, s = n[kept], np.add.reduceat(w * x, cuts)[kept]
        mean = s / n
        sums = [np.concatenate([[0.0], np.cumsum(p)]) for p in (n, s, n * mean**2)]
        return cls(mean, *sums)

    def cost(
        self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], c: Doubles
    ) -> Doubles:
        """Return the squared distance of bins ``first..last-1`` to ``c``."""
        n, s, q = (p[last] - p[first] for p in (self.n, self.s, self.q))
        result: Doubles = q - 2.0 * c * s + c * c * n
        return result

    def best_scale(self, differences: Doubles, scale: float) -> float:
        """Return the least-squares scale for the codes that ``scale`` gives."""
        ends = scale * (differences[1:] + differences[:-1]) / 2
        edges = np.concatenate([[0], np.searchsorted(self.x, ends, side="right"), [self.x.size]])
        n, s = np.diff(self.n[edges]), np.diff(self.s[edges])
        power = float(n @ differences**2)
        new = float(s @ differences) / power if power > 0 else scale
        return new if new > 0 else scale


def _choose(
    points: _Points, d: Doubles, scale: float, count: int
) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Return error, scale and the best differences (indices into ``d``) for a scale."""
    level = scale * d
    at = np.searchsorted(points.x, level, side="right")
    left = points.cost(np.zeros_like(at), at, level)
    right = points.cost(at, np.full_like(at, points.x.size), level)
    middle = np.searchsorted(points.x, (level[:, None] + level[None]) / 2, side="right")
    between = points.cost(at[:, None], middle, level[:, None])
    between = between + points.cost(middle, at[None], level[None])
    between[np.tril_indices(d.size)] = np.inf
    results = []
    for from_bottom in (True, False):
        start = left.copy()
        if from_bottom:
            start[1:] = np.inf
        final = right if from_bottom else np.where(np.arange(d.size) == d.size - 1, right, np.inf)
        results.append(_path(start, between, final, count))
    error, chosen = min(results, key=lambda r: r[0])
    return error, scale, chosen


def _path(
    start: Doubles, between: Doubles, final: Doubles, count: int
) -> tuple[float, npt.NDArray[np.int64]]:
    """Return cost and nodes of the cheapest path of ``count`` nodes."""
    best, choices = start, []
    for _ in range(count - 1):
        total = best[:, None] + between
        choice = total.argmin(0)
        best = np.take_along_axis(total, choice[None], 0)[0]
        choices.append(choice)
    total = best + final
    node = int(total.argmin())
    error = float(total[node])
    chosen = [node]
    for choice in reversed(choices):
        chosen.append(int(choice[chosen[-1]]))
    return error, np.array(chosen[::-1], np.int64)
