"""Which rows error feedback fixes first: those that will be furthest off and matter most.

The error that is left is ``sum_j r_j d_j**2``: ``d_j`` how far a row is from the nearest values it
can reach, ``r_j`` the variance of its input given the inputs of all rows fixed after it.  What is
fixed first is made good by all others, so it should be what has much of both.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

#: Rows up to which conditional variances are worked out; beyond, plain ones stand for them.
MOST_CONDITIONED: Final = 640


def hardest_last(h: Tensor, error: Tensor) -> Tensor:
    """Return the order of rows for :func:`~cimc.remap.feedback.feedback`, the first fixed last.

    Args:
        h: Damped second moments, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        error: Weights less the nearest values they reach, ``(groups, rows, columns)``.

    Returns:
        int64 ``(groups, rows)`` (or one for all groups where there is one group).
    """
    size = error.square().mean(2, dtype=torch.float64)
    # A row that needs nothing is fixed last of all, among its likes by curvature.
    size = size + 1e-6 * size.mean(1, keepdim=True) + 1e-30
    variance = h.diagonal(dim1=1, dim2=2).double()
    if len(h) == 1 and h.shape[1] <= MOST_CONDITIONED and len(size) == 1:
        return _greedy(h[0], size[0])[None]
    return torch.argsort(variance * size, dim=1, stable=True)


def _greedy(h: Tensor, size: Tensor) -> Tensor:
    """Take the row with the least conditional variance times error again and again.

    A Cholesky factorization that pivots on the least instead of the greatest.
    """
    a, d = h.double().numpy(), size.numpy()
    n = len(a)
    factor, variance = np.zeros((n, n)), a.diagonal().copy()
    left, order = np.ones(n, dtype=bool), np.empty(n, dtype=np.int64)
    floor = 1e-12 * variance.max()
    for k in range(n):
        j = int(np.where(left, variance * d, np.inf).argmin())
        order[k], left[j] = j, False
        column = a[j] - factor[:k].T @ factor[:k, j]
        factor[k] = column / np.sqrt(max(variance[j], floor))
        variance = np.maximum(variance - factor[k] ** 2, floor)
    return torch.from_numpy(order)
