"""Einstein sums, determinants and running sums against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.algebra import cum_prod, einsum
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk", [(2, 3, 4), (2, 4, 5)]),
        ("ii->i", [(3, 3)]),
        ("ij->", [(3, 4)]),
        ("b n h d, b m h d -> b h n m", [(2, 3, 4, 5), (2, 6, 4, 5)]),
        ("i,j", [(3,), (4,)]),
    ],
)
def test_einsum(equation, shapes):
    agree("Einsum", {f"x{k}": normal(*s) for k, s in enumerate(shapes)}, equation=equation)


def test_an_equation_that_does_not_fit():
    with pytest.raises(ModelError, match="ij,jk"):
        einsum(torch.zeros(2, 3), torch.zeros(4, 5), equation="ij,jk->ik")


def test_det():
    agree("Det", {"x": normal(2, 3, 3)})


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int64])
def test_cum_sum(exclusive, reverse, kind):
    x = DRAW.integers(-5, 5, size=(3, 4)).astype(kind)
    given = {"x": x, "a": np.array(1)}
    agree("CumSum", given, exclusive=exclusive, reverse=reverse)


def test_cum_prod():
    x = torch.tensor([2.0, 3.0, 4.0])
    axis = torch.tensor(0)
    assert cum_prod(x, axis).tolist() == [2, 6, 24]
    assert cum_prod(x, axis, exclusive=True).tolist() == [1, 2, 6]
    assert cum_prod(x, axis, reverse=True).tolist() == [24, 12, 4]
    assert cum_prod(torch.zeros(0), axis, exclusive=True).shape == (0,)
