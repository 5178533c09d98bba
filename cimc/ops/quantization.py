"""Quantization to integers and arithmetic on quantized tensors, as found in quantized networks."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.convolution import conv
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator

#: Quantized types handled natively.
QUANTIZED = frozenset({"uint8", "int8", "uint16", "int16"})
_RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def quantize_linear(
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: str | None = None,
    precision: str | None = None,
    saturate: bool = True,
) -> Tensor:
    """Return ``clamp(round_half_even(x / scale) + zero_point)`` as an integer type.

    Args:
        x: Any shape.
        y_scale: One element, one per index of the axis, or one per block of it.
        y_zero_point: Like y_scale; its type is that of the result.
        axis: Axis of scales and blocks.
        block_size: Indices that share a scale; 0: no blocks.
        output_dtype: Type of the result without zero point; ``uint8`` by default.
        precision: Type of the division; that of x by default.
        saturate: For float8 results only, which are not native.
    """
    del saturate
    kind = output_dtype or "uint8"
    if y_zero_point is not None:
        kind = _name(y_zero_point)
    scale = _spread(y_scale, x, axis, block_size)
    number = torch.float64 if x.dtype == torch.int32 else x.dtype
    if precision is not None:
        number = DTYPES[precision]
    y = torch.round(x.to(number) / scale.to(number)).to(torch.float64)
    if y_zero_point is not None:
        y = y + _spread(y_zero_point.to(torch.float64), x, axis, block_size)
    return y.clamp(*_RANGES[kind]).to(DTYPES[kind])


def dequantize_linear(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: str | None = None,
) -> Tensor:
    """Return ``(x - zero_point) * scale``; arguments as for :func:`quantize_linear`."""
    y = x.to(torch.float64)
    if x_zero_point is not None:
        y = y - _spread(x_zero_point.to(torch.float64), x, axis, block_size)
    y = y * _spread(x_scale.to(torch.float64), x, axis, block_size)
    return y.to(x_scale.dtype if output_dtype is None else DTYPES[output_dtype])


def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize to uint8 over the range of the input with 0; return values, scale, zero point."""
    low = torch.clamp(x.min(), max=0) if x.numel() else x.new_zeros(())
    high = torch.clamp(x.max(), min=0) if x.numel() else x.new_zeros(())
    # All zero: ONNX divides 0 by 0; onnxruntime says 1.
    scale = torch.where(high == low, torch.ones_like(high), (high - low) / 255)
    zero = torch.round((-low / scale).clamp(0, 255))
    y = (torch.round(x / scale) + zero).clamp(0, 255)
    return y.to(torch.uint8), scale, zero.to(torch.uint8)


def matmul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    """Return the int32 matrix product of integers less their zero points.

    Args:
        a: ``(..., m, k)``.
        b: ``(..., k, n)``.
        a_zero_point: One element, or one per row of a.
        b_zero_point: One element, or one per column of b.
    """
    left, right = _centred(a, a_zero_point, -2), _centred(b, b_zero_point, -1)
    # Sums of products of 8-bit integers are exact in float64.
    return torch.matmul(left, right).to(torch.int64).to(torch.int32)


def conv_integer(
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor | None = None,
    w_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Return the int32 convolution of integers less their zero points; see :func:`conv`."""
    y = conv(
        _centred(x, x_zero_point, None),
        _centred(w, w_zero_point, 0),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return y.round().to(torch.int64).to(torch.int32)


def qlinear_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    """Multiply quantized matrices and quantize the product."""
    product = torch.matmul(_centred(a, a_zero_point, -2), _centred(b, b_zero_point, -1))
    scale = _along(a_scale, a, -2) * _along(b_scale, b, -1) / y_scale
    return _requantized(product, scale, y_zero_point)


def qlinear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Convolve quantized tensors and quantize the result; w_scale: one, or one per channel."""
    y = conv(
        _centred(x, x_zero_point, None),
        _centred(w, w_zero_point, 0),
        None if bias is None else bias.to(torch.float64),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    factor = (
        w_scale.reshape(-1, *[1] * (x.ndim - 2)) if w_scale.numel() > 1 else w_scale.reshape(())
    )
    return _requantized(y, x_scale * factor / y_scale, y_zero_point)


def _requantized(y: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    kind = _name(zero_point)
    y = torch.round(y * scale.to(torch.float64)) + zero_point.to(torch.float64)
    return y.clamp(*_RANGES[kind]).to(DTYPES[kind])


def _centred(x: Tensor, zero_point: Tensor | None, axis: int | None) -> Tensor:
    """Return integers less their zero points, float64."""
    y = x.to(torch.float64)
    if zero_point is None:
        return y
    zero = zero_point.to(torch.float64)
    return y - (zero.reshape(()) if axis is None else _along(zero, x, axis))


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return values, one or one per index of an axis of x, such that they broadcast with x."""
    if values.numel() == 1:
        return values.reshape(())
    if values.ndim > 1:
        return values
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.reshape(shape)


def _spread(values: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Return scales or zero points such that they broadcast with x."""
    if values.ndim == 0 or (values.numel() == 1 and not block_size):
        return values.reshape(())
    if values.ndim == 1 and not block_size:
        return _along(values, x, axis)
    if not block_size:
        raise ModelError("CIMC-M38", "scales of several axes need a block size", where="Quantize")
    return values.repeat_interleave(block_size, dim=axis).narrow(axis, 0, x.shape[axis])


def _name(x: Tensor) -> str:
    name = str(x.dtype).removeprefix("torch.")
    if name not in _RANGES:
        raise ModelError("CIMC-M38", f"{name} is not a quantized type", where="Quantize")
    return name


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "quantize_linear": Operator("quantize_linear", quantize_linear, "QuantizeLinear"),
    "dequantize_linear": Operator("dequantize_linear", dequantize_linear, "DequantizeLinear"),
    "dynamic_quantize_linear": Operator(
        "dynamic_quantize_linear", dynamic_quantize_linear, "DynamicQuantizeLinear", outputs=3
    ),
    "matmul_integer": Operator("matmul_integer", matmul_integer, "MatMulInteger"),
    "conv_integer": Operator("conv_integer", conv_integer, "ConvInteger"),
    "qlinear_matmul": Operator("qlinear_matmul", qlinear_matmul, "QLinearMatMul"),
    "qlinear_conv": Operator("qlinear_conv", qlinear_conv, "QLinearConv"),
}
