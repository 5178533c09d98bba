"""Uniform quantizers: equally spaced levels over a range that is the largest value or the best.

A range narrower than the largest value clips the few large values and resolves the many small
ones better.  The best range has no closed form; several shares of the full range are tried, each
is polished by alternating codes with the exact least-squares step (and offset), and the best wins.
All columns are done at once; a whole layer is one column of a few thousand weighted bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

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
    check_finite,
    check_levels,
)

Range = Literal["mse", "max"]
Grid = Literal["symmetric", "zero", "free"]

#: Shares of the full range that are tried.
_SHARES: Final = np.concatenate([np.linspace(0.1, 1.0, 19), [1.1]])
#: Alternations of codes and step after each.
_ROUNDS: Final = 12
#: Values above which a layer is binned before the search, and the bins.
_BINS: Final = 1 << 13


@dataclass(frozen=True, slots=True)
class UniformResult:
    """Equally spaced levels.

    Attributes:
        levels: Ascending, float32 ``(v,)``, or ``(columns, v)``.
        boundaries: End points between levels, float32 ``(v - 1,)`` or ``(columns, v - 1)``.
        step: Distance of two levels, float32 ``()`` or ``(columns,)``.
    """

    levels: Floats
    boundaries: Floats
    step: Floats

    def codes(self, values: Numbers) -> Codes:
        """Return the index of the nearest level of each value, uint8 of the same shape."""
        if self.levels.ndim == 1:
            return coding.encode(values, self.boundaries)
        return coding.encode_columns(values, self.boundaries)


def uniform(
    values: Numbers, levels: int, *, clip: Range = "mse", grid: Grid = "symmetric"
) -> UniformResult:
    """Fit equally spaced levels to all values.

    Args:
        values: Any shape; taken as float32.
        levels: Number of levels, 2..256.
        clip: ``mse``: the range with the least squared error; ``max``: the largest magnitude is
            a level.
        grid: ``symmetric``: levels mirror around 0, which is one of them when their number is
            odd; ``zero``: 0 is a level whatever their number (an even number has one more on the
            side that needs it), so that pruned weights stay pruned; ``free``: any offset.

    Returns:
        The levels; all equal values give that value as the only level.

    Raises:
        UsageError: CIMC-U30 (no values, not finite), U31 (levels), U33 (unknown clip or grid).
    """
    x = as_float32(values).reshape(-1)
    check_finite(x)
    if x.size <= _BINS:
        points, weights = x.astype(np.float64)[:, None], np.ones((x.size, 1))
    else:
        points, weights = _binned(x)
    result = _fit(points, weights, levels, clip, grid)
    table = np.unique(result.levels[0])
    return UniformResult(table, coding.boundaries(table), result.step[0])


def uniform_columns(
    matrix: Numbers, levels: int, *, clip: Range = "mse", grid: Grid = "symmetric"
) -> UniformResult:
    """Fit equally spaced levels to each column of ``(rows, columns)``; see :func:`uniform`.

    A column of equal values has that value for every level (and codes 0).
    """
    x = as_float32(matrix)
    if x.ndim != 2:
        raise UsageError("CIMC-U33", f"columns of a matrix asked for, not of shape {x.shape}")
    check_finite(x)
    return _fit(x.astype(np.float64), np.ones((1, 1)), levels, clip, grid)


def _binned(x: Floats) -> tuple[Doubles, Doubles]:
    """Return bin means and counts as a weighted column, extremes in bins of their own."""
    x = np.sort(x)
    by_count = np.linspace(0, x.size, _BINS // 2, endpoint=False).astype(np.int64)
    grid = np.linspace(x[0], x[-1], _BINS // 2, dtype=np.float64).astype(np.float32)
    cuts = np.searchsorted(x, np.concatenate([x[by_count], grid]))
    cuts = np.unique(np.concatenate([cuts[cuts < x.size], [0, 1, x.size - 1]]))
    count = np.diff(cuts, append=x.size).astype(np.float64)
    return (np.add.reduceat(x, cuts, dtype=np.float64) / count)[:, None], count[:, None]


def _fit(x: Doubles, w: Doubles, levels: int, clip: str, grid: str) -> UniformResult:
    """Fit each column of ``(n, columns)``; ``w`` broadcasts against ``x``."""
    check_levels(levels)
    if clip not in ("mse", "max") or grid not in ("symmetric", "zero", "free"):
        raise UsageError("CIMC-U33", f"no clip '{clip}' or no grid '{grid}'")
    candidates = []
    for first in _first_codes(levels, grid):
        low, high = x.min(0), x.max(0)
        if grid != "free":
            last = first + levels - 1
            up = high / last if last > 0 else np.zeros_like(high)
            down = low / first if first < 0 else np.zeros_like(low)
            full, low = np.maximum(np.maximum(up, down), 0.0), np.zeros_like(low)
        else:
            full = (high - low) / (levels - 1)
        shares = _SHARES if clip == "mse" else np.ones(1)
        for share in shares:
            step = full * share
            offset = low + (1.0 - share) * 0.5 * full * (levels - 1) if grid == "free" else low
            fixed = clip == "max"
            candidates.append(_polished(x, w, step, offset, first, levels, grid, fixed))
    error, step, offset, first_code = (
        np.stack([np.broadcast_to(c[k], c[0].shape) for c in candidates]) for k in range(4)
    )
    best = error.argmin(0)[None]
    step, offset, first_code = (
        np.take_along_axis(a, best, 0)[0] for a in (step, offset, first_code)
    )
    index = first_code[:, None] + np.arange(levels)
    table = (offset[:, None] + index * step[:, None]).astype(np.float32)
    equal = x.min(0) == x.max(0)
    table = np.where(equal[:, None], x[:1].T.astype(np.float32), table)
    step = np.where(equal, 0.0, step)
    return UniformResult(table, coding.boundaries(table), step.astype(np.float32))


def _first_codes(levels: int, grid: str) -> tuple[float, ...]:
    """Return the first multiple of the step of each grid to try."""
    if grid == "free":
        return (0.0,)
    if grid == "symmetric" or levels % 2:
        return (-(levels - 1) / 2,)
    return (-levels / 2, -levels / 2 + 1)


def _polished(
    x: Doubles,
    w: Doubles,
    step: Doubles,
    offset: Doubles,
    first: float,
    levels: int,
    grid: str,
    fixed: bool,
) -> tuple[Doubles, Doubles, Doubles, npt.NDArray[Any]]:
    """Alternate codes and least-squares step (and offset); return error, step, offset, first."""
    for done in range(_ROUNDS):
        safe = np.where(step > 0, step, 1.0)
        k = np.clip(np.rint((x - offset) / safe - first), 0, levels - 1) + first
        error = (w * (x - offset - k * step) ** 2).sum(0)
        if fixed or done == _ROUNDS - 1:
            break
        step, offset = _least_squares(x, w, k, step, offset, grid)
    return error, step, offset, np.full(1, first)


def _least_squares(
    x: Doubles, w: Doubles, k: Doubles, step: Doubles, offset: Doubles, grid: str
) -> tuple[Doubles, Doubles]:
    """Return the best step and offset for codes ``k``; a step that would vanish stays."""
    if grid != "free":
        power = (w * k * k).sum(0)
        new = (w * k * x).sum(0) / np.where(power > 0, power, 1.0)
        return np.where((power > 0) & (new > 0), new, step), offset
    total = np.broadcast_to(w, x.shape).sum(0)
    mean_k, mean_x = (w * k).sum(0) / total, (w * x).sum(0) / total
    power = (w * (k - mean_k) ** 2).sum(0)
    slope = (w * (k - mean_k) * (x - mean_x)).sum(0) / np.where(power > 0, power, 1.0)
    step = np.where((power > 0) & (slope > 0), slope, step)
    return step, mean_x - step * mean_k
