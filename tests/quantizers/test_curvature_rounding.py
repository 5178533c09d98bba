"""Covariances of inputs that hardly vary about a large mean stay covariances."""

from __future__ import annotations

import torch

from cimc.quantizers.curvature import Curvature


def test_no_variance_is_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    curvature = Curvature(1, 64, centered=True)
    for _ in range(4):
        noise = 1e-4 * torch.randn(1000, 1, 64, generator=generator)
        curvature.add(100 + noise)
    ((_, h),) = curvature.blocks()
    assert (h.diagonal(dim1=1, dim2=2) >= 0).all()
