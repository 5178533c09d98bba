"""Operators that write elements, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.scatter import scatter_elements, tensor_scatter
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
def test_elements_that_meet(reduction):
    given = {"x": normal(4, 5), "i": DRAW.integers(-4, 4, size=(3, 5)), "u": normal(3, 5)}
    agree("ScatterElements", given, reduction=reduction)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_replaced(axis):
    x = normal(4, 5)
    rows = np.stack([DRAW.permutation(x.shape[axis])[:2] for _ in range(x.shape[1 - axis % 2])])
    indices = rows.T if axis == 0 else rows
    agree("ScatterElements", {"x": x, "i": indices.copy(), "u": normal(*indices.shape)}, axis=axis)


def test_the_old_name():
    given = {"x": normal(4, 5), "i": np.array([[0, 3]]), "u": normal(1, 2)}
    agree("Scatter", given, opset=9, axis=1)


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
def test_slices_that_meet(reduction):
    given = {"x": normal(4, 5, 2), "i": DRAW.integers(0, 4, size=(6, 1)), "u": normal(6, 5, 2)}
    agree("ScatterND", given, reduction=reduction)


def test_slices_replaced():
    given = {"x": normal(4, 5, 2), "i": np.array([[0, 1], [3, 2], [-1, -1]]), "u": normal(3, 2)}
    agree("ScatterND", given)


def test_the_input_is_not_changed():
    x = torch.zeros(3)
    scatter_elements(x, torch.tensor([1]), torch.ones(1))
    assert not x.any()


def test_an_index_out_of_range():
    with pytest.raises(ModelError) as error:
        scatter_elements(torch.zeros(3), torch.tensor([3]), torch.ones(1))
    assert error.value.code == "CIMC-M39"


def test_a_cache_that_is_full():
    cache = torch.zeros(1, 4, 2)
    wrapped = tensor_scatter(cache, torch.ones(1, 2, 2), torch.tensor([3]), mode="circular")
    assert wrapped[0, :, 0].tolist() == [1, 0, 0, 1]
    with pytest.raises(ModelError):
        tensor_scatter(cache, torch.ones(1, 2, 2), torch.tensor([3]))
