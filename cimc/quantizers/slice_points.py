"""Values ready for fits of many codebooks at once: sorted, with prefix sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.quantizers.arrays import Doubles, Floats

#: Bins that the values of a whole layer are gathered in.
_BINS: Final = 1 << 13


@dataclass(frozen=True, slots=True)
class Points:
    """Sorted values of some columns, each less the mean of its column where sums are concerned.

    Attributes:
        x: Ascending values (or means of bins), float64 ``(columns, m)``.
        mean: Weighted mean of each column, ``(columns,)``.
        count: Weight of all values before each, and of all, ``(columns, m + 1)``.
        total: The same of weight times (value less mean).
        energy: Weighted squares of the values less the mean, ``(columns,)``.
    """

    x: Tensor
    mean: Tensor
    count: Tensor
    total: Tensor
    energy: Tensor

    def intervals(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and weighted sum of the values nearest to each level.

        Args:
            levels: Ascending, ``(columns, sets, v)``.

        Returns:
            Two tensors ``(columns, sets, v)``.
        """
        columns, sets, v = levels.shape
        wide = levels.double()
        ends = ((wide[..., 1:] + wide[..., :-1]) / 2).reshape(columns, -1).contiguous()
        inner = torch.searchsorted(self.x, ends, right=True)
        out = []
        for prefix in (self.count, self.total):
            at = torch.gather(prefix, 1, inner).reshape(columns, sets, v - 1)
            last = prefix[:, None, -1:].expand(columns, sets, 1)
            out.append(torch.diff(torch.cat([torch.zeros_like(last), at, last], 2), dim=2))
        count, total = out
        return count, total + count * self.mean[:, None, None]

    def error(self, levels: Tensor, count: Tensor, total: Tensor) -> Tensor:
        """Return the mean squared error of codebooks, given what :meth:`intervals` returns."""
        mean = self.mean[:, None, None]
        q, sums = levels.double() - mean, total - count * mean
        rest = self.energy[:, None] + (q * (q * count - 2.0 * sums)).sum(-1)
        return rest.clamp(min=0.0) / self.count[:, -1:]


def columns_of(matrix: Floats, weights: Doubles | None) -> Points:
    """Return the columns of ``(rows, columns)``, each row as important as its weight.

    Raises:
        UsageError: CIMC-U32, weights that are not one positive number a row.
    """
    w = np.ones(matrix.shape[0]) if weights is None else weights
    if w.shape != matrix.shape[:1] or not np.isfinite(w).all() or w.min() <= 0:
        message = f"weights of shape {w.shape} for {matrix.shape}: one positive weight a row"
        raise UsageError("CIMC-U32", message)
    order = np.argsort(matrix, axis=0)
    x = np.ascontiguousarray(np.take_along_axis(matrix, order, 0).T, np.float64)
    return _points(x, w[order.T], x)


def binned(values: Floats, weights: Floats | None) -> Points:
    """Return all values as one column of bins, by count and by steps, with exact sums.

    Raises:
        UsageError: CIMC-U32, weights of another shape, negative, or all zero.
    """
    if weights is not None and (
        weights.shape != values.shape
        or not np.isfinite(weights).all()
        or weights.min() < 0
        or weights.max() <= 0
    ):
        message = "weights should be finite, positive or zero, not all zero, one a value"
        raise UsageError("CIMC-U32", message)
    order = np.argsort(values)
    x = values[order].astype(np.float64)
    w = np.ones(x.size) if weights is None else weights[order].astype(np.float64)
    if x.size <= _BINS:
        return _points(x[None], w[None], x[None])
    grid = np.searchsorted(x, np.linspace(x[0], x[-1], _BINS // 2))
    even = np.linspace(0, x.size, _BINS // 2, endpoint=False).astype(np.int64)
    cuts = np.unique(np.concatenate([even, grid[grid < x.size]]))
    count = np.add.reduceat(w, cuts)
    kept = count > 0
    cuts, count = cuts[kept], count[kept]
    total = np.add.reduceat(w * x, cuts) if kept.all() else _sums(w * x, cuts, x.size)
    square = np.add.reduceat(w * x * x, cuts) if kept.all() else _sums(w * x * x, cuts, x.size)
    mean = total.sum() / count.sum()
    found = _points((total / count)[None], count[None], (total / count)[None])
    # What the values of a bin deviate from its mean is lost to all codebooks alike.
    exact = square.sum() - mean**2 * count.sum()
    return Points(
        found.x, found.mean, found.count, found.total, torch.tensor([max(exact, 0.0)]).double()
    )


def _sums(parts: Doubles, cuts: np.ndarray, size: int) -> Doubles:
    """Sum from each cut to the next; what lies between has no weight."""
    prefix = np.concatenate([[0.0], np.cumsum(parts)])
    return np.diff(prefix[np.append(cuts, size)])


def _points(x: Doubles, w: Doubles, values: Doubles) -> Points:
    mean = (w * values).sum(1) / w.sum(1)
    around = values - mean[:, None]
    return Points(
        torch.from_numpy(x),
        torch.from_numpy(mean),
        torch.from_numpy(_prefix(w)),
        torch.from_numpy(_prefix(w * around)),
        torch.from_numpy((w * around**2).sum(1)),
    )


def _prefix(parts: Doubles) -> Doubles:
    return np.concatenate([np.zeros((len(parts), 1)), np.cumsum(parts, axis=1)], axis=1)
