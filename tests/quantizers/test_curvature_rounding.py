"""Covariances of inputs that hardly vary about a large mean stay covariances."""

from __future__ import annotations

import torch

from cimc.quantizers.curvature import Curvature


def test_no_variance_is_negative() -> None:
    """Constant inputs have no variance; float32 sums round to either side of zero."""
    curvature = Curvature(1, 64, centered=True)
    for _ in range(4):
        curvature.add(torch.linspace(0.1, 7.7, 64).expand(1001, 1, 64))
    ((_, h),) = curvature.blocks()
    assert (h.diagonal(dim1=1, dim2=2) >= 0).all()
