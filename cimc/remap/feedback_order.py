"""Which rows error feedback fixes first: those that will be furthest off and matter most."""

from __future__ import annotations

import torch
from torch import Tensor


def hardest_last(h: Tensor, error: Tensor) -> Tensor:
    """Return the order of rows for :func:`~cimc.remap.feedback.feedback`, the first fixed last.

    What is fixed first is made good by all others, so it should be what has most to be made good:
    by ``h_jj d_j**2``, ``d_j`` how far row j is from the nearest values it can reach.  Conditional
    variances in place of ``h_jj`` gain less than a hundredth once descent follows.

    Args:
        h: Damped second moments, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        error: Weights less the nearest values they reach, ``(groups, rows, columns)``.

    Returns:
        int64 ``(groups, rows)``.
    """
    size = error.square().mean(2, dtype=torch.float64)
    # Rows that need nothing are ordered by curvature, after all others.
    size = size + 1e-6 * size.mean(1, keepdim=True) + 1e-30
    return torch.argsort(h.diagonal(dim1=1, dim2=2).double() * size, dim=1, stable=True)
