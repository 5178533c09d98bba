"""Operators on bits against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.bits import bit_cast
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


KINDS = [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64]


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("kind", KINDS[:4])
def test_shift(direction, kind):
    if kind == np.uint16:
        pytest.skip("onnxruntime has no kernel")
    given = {"a": DRAW.integers(0, 100, 5).astype(kind), "b": DRAW.integers(0, 5, 5).astype(kind)}
    agree("BitShift", given, direction=direction)


@pytest.mark.parametrize("operator", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("kind", KINDS)
def test_pairs(operator, kind):
    given = {k: DRAW.integers(0, 127, size=(3, 4)).astype(kind) for k in "ab"}
    agree(operator, given)


@pytest.mark.parametrize("kind", KINDS)
def test_not(kind):
    agree("BitwiseNot", {"x": DRAW.integers(0, 127, size=5).astype(kind)})


def test_bit_cast():
    x = torch.tensor([1.0, -2.0])
    assert torch.equal(bit_cast(bit_cast(x, to="int32"), to="float32"), x)
    with pytest.raises(ModelError, match="differ in width"):
        bit_cast(x, to="int64")
