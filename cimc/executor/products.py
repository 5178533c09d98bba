"""The linear read of one row tile, for each way a weight lies on crossbars.

A tile picks the inputs of its word lines from the whole input (a view), and turns their codes into
the currents of all bit lines.  The same builder serves conductances, powers for read noise, and
offset cells: they differ in the matrices only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ops.convolution import conv_window
from cimc.ops.table import OPERATORS

Select = Callable[[Tensor], Tensor]
Product = Callable[[Tensor], Tensor]
Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tile:
    """The read of one row tile.

    Attributes:
        select: The whole input to the part on the tile's word lines; the same object for tiles
            that read the same part.
        product: Codes of that part to currents of all bit lines; a new tensor.
    """

    select: Select
    product: Product


def tiles_of(
    matrix: Tensor, geometry: Geometry, row_tiles: Ranges, attributes: Mapping[str, Any]
) -> list[Tile]:
    """Return the read of each row tile.

    Args:
        matrix: Shape ``(groups, rows, columns)``; any number of columns.
        geometry: How the layer's weight lies.
        row_tiles: First row and number of rows of each tile.
        attributes: Of the operation that reads the layer.
    """
    geometry = replace(geometry, columns=matrix.shape[2])
    build = _BUILDERS[geometry.kind]
    return [build(matrix, geometry, first, size, attributes) for first, size in row_tiles]


def per_column(values: Tensor, geometry: Geometry) -> Tensor:
    """Return one value a column, ``(groups * columns,)``, broadcast against the read's output."""
    if geometry.kind in ("conv", "conv-transpose"):
        return values.reshape(-1, *[1] * len(geometry.kernel))
    if geometry.kind == "matrix-left":
        return values.reshape(*geometry.stack, -1, 1)
    return values.reshape(*geometry.stack, 1, -1) if geometry.stack else values


def whole(x: Tensor) -> Tensor:
    """Select everything."""
    return x


def _channels(groups: int, channels: int, low: int, high: int) -> Select:
    """Select channels of every group, along axis 1."""
    if (low, high) == (0, channels):
        return whole
    if groups == 1:
        return lambda x: x[:, low:high]
    return lambda x: by_group(x, groups)[:, :, low:high].flatten(1, 2)


def by_group(x: Tensor, groups: int) -> Tensor:
    """Return ``(n, groups * channels, *space)`` as ``(n, groups, channels, *space)``."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _convolution(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Tile:
    """A convolution of a channel slice.

    A tile that starts or ends inside a channel is padded with rows of zeros: word lines that are
    not driven.
    """
    groups, rows, columns = geometry.shape
    taps = geometry.taps
    low, high = first // taps, -(-(first + size) // taps)
    part = matrix[:, first : first + size]
    margins = (first - low * taps, high * taps - first - size)
    if any(margins):
        part = F.pad(part, (0, 0, *margins))
    shape = (groups * columns, high - low, *geometry.kernel)
    kernel = part.transpose(1, 2).reshape(shape)
    if len(geometry.kernel) == 2:
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    select = _channels(groups, rows // taps, low, high)
    return Tile(select, _plain_convolution(kernel, attributes) or _convolve(kernel, attributes))


def _convolve(kernel: Tensor, attributes: Mapping[str, Any]) -> Product:
    """Return the convolution as the operator defines it."""
    conv = OPERATORS["conv"].function

    def product(codes: Tensor) -> Tensor:
        result: Tensor = conv(codes, kernel, None, **attributes)
        return result

    return product


def _plain_convolution(kernel: Tensor, attributes: Mapping[str, Any]) -> Product | None:
    """Return a 2-d convolution whose window does not depend on the input size; None for others."""
    if kernel.ndim != 4 or attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    settings = {k: v for k, v in attributes.items() if k != "group"}
    window = conv_window((1, 1), kernel.shape[2:], **settings)
    if not window.symmetric:
        return None
    stride, padding, dilation = list(window.strides), list(window.before), list(window.dilations)
    groups = int(attributes.get("group", 1))
    return lambda codes: torch.conv2d(codes, kernel, None, stride, padding, dilation, groups)


def _pixelwise(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Tile:
    """One product a pixel: the reads of a transposed convolution, before the overlap-add.

    Codes ``(n, groups * rows, *space)`` to currents ``(n, groups * columns, *space)``.
    """
    groups, rows, columns = geometry.shape
    part = matrix[:, first : first + size]
    kernel = part.transpose(1, 2).reshape(groups * columns, size, 1)

    def product(codes: Tensor) -> Tensor:
        currents = F.conv1d(codes.flatten(2), kernel, groups=groups)
        return currents.reshape(*currents.shape[:2], *codes.shape[2:])

    return Tile(_channels(groups, rows, first, first + size), product)


def _right_matrix(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Tile:
    """Codes ``(..., m, rows)`` to currents ``(..., m, columns)``."""
    part = matrix[:, first : first + size].reshape(*geometry.stack, size, geometry.columns)
    select = whole if size == geometry.rows else _word_lines(-1, first, size)
    if not geometry.stack:
        transposed = part.reshape(size, geometry.columns).T.contiguous()
        return Tile(select, lambda codes: F.linear(codes, transposed))
    part = part.contiguous()
    return Tile(select, lambda codes: torch.matmul(codes, part))


def _left_matrix(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Tile:
    """Codes ``(..., rows, m)`` to currents ``(..., columns, m)``."""
    part = matrix[:, first : first + size].transpose(1, 2)
    part = part.reshape(*geometry.stack, geometry.columns, size).contiguous()
    select = whole if size == geometry.rows else _word_lines(-2, first, size)
    return Tile(select, lambda codes: torch.matmul(part, codes))


def _word_lines(axis: int, first: int, size: int) -> Select:
    return lambda x: x.narrow(axis, first, size)


_BUILDERS: dict[str, Callable[[Tensor, Geometry, int, int, Mapping[str, Any]], Tile]] = {
    "conv": _convolution,
    "conv-transpose": _pixelwise,
    "matrix": _right_matrix,
    "matrix-left": _left_matrix,
    "recurrent": _right_matrix,
}
