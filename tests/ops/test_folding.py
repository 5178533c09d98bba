"""Operators that put patches and pooled values back, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.folding import col2im, max_unpool
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"strides": [2, 1]}, {"dilations": [1, 2]}, {"pads": [1, 0, 1, 2]}],
    ids=["plain", "strides", "dilations", "pads"],
)
def test_col2im(attributes):
    patches = {"": 20, "strides": 10, "dilations": 12, "pads": 42}[next(iter(attributes), "")]
    given = {"x": normal(1, 12, patches), "i": np.array([5, 7]), "b": np.array([2, 3])}
    agree("Col2Im", given, **attributes)


def test_col2im_is_the_transpose_of_unfolding():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64)
    columns = torch.nn.functional.unfold(x, (3, 2), stride=(2, 1), padding=(1, 0))
    y = torch.randn_like(columns)
    back = col2im(y, torch.tensor([6, 5]), torch.tensor([3, 2]), strides=[2, 1], pads=[1, 0, 1, 0])
    torch.testing.assert_close((columns * y).sum(), (x * back).sum())


def test_a_block_that_does_not_fit():
    with pytest.raises(ModelError):
        col2im(torch.zeros(1, 5, 4), torch.tensor([3, 3]), torch.tensor([2, 2]))


def test_max_unpool():
    given = {"x": normal(1, 1, 2, 2), "i": np.array([[[[5, 7], [13, 15]]]])}
    agree("MaxUnpool", given, kernel_shape=[2, 2], strides=[2, 2])


def test_max_unpool_to_another_shape_is_refused():
    """ONNX's reference and onnxruntime read the indices differently there."""
    index = torch.tensor([[[[5, 7], [13, 15]]]])
    with pytest.raises(ModelError, match="output shape"):
        max_unpool(
            torch.zeros(1, 1, 2, 2),
            index,
            torch.tensor([1, 1, 5, 5]),
            kernel_shape=[2, 2],
            strides=[2, 2],
        )


def test_an_index_out_of_range():
    with pytest.raises(ModelError) as error:
        max_unpool(torch.zeros(1, 1, 1, 1), torch.tensor([[[[4]]]]), kernel_shape=[2, 2])
    assert error.value.code == "CIMC-M39"
