"""Operators that choose, place or mark elements, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.selection import non_zero, top_k
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_takes_the_lower_index_of_equal_elements(axis, largest):
    x = DRAW.integers(0, 4, size=(5, 6)).astype(np.float32)
    agree("TopK", {"x": x, "k": np.array([3])}, outputs=2, largest=largest, axis=axis)


def test_top_k_of_old_opsets():
    agree("TopK", {"x": normal(4, 5)}, outputs=2, opset=9, k=2, axis=1)


def test_top_k_of_more_than_there_are():
    with pytest.raises(ModelError, match="4 of 3"):
        top_k(torch.zeros(3), torch.tensor([4]))


def test_non_zero():
    agree("NonZero", {"x": DRAW.normal(size=(3, 4, 2)) > 0})
    assert non_zero(torch.tensor(3.0)).shape == (0, 1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_one_hot_ignores_what_is_out_of_range(axis):
    values = np.array([2.0, 7.0], np.float32)
    indices = DRAW.integers(-5, 7, size=(3, 4))
    agree("OneHot", {"i": indices, "d": np.array(5), "v": values}, axis=axis)


def test_compress():
    condition = np.array([True, False, True])
    agree("Compress", {"x": normal(3, 4), "c": condition}, axis=0)
    agree("Compress", {"x": normal(3, 4), "c": condition})


@pytest.mark.parametrize(("time", "batch"), [(0, 1), (1, 0)])
def test_reverse_sequence(time, batch):
    given = {"x": normal(4, 4, 2), "l": np.array([1, 4, 2, 3])}
    agree("ReverseSequence", given, time_axis=time, batch_axis=batch)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-2, 0, 3])
def test_trilu(upper, k):
    agree("Trilu", {"x": normal(2, 4, 5), "k": np.array(k)}, upper=upper)


@pytest.mark.parametrize("k", [-1, 0, 2])
def test_eye_like(k):
    agree("EyeLike", {"x": normal(3, 4)}, k=k, dtype=7)


@pytest.mark.parametrize("shape", [(8, 5), (3, 11), (5, 8), (4, 7)])
def test_center_crop_pad(shape):
    agree("CenterCropPad", {"x": normal(5, 8), "s": np.array(shape)})
