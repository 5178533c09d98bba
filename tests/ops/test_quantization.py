"""Quantized arithmetic against onnxruntime: the same integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ops.quantization import quantize_linear
from tests.ops.differential import agree

DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def codes(*shape, kind=np.uint8):
    return DRAW.integers(0, 127, size=shape).astype(kind)


def number(value, kind=np.float32):
    return np.array(value, kind)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantize(axis, kind):
    count = (3, 4)[axis]
    scale = np.abs(normal(count)) + 0.1
    given = {"x": normal(3, 4) * 50, "s": scale, "z": codes(count, kind=kind)}
    agree("QuantizeLinear", given, axis=axis, atol=0)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_quantize_to_16_bit(kind):
    given = {"x": normal(3, 4) * 5, "s": number(1e-3), "z": number(100, kind)}
    agree("QuantizeLinear", given, opset=21, atol=0)


def test_quantize_in_blocks():
    given = {"x": normal(3, 7) * 50, "s": np.abs(normal(3, 4)) + 0.1, "z": codes(3, 4)}
    agree("QuantizeLinear", given, opset=21, axis=1, block_size=2, atol=0)


def test_halves_go_to_the_even_integer():
    y = quantize_linear(torch.tensor([0.5, 1.5, 2.5, -0.5, 300.0, -3.0]), torch.tensor(1.0))
    assert y.tolist() == [0, 2, 2, 0, 255, 0]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32])
def test_dequantize(kind):
    zero = None if kind == np.int32 else number(5, kind)
    agree("DequantizeLinear", {"x": codes(3, 4, kind=kind), "s": number(0.3), "z": zero})


def test_dequantize_along_an_axis():
    given = {"x": codes(3, 4, kind=np.int8), "s": np.abs(normal(3)), "z": codes(3, kind=np.int8)}
    agree("DequantizeLinear", given, axis=0)


def test_dynamic_quantization():
    for x in (normal(5, 6), np.abs(normal(5, 6)), np.zeros((2, 2), np.float32)):
        agree("DynamicQuantizeLinear", {"x": x}, outputs=3, atol=0)


def test_integer_products():
    zeros = {"za": number(7, np.uint8), "zb": number(-3, np.int8)}
    agree("MatMulInteger", {"a": codes(3, 4), "b": codes(4, 5, kind=np.int8), **zeros}, atol=0)
    zeros = {"zx": number(7, np.uint8), "zw": number(3, np.uint8)}
    given = {"x": codes(1, 2, 5, 5), "w": codes(3, 2, 3, 3), **zeros}
    agree("ConvInteger", given, pads=[1, 1, 1, 1], atol=0)


@pytest.mark.parametrize("seed", range(4))
def test_quantized_convolution(seed):
    draw = np.random.default_rng(seed)
    given = {
        "x": codes(1, 2, 6, 6),
        "xs": number(0.02),
        "xz": number(100, np.uint8),
        "w": codes(4, 2, 3, 3),
        "ws": (np.abs(draw.normal(size=4)) * 0.02 + 0.001).astype(np.float32),
        "wz": np.full(4, 60, np.uint8),
        "ys": number(0.05),
        "yz": number(128, np.uint8),
        "b": draw.integers(-500, 500, size=4).astype(np.int32),
    }
    agree("QLinearConv", given, pads=[1, 0, 1, 0], strides=[2, 1], atol=0)


def test_quantized_product():
    given = {
        "a": codes(3, 6),
        "as": number(0.02),
        "az": number(60, np.uint8),
        "b": codes(6, 4),
        "bs": number(0.01),
        "bz": number(70, np.uint8),
        "ys": number(0.05),
        "yz": number(128, np.uint8),
    }
    agree("QLinearMatMul", given, atol=0)


def test_scales_of_several_axes_need_blocks():
    with pytest.raises(ModelError, match="block size"):
        quantize_linear(torch.zeros(2, 2), torch.ones(2, 2))
