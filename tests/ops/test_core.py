"""Core operators by themselves: what they refuse, empty tensors, gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops import (
    activation,
    arithmetic,
    convolution,
    indexing,
    layout,
    normalization,
    pooling,
    product,
    reduction,
)
from cimc.ops.window import window


def i(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


X = torch.arange(24.0).reshape(2, 3, 4)
IMAGE = torch.arange(32.0).reshape(1, 2, 4, 4)
W = torch.ones(3, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: layout.reshape(X, i(5, -1)), "(2, 3, 4) cannot be reshaped to [5, -1]"),
        (lambda: layout.reshape(X, i(-1, -1)), "cannot be reshaped"),
        (lambda: layout.reshape(X, i(0, 0), allowzero=True), "cannot be reshaped"),
        (lambda: layout.squeeze(X, i(0)), "are not all 1"),
        (lambda: layout.unsqueeze(X, i(0, 0)), "axes [0, 0]"),
        (lambda: layout.split(X, i(1, 2)), "2 elements cannot be split into [1, 2]"),
        (lambda: layout.split(X), "needs sizes"),
        (lambda: layout.split(X, num_outputs=10**9), "(got 1000000000)"),
        (
            lambda: pooling.average_pool(IMAGE, kernel_shape=[3, 3], dilations=[2, 2]),
            "a window of [3, 3] on [4, 4] elements",
        ),
        (lambda: pooling.max_pool(IMAGE, kernel_shape=[5, 1]), "a window of [5, 1]"),
        (lambda: layout.concat(X, X[0], axis=0), "ranks [3, 2]"),
        (lambda: layout.arange(i(0)[0], i(1)[0], i(0)[0]), "step 0"),
        (lambda: indexing.gather(X, i(3), axis=1), "index 3 of an axis of size 3"),
        (lambda: indexing.gather(X, i(-4), axis=1), "index -4"),
        (lambda: indexing.gather(X, i(0), axis=3), "axes [3]"),
        (lambda: indexing.slice_axes(X, i(0), i(1), i(0), i(0)), "slice"),
        (lambda: indexing.pad(X, i(1, 1)), "pads [1, 1] for 3 axes"),
        (lambda: indexing.pad(X, i(0, 0, 1, 0, 0, 0), mode="circular"), "'circular'"),
        (lambda: indexing.pad(X[:, :, :0], i(0, 0, 1, 0, 0, 0), mode="edge"), "without elements"),
        (lambda: reduction.reduce_sum(X, i(3)), "axes [3] of a tensor with 3 axes"),
        (lambda: reduction.reduce_sum(X, i(1, -2)), "axes [1, -2]"),
        (lambda: reduction.reduce_mean(i()), "mean of no integers"),
        (lambda: arithmetic.sum(), "at least one"),
        (lambda: layout.flatten(X, axis=4), "axis 4"),
        (
            lambda: normalization.group_normalization(
                IMAGE, torch.ones(2), torch.ones(2), num_groups=3
            ),
            "2 channels, 3 groups",
        ),
        (lambda: normalization.lrn(IMAGE, size=0), "0 channels"),
        (lambda: convolution.conv(IMAGE, W[:, :1]), "do not fit"),
        (lambda: convolution.conv(IMAGE, W, group=2), "do not fit"),
        (lambda: convolution.conv(IMAGE, W, pads=[1, 1]), "pads must be 4 integers"),
        (lambda: convolution.conv(IMAGE, W, strides=[0, 1]), "strides must be 2 integers"),
        (lambda: convolution.conv(IMAGE, W, kernel_shape=[2, 2]), "kernel_shape [2, 2]"),
        (lambda: convolution.conv(IMAGE, W, auto_pad="SAME"), "auto_pad 'SAME'"),
        (lambda: convolution.conv(IMAGE, W[..., 0]), "on 2 spatial axes"),
        (lambda: convolution.conv(IMAGE[:, :, :0], W, pads=[1, 1, 1, 1]), "has sizes [0, 4]"),
        (lambda: convolution.conv_transpose(IMAGE, W), "transposed convolution"),
        (
            lambda: convolution.conv_transpose(
                IMAGE, W.transpose(0, 1), strides=[2, 2], output_padding=[2, 0]
            ),
            "output_padding [2, 0]",
        ),
        (lambda: pooling.max_pool(IMAGE, kernel_shape=[2]), "on 2 spatial axes"),
    ],
)
def test_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        call()
    assert caught.value.code == "CIMC-M19"
    assert words in caught.value.message


def test_empty_batches_pass_through() -> None:
    image = IMAGE[:0]
    assert convolution.conv(image, W, pads=[1, 1, 1, 1]).shape == (0, 3, 4, 4)
    assert convolution.conv_transpose(image, W.transpose(0, 1)).shape == (0, 3, 6, 6)
    assert pooling.max_pool(image, kernel_shape=[2, 2]).shape == (0, 2, 3, 3)
    assert pooling.average_pool(image, kernel_shape=[2, 2]).shape == (0, 2, 3, 3)
    assert pooling.global_average_pool(image).shape == (0, 2, 1, 1)
    assert product.matmul(torch.ones(0, 3), torch.ones(3, 2)).shape == (0, 2)
    assert product.matmul(torch.ones(2, 0), torch.ones(0, 3)).eq(0).all()
    assert product.gemm(torch.ones(0, 3), torch.ones(3, 2), torch.ones(2)).shape == (0, 2)
    assert activation.softmax(torch.ones(0, 3)).shape == (0, 3)
    assert layout.flatten(image).shape == (0, 32)
    assert layout.reshape(image, i(0, -1)).shape == (0, 32)


def test_layers_without_weights() -> None:
    """No channels in: the bias.  No channels out: nothing."""
    bias = torch.arange(4.0)
    y = convolution.conv(IMAGE[:, :0], torch.ones(4, 0, 3, 3), bias)
    assert torch.equal(y, bias.reshape(1, 4, 1, 1).expand(1, 4, 2, 2))
    assert convolution.conv(IMAGE, torch.ones(0, 2, 3, 3), strides=[1, 2]).shape == (1, 0, 2, 1)
    y = convolution.conv_transpose(IMAGE[:, :0], torch.ones(0, 4, 3, 3), bias, strides=[2, 1])
    assert torch.equal(y, bias.reshape(1, 4, 1, 1).expand(1, 4, 9, 6))
    assert convolution.conv_transpose(IMAGE, torch.ones(2, 0, 3, 3)).shape == (1, 0, 6, 6)
    zero = torch.ones(0)
    x = torch.ones(2, 0, 3)
    assert normalization.batch_normalization(x, zero, zero, zero, zero).shape == (2, 0, 3)


def test_reductions_of_nothing() -> None:
    empty = torch.ones(2, 0)
    assert reduction.reduce_sum(empty, i(1)).tolist() == [[0.0], [0.0]]
    assert reduction.reduce_prod(empty, i(1)).tolist() == [[1.0], [1.0]]
    assert reduction.reduce_max(empty, i(1)).tolist() == [[-torch.inf]] * 2
    assert reduction.reduce_min(empty.int(), i(1)).tolist() == [[2**31 - 1]] * 2


def test_same_padding_of_an_odd_element() -> None:
    upper = window([5], [2], auto_pad="SAME_UPPER", strides=[1])
    lower = window([5], [2], auto_pad="SAME_LOWER", strides=[1])
    assert (upper.before, upper.after) == ((0,), (1,))
    assert (lower.before, lower.after) == ((1,), (0,))


def test_falling_slices() -> None:
    x = torch.arange(5)
    assert indexing.slice_axes(x, i(-1), i(-(2**40)), i(0), i(-2)).tolist() == [4, 2, 0]
    assert indexing.slice_axes(x, i(-9), i(-(2**40)), i(0), i(-1)).tolist() == [0]
    assert indexing.slice_axes(x, i(3), i(0), i(0), i(-1)).tolist() == [3, 2, 1]
    assert indexing.slice_axes(x[:0], i(3), i(-(2**40)), i(0), i(-1)).tolist() == []


def test_integer_division_truncates() -> None:
    assert arithmetic.div(i(7, -7, 7, -7), i(2, 2, -2, -2)).tolist() == [3, -3, -3, 3]
    assert arithmetic.mod(i(7, -7), i(3, 3)).tolist() == [1, 2]
    assert arithmetic.mod(i(7, -7), i(3, 3), fmod=True).tolist() == [1, -1]


def test_unsigned_wrap_around() -> None:
    a = torch.tensor([1, 2], dtype=torch.uint32)
    b = torch.tensor([2, 1], dtype=torch.uint32)
    assert arithmetic.sub(a, b).tolist() == [2**32 - 1, 1]
    top = torch.tensor([2**63 + 5, 1], dtype=torch.uint64)
    assert reduction.reduce_max(top).tolist() == [2**63 + 5]
    assert reduction.arg_max(top).tolist() == [0]
    assert reduction.arg_min(top).tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_unsigned_types_torch_hardly_knows(dtype: torch.dtype) -> None:
    x = torch.tensor([[3, 1], [2, 5]]).to(dtype)
    for y, values in (
        (reduction.reduce_sum(x), [[11]]),
        (reduction.reduce_prod(x, i(1)), [[3], [10]]),
        (reduction.reduce_mean(x, i(1)), [[2], [3]]),
        (reduction.reduce_min(x, i(0)), [[2, 1]]),
        (indexing.slice_axes(x, i(-1), i(-9), i(1), i(-1)), [[1, 3], [5, 2]]),
        (indexing.gather_elements(x, i(1, 0).reshape(2, 1), axis=1), [[1], [2]]),
        (product.gemm(x, x, x), [[14, 9], [18, 32]]),
        (activation.prelu(x, x), [[3, 1], [2, 5]]),
        (arithmetic.clip(x, x[1, 0], x[0, 0]), [[3, 2], [2, 3]]),
    ):
        assert y.dtype == dtype
        assert y.tolist() == values


GRADIENTS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("conv", lambda x: convolution.conv(x, W.double(), pads=[1, 0, 0, 1])),
    ("conv weight", lambda x: convolution.conv(IMAGE.double(), x.reshape(4, 2, 2, 2))),
    ("conv_transpose", lambda x: convolution.conv_transpose(x, W.transpose(0, 1).double())),
    ("max_pool", lambda x: pooling.max_pool(x, kernel_shape=[2, 2], ceil_mode=True)),
    ("average_pool", lambda x: pooling.average_pool(x, kernel_shape=[3, 2], pads=[1, 1, 1, 1])),
    ("lp_pool", lambda x: pooling.lp_pool(x, kernel_shape=[2, 2])),
    ("lrn", lambda x: normalization.lrn(x, size=3)),
    (
        "instance_normalization",
        lambda x: normalization.instance_normalization(
            x, torch.ones(2).double(), torch.ones(2).double()
        ),
    ),
    (
        "layer_normalization",
        lambda x: normalization.layer_normalization(x, torch.ones(4).double()),
    ),
    ("gelu", activation.gelu),
    ("hard_swish", activation.hard_swish),
    ("selu", activation.selu),
    ("mish", activation.mish),
    ("softmax", activation.softmax),
    ("slice", lambda x: indexing.slice_axes(x, i(3), i(-9), i(2), i(-2))),
    ("gather", lambda x: indexing.gather(x, i(0, -1), axis=2)),
    ("pad", lambda x: indexing.pad(x, i(0, 0, 1, -1, 0, 0, 1, 2), mode="constant")),
    ("reduce_log_sum_exp", lambda x: reduction.reduce_log_sum_exp(x, i(-1))),
    ("gemm", lambda x: product.gemm(x.reshape(8, 4), torch.ones(3, 4).double(), transB=True)),
]


@pytest.mark.parametrize("function", [f for _, f in GRADIENTS], ids=[n for n, _ in GRADIENTS])
def test_gradients(function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,), fast_mode=True)
