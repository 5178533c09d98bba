"""The vectors that the word lines of a crossbar layer see, taken from a node's operands."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir.geometry import Geometry
from cimc.ir.rewrite import operator_name
from cimc.ops.convolution import conv_window


def input_operand(node: Node, operand: int, operands: tuple[Any, ...], value: Any) -> Tensor:
    """Return the tensor that one use of a layer multiplies.

    Args:
        node: The node that reads the layer.
        operand: Position of the weight among its operands.
        operands: Values of its operands.
        value: Its result: the recurrent weight of an LSTM, GRU or RNN multiplies the hidden
            states, which are the first result.
    """
    name = operator_name(node)
    if name == "matmul":
        x = operands[1 - operand]
    elif operand == 2:
        x = value[0] if isinstance(value, tuple) else value
    else:
        x = operands[0]
    assert isinstance(x, Tensor)
    return x


def channel_axis(node: Node, operand: int) -> int | None:
    """Return the axis of the result that holds the output channels; None when none does."""
    name = operator_name(node)
    if name in ("conv", "conv_transpose"):
        return 1
    return -1 if name == "gemm" or (name == "matmul" and operand == 1) else None


def input_vectors(
    node: Node,
    operand: int,
    operands: tuple[Any, ...],
    value: Any,
    geometry: Geometry,
    most: int,
    seed: int,
) -> Tensor:
    """Return input vectors of one use, at most ``most``, chosen at random where there are more.

    Returns:
        Shape ``(n, groups, rows)``.
    """
    x = input_operand(node, operand, operands, value)
    name = operator_name(node)
    draw = torch.Generator().manual_seed(seed)
    if name == "conv":
        return _patches(x, node.kwargs, geometry, most, draw)
    g, r, _ = geometry.shape
    if name == "conv_transpose":
        rows = x.movedim(1, -1).reshape(-1, g, r)
    elif name == "gemm":
        rows = (x.T if node.kwargs.get("trans_a", node.kwargs.get("transA")) else x)[:, None]
    elif name == "matmul":
        rows = _matrix_vectors(x, geometry, operands[operand].shape[:-2])
    elif operand == 1:
        rows = x.reshape(-1, 1, r).expand(-1, g, r)
    else:
        # Y is (seq, directions, batch, hidden), or (batch, seq, directions, hidden) for layout 1.
        by_direction = x if node.kwargs.get("layout") else x.transpose(1, 2)
        rows = by_direction.reshape(-1, g, r)
    return _choose(rows, most, draw)


def _choose(rows: Tensor, most: int, draw: torch.Generator) -> Tensor:
    if len(rows) <= most:
        return rows
    return rows[torch.randperm(len(rows), generator=draw)[:most].to(rows.device)]


def _matrix_vectors(x: Tensor, geometry: Geometry, stack: torch.Size) -> Tensor:
    """Return the vectors of a matmul: along the last axis, the last but one of a left constant."""
    if geometry.kind == "matrix-left":
        x = x.unsqueeze(-1) if x.ndim == 1 else x
        x = x.transpose(-1, -2)
    elif x.ndim == 1:
        x = x[None]
    if geometry.groups == 1:
        return x.reshape(-1, 1, geometry.rows)
    lead = torch.broadcast_shapes(x.shape[:-2], stack)  # type: ignore[no-untyped-call]
    x = x.expand(*lead, *x.shape[-2:])
    depth = len(stack)
    front = x.shape[: len(lead) - depth]
    x = x.reshape(*front, geometry.groups, *x.shape[-2:]).transpose(-3, -2)
    return x.reshape(-1, geometry.groups, geometry.rows)


def _patches(
    x: Tensor, attributes: dict[str, Any], geometry: Geometry, most: int, draw: torch.Generator
) -> Tensor:
    """Return sampled convolution patches, channel-major like the rows of the matrix."""
    kernel = geometry.kernel
    settings = {k: v for k, v in attributes.items() if k != "group"}
    w = conv_window(x.shape[2:], kernel, **settings)
    x = w.pad(x)
    sizes = x.shape[2:]
    out = [
        (s - d * (k - 1) - 1) // t + 1
        for s, d, k, t in zip(sizes, w.dilations, kernel, w.strides, strict=True)
    ]
    count = x.shape[0] * max(0, _product(out))
    if count <= most:
        chosen = torch.arange(count)
    else:
        chosen = torch.randint(count, (most,), generator=draw)
    image, place = chosen // max(1, _product(out)), chosen % max(1, _product(out))
    index = torch.zeros((len(chosen), 1), dtype=torch.int64)
    for axis in range(len(kernel)):
        below = _product(out[axis + 1 :])
        first = (place // below % out[axis]) * w.strides[axis]
        taps = torch.arange(kernel[axis]) * w.dilations[axis]
        here = (first[:, None] + taps) * _product(sizes[axis + 1 :])
        index = (index[:, :, None] + here[:, None, :]).flatten(1)
    picked = x.flatten(2)[image[:, None].to(x.device), :, index.to(x.device)]
    return picked.transpose(1, 2).reshape(len(chosen), geometry.groups, geometry.rows)


def _product(values: Any) -> int:
    result = 1
    for v in values:
        result *= int(v)
    return result
