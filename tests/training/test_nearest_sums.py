"""The nearest sums of the bits that are left, against all of them, one weight at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.training.nearest_sums import NearestSums

LOW, HIGH = 0.1, 5.1
SHAPE = (2, 7, 5)


def drawn(count: int, *, columns: bool, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stuck conductances, weights, multipliers and offsets."""
    draw = torch.Generator().manual_seed(seed)
    stuck = LOW + (HIGH - LOW) * torch.rand((count, *SHAPE), generator=draw)
    stuck[torch.rand(stuck.shape, generator=draw) < 0.6] = torch.nan
    lead = (SHAPE[0] * SHAPE[2],) if columns else ()
    r = 0.2 + torch.rand((*lead, count), generator=draw)
    c = torch.rand(lead, generator=draw) - 1.5
    return stuck, 2 * torch.randn(SHAPE, generator=draw), r, c


def reach(stuck: Tensor, r: Tensor, c: Tensor, place: tuple[int, ...]) -> list[float]:
    """All values of one weight."""
    group, _, column = place
    at = group * SHAPE[2] + column
    factors, offset = (r, c) if r.ndim == 1 else (r[at], c[at])
    held = [
        (0.0, 1.0) if np.isnan(g) else ((g - LOW) / (HIGH - LOW),)
        for g in stuck[:, *place].tolist()
    ]
    return [
        float(offset) + sum(float(f) * s for f, s in zip(factors, bits, strict=True))
        for bits in product(*held)
    ]


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_nearest_of_all(count: int, *, columns: bool) -> None:
    stuck, matrix, r, c = drawn(count, columns=columns)
    value = NearestSums(tuple(stuck), LOW, HIGH)(matrix, r, c)
    for place in np.ndindex(*SHAPE):
        every = np.array(reach(stuck, r, c, place))
        best = every[np.abs(every - float(matrix[place])).argmin()]
        assert float(value[place]) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("columns", [False, True])
def test_derivatives_are_those_at_fixed_bits(*, columns: bool) -> None:
    stuck, matrix, r, c = drawn(3, columns=columns, seed=1)
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)).double()
    sums = NearestSums(tuple(stuck.double()), LOW, HIGH)
    r, c = r.double().requires_grad_(), c.double().requires_grad_()

    def total(r: Tensor, c: Tensor) -> Tensor:
        return (sums(matrix.double(), r, c) * weight).sum()

    assert torch.autograd.gradcheck(total, (r, c), eps=1e-7)


def test_no_cell_is_healthy() -> None:
    _, matrix, r, c = drawn(2, columns=False)
    value = NearestSums((torch.full(SHAPE, LOW), torch.full(SHAPE, HIGH)), LOW, HIGH)(matrix, r, c)
    torch.testing.assert_close(value, (c + r[1]).expand(SHAPE))
