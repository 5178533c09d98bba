"""Levels that are sums of a few multipliers: ``{<r, S> + c | S in {0, 1}^n}`` ([NM] Eq. 4).

Uniform levels of n bits are the multipliers 1, 2, 4, ... [NM Eq. 3].  Free multipliers put levels
where values are, and cells can still hold a bit each ([NM] §5.4, Fig. 7).  [NM] learns them in
training; here they are fitted to given values, by alternating

* the nearest level of each value, exactly (all ``2**n`` levels sorted, sums over intervals);
* the multipliers and offset with the least squared error for those, exactly (``n + 1`` linear
  equations),

as LQ-Nets (Zhang et al. 2018) do.  Neither step makes the error larger, so the result is never
worse than a start; the uniform fits are among the starts.  All columns, and all starts, are done
at once.  Local minima are left again, see :mod:`cimc.quantizers.slice_descent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.device.slices import canonical, sliced_levels
from cimc.errors import UsageError
from cimc.quantizers import codes as coding
from cimc.quantizers.arrays import Codes, Doubles, Floats, Numbers, as_float32, check_finite
from cimc.quantizers.columns import lloyd_columns
from cimc.quantizers.lloyd import lloyd
from cimc.quantizers.slice_descent import COLUMN, LAYER, MOST_ROUNDS, Effort, alternate, wander
from cimc.quantizers.slice_points import Points, binned, columns_of
from cimc.quantizers.uniform import UniformResult, uniform, uniform_columns

#: Ratios of one multiplier to the next that are tried, and shares of the range of the values.
_RATIOS: Final = (1.3, 1.5, 1.7, 2.0)
_SHARES: Final = (0.4, 0.55, 0.7, 0.85, 1.0)
#: Alternations of every start, and how many of the best go on.
_FIRST_ROUNDS, _KEPT = 6, 4
#: Most multipliers: a code is a byte.
MOST_SLICES: Final = 8
#: Levels up to which the best free levels of columns are worth their time as a start.
_MOST_LLOYD: Final = 64
#: Interval sums held at once; columns are done in groups that respect it.
_MEMORY: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class NMultiplierResult:
    """Levels that are sums of multipliers.

    Attributes:
        multipliers: ``r``, none negative, ascending, float32 ``(n,)`` or ``(columns, n)``.
        offset: ``c``, float32 ``()`` or ``(columns,)``.
        levels: The ``2**n`` sums, ascending, float32 ``(v,)`` or ``(columns, v)``.
        boundaries: End points between levels, float32 ``(v - 1,)`` or ``(columns, v - 1)``.
        distortion: (Weighted) mean squared error, float64 ``()`` or ``(columns,)``; NaN where
            it was not worked out.
    """

    multipliers: Floats
    offset: Floats
    levels: Floats
    boundaries: Floats
    distortion: Doubles

    def codes(self, values: Numbers) -> Codes:
        """Return the index of the nearest level of each value, uint8 of the same shape."""
        if self.levels.ndim == 1:
            return coding.encode(values, self.boundaries)
        return coding.encode_columns(values, self.boundaries)


def slices_of(levels: int) -> int:
    """Return the multipliers that so many levels take.

    Raises:
        UsageError: CIMC-U37, the number is no power of two from 2 to 256.
    """
    n = max(0, levels.bit_length() - 1)
    if not 1 <= n <= MOST_SLICES or levels != 2**n:
        raise UsageError(
            "CIMC-U37",
            f"{levels} levels asked for; sums of multipliers have 2, 4, 8, ... or 256",
            hint=f"{2 ** min(max(n, 1), MOST_SLICES)} levels, or another quantizer",
        )
    return n


def n_multiplier(
    values: Numbers, levels: int, *, weights: Numbers | None = None
) -> NMultiplierResult:
    """Fit multipliers and an offset to all values at least (weighted) mean squared error.

    Args:
        values: Any shape; taken as float32.
        levels: Number of levels, a power of two, 2..256.
        weights: Importance of each value, positive or zero, same shape; None: equal.

    Raises:
        UsageError: CIMC-U30 (no values, not finite), U32 (weights), U37 (levels).
    """
    n = slices_of(levels)
    x = as_float32(values).reshape(-1)
    check_finite(x)
    w = None if weights is None else as_float32(weights, "weights").reshape(-1)
    points = binned(x, w)
    guides = [
        lloyd(values, levels, weights=weights).levels,
        uniform(x, levels, grid="free").levels,
        uniform(x, levels).levels,
    ]
    r, c, error = _fit(points, n, [_padded(g[None], levels) for g in guides], LAYER)
    found = _result(r, c, error)
    return NMultiplierResult(
        found.multipliers[0], found.offset[0], found.levels[0], found.boundaries[0],
        found.distortion[0],
    )  # fmt: skip


def n_multiplier_columns(
    matrix: Numbers, levels: int, *, weights: Numbers | None = None
) -> NMultiplierResult:
    """Fit multipliers and an offset to each column of ``(rows, columns)``.

    Args:
        matrix: Taken as float32.
        levels: Number of levels, a power of two, 2..256.
        weights: Importance of each row, positive, ``(rows,)``; None: equal.

    Raises:
        UsageError: As :func:`n_multiplier`.
    """
    n = slices_of(levels)
    x = as_float32(matrix)
    check_finite(x)
    w = None if weights is None else as_float32(weights, "weights").astype(np.float64)
    guides = [uniform_columns(x, levels, grid=grid).levels for grid in ("free", "symmetric")]
    if levels <= _MOST_LLOYD:
        guides.append(lloyd_columns(x, levels, weights=weights).levels)
    starts = max(len(_RATIOS) * len(_SHARES) + 2 * len(guides), COLUMN.drawn)
    step = max(1, _MEMORY // (starts * levels * 4 + x.shape[0]))
    parts = []
    for first in range(0, x.shape[1], step):
        some = slice(first, first + step)
        points = columns_of(x[:, some], w)
        parts.append(_fit(points, n, [g[some] for g in guides], COLUMN))
    return _result(*(torch.cat(p) for p in zip(*parts, strict=True)))


def powers_of_two(fit: UniformResult, n: int) -> NMultiplierResult:
    """Return uniform levels as sums of multipliers, each twice the one before [NM Eq. 3].

    Args:
        fit: ``2**n`` levels, or one where all values are equal; or those of columns.
        n: Multipliers.
    """
    r = fit.step[..., None] * np.float32(2.0) ** np.arange(n, dtype=np.float32)
    error = np.full(fit.step.shape, np.nan)
    return _result(*(torch.from_numpy(np.asarray(a)) for a in (r, fit.levels[..., 0], error)))


def _padded(levels: Floats, count: int) -> Floats:
    """Return levels repeated at the end to so many, ``(columns, count)``."""
    return np.pad(levels, ((0, 0), (0, count - levels.shape[1])), mode="edge")


def _result(r: Tensor, c: Tensor, error: Tensor) -> NMultiplierResult:
    r, c = r.to(torch.float32), c.to(torch.float32)
    levels, _ = sliced_levels(r, c)
    table = levels.numpy()
    return NMultiplierResult(r.numpy(), c.numpy(), table, coding.boundaries(table), error.numpy())


def _fit(
    points: Points, n: int, guides: list[Floats], effort: Effort
) -> tuple[Tensor, Tensor, Tensor]:
    """Return multipliers ``(columns, n)``, offsets and errors ``(columns,)``, float64."""
    r, c = _starts(points, n, guides)
    r, c, error = alternate(points, r, c, _FIRST_ROUNDS)
    best = error.topk(min(_KEPT, error.shape[1]), dim=1, largest=False).indices
    r = torch.gather(r, 1, best[:, :, None].expand(-1, -1, n))
    r, c, error = alternate(points, r, torch.gather(c, 1, best), MOST_ROUNDS)
    first = error.argmin(1, keepdim=True)
    r = torch.gather(r, 1, first[:, :, None].expand(-1, -1, n))[:, 0]
    c, error = torch.gather(c, 1, first)[:, 0], torch.gather(error, 1, first)[:, 0]
    # One multiplier is two free levels: the best of these, a guide, cannot be bettered.
    return (r, c, error) if n == 1 else wander(points, r, c, effort)


def _starts(points: Points, n: int, guides: list[Floats]) -> tuple[Tensor, Tensor]:
    """Return starts: multipliers ``(columns, starts, n)`` and offsets ``(columns, starts)``."""
    low, high = points.x[:, :1], points.x[:, -1:]
    powers = torch.arange(n, dtype=torch.float64)
    shapes = torch.stack([ratio**powers / (ratio**powers).sum() for ratio in _RATIOS])
    shapes = shapes.repeat(len(_SHARES), 1)
    shares = torch.tensor(_SHARES, dtype=torch.float64).repeat_interleave(len(_RATIOS))
    span = (high - low) * shares
    r = [span[:, :, None] * shapes]
    c = [(points.mean[:, None] - span / 2).clamp(min=low)]
    # The bits that count the levels of a guide, in the multipliers that come nearest to it.
    bits = ((torch.arange(2**n)[:, None] >> torch.arange(n)) & 1).double()
    basis = torch.cat([bits, torch.ones(2**n, 1, dtype=torch.float64)], 1)
    inverse = torch.linalg.pinv(basis)
    for guide in guides:
        solved = torch.from_numpy(guide.astype(np.float64)) @ inverse.T
        r += [solved[:, None, :n], _taken_apart(guide, n)[:, None]]
        c += [solved[:, None, n], torch.from_numpy(guide[:, :1].astype(np.float64))]
    return canonical(torch.cat(r, 1), torch.cat(c, 1))


def _taken_apart(levels: Floats, n: int) -> Tensor:
    """Return multipliers whose sums these levels are, where they are sums; ``(columns, n)``.

    The least difference to the lowest level is a multiplier; so is the least one left when all
    sums of those known are struck out, and so on.
    """
    left = torch.from_numpy(levels.astype(np.float64))
    left = left - left[:, :1]
    struck = torch.zeros(left.shape, dtype=torch.bool)
    struck[:, 0] = True
    sums, found = left[:, :1], []
    for _ in range(n):
        found.append(left.masked_fill(struck, torch.inf).amin(1))
        new = sums + found[-1][:, None]
        for one in new.unbind(1):
            away = (left - one[:, None]).abs().masked_fill(struck, torch.inf)
            struck.scatter_(1, away.argmin(1, keepdim=True), True)
        sums = torch.cat([sums, new], 1)
    return torch.stack(found, 1)
