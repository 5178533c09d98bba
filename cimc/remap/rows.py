"""Logical rows to physical word lines, by linear assignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.quantizers.feedback import DAMP, damped

Index = npt.NDArray[np.int64]


def importance_of(
    blocks: Sequence[tuple[slice, Tensor]],
    row_tiles: npt.NDArray[np.int32],
    shape: tuple[int, int, int],
    damp: float = DAMP,
) -> Tensor:
    """Return how much an error of each row matters that the other rows cannot make good.

    That is ``1 / (H^-1)_ii`` of the rows of its tile: what is left of ``H_ii`` when all others are
    free to move.  Rows are assigned before error feedback, so the diagonal of H itself would
    overrate errors that feedback repairs (docs/layout.md).

    Args:
        blocks: Rows and the second moments (or covariances) of their inputs, as
            :meth:`cimc.quantizers.curvature.Curvature.blocks` returns them; rows of none get 1.
        row_tiles: First row and rows of each row tile, int32 ``(t, 2)``.
        shape: Groups, rows and columns of the layer.
        damp: Share of its mean added to the diagonal of H [-].

    Returns:
        float32 ``(groups, rows)``.
    """
    out = torch.ones(shape[:2])
    for rows, moments in blocks:
        h = damped(moments, damp)
        for first, count in row_tiles.tolist():
            low, high = max(first, rows.start), min(first + count, rows.stop)
            if low < high:
                own = slice(low - rows.start, high - rows.start)
                out[:, low:high] = _left(h[:, own, own].double())
    return out


def _left(h: Tensor) -> Tensor:
    """Return ``1 / diag(H^-1)``, or ``diag(H)`` where H is not definite."""
    factor, failed = torch.linalg.cholesky_ex(h)
    if bool(failed.any()):
        return h.diagonal(dim1=1, dim2=2).to(torch.float32)
    inverse = torch.cholesky_inverse(factor)
    return (1.0 / inverse.diagonal(dim1=1, dim2=2)).to(torch.float32)


def assign(cost: npt.NDArray[np.floating]) -> Index:
    """Return the line of each row that makes the sum of costs least.

    Args:
        cost: ``(rows, lines)``, as many lines as rows or more.

    Returns:
        int64 ``(rows,)``, all different.
    """
    from scipy.optimize import linear_sum_assignment  # half a second, and not always needed

    _, lines = linear_sum_assignment(cost)
    found: Index = lines.astype(np.int64)
    return found
