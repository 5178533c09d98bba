"""The linear read of one row tile, for each way a weight lies on crossbars.

A product takes the codes of the whole input, picks the word lines of its tile, and returns the
currents of all bit lines.  The same builder serves conductances, powers for read noise, and offset
cells: they differ in the matrices only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ops.table import OPERATORS

Product = Callable[[Tensor], Tensor]
Ranges = list[tuple[int, int]]


def products(
    matrix: Tensor, geometry: Geometry, row_tiles: Ranges, attributes: Mapping[str, Any]
) -> list[Product]:
    """Return the product of each row tile.

    Args:
        matrix: Shape ``(groups, rows, columns)``; any number of columns.
        geometry: How the layer's weight lies.
        row_tiles: First row and number of rows of each tile.
        attributes: Of the operation that reads the layer.
    """
    geometry = replace(geometry, columns=matrix.shape[2])
    build = _BUILDERS[geometry.kind]
    return [build(matrix, geometry, first, size, attributes) for first, size in row_tiles]


def _convolution(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Product:
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
    conv = OPERATORS["conv"].function
    attributes = dict(attributes)
    channels = rows // taps

    def product(codes: Tensor) -> Tensor:
        if high - low == channels:
            result: Tensor = conv(codes, kernel, None, **attributes)
        elif groups == 1:
            result = conv(codes[:, low:high], kernel, None, **attributes)
        else:
            part = by_group(codes, groups)[:, :, low:high].flatten(1, 2)
            result = conv(part, kernel, None, **attributes)
        return result

    return product


def _pixelwise(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Product:
    """One product a pixel: the reads of a transposed convolution, before the overlap-add.

    Codes ``(n, groups * rows, *space)`` to currents ``(n, groups * columns, *space)``.
    """
    groups, rows, columns = geometry.shape
    part = matrix[:, first : first + size]
    kernel = part.transpose(1, 2).reshape(groups * columns, size, 1)

    def product(codes: Tensor) -> Tensor:
        space = codes.shape[2:]
        pixels = codes.flatten(2)
        if size < rows:
            pixels = by_group(pixels, groups)[:, :, first : first + size].flatten(1, 2)
        currents = F.conv1d(pixels, kernel, groups=groups)
        return currents.reshape(*currents.shape[:2], *space)

    return product


def _right_matrix(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Product:
    """Codes ``(..., m, rows)`` to currents ``(..., m, columns)``."""
    rows, columns = geometry.rows, geometry.columns
    part = matrix[:, first : first + size].reshape(*geometry.stack, size, columns)
    if not geometry.stack and geometry.kind == "matrix":
        transposed = part.T.contiguous()

        def linear(codes: Tensor) -> Tensor:
            return F.linear(
                codes if size == rows else codes[..., first : first + size], transposed
            )

        return linear

    part = part.contiguous()

    def product(codes: Tensor) -> Tensor:
        return torch.matmul(codes if size == rows else codes[..., first : first + size], part)

    return product


def _left_matrix(
    matrix: Tensor, geometry: Geometry, first: int, size: int, attributes: Mapping[str, Any]
) -> Product:
    """Codes ``(..., rows, m)`` to currents ``(..., columns, m)``."""
    part = matrix[:, first : first + size].transpose(1, 2)
    part = part.reshape(*geometry.stack, geometry.columns, size).contiguous()

    def product(codes: Tensor) -> Tensor:
        return torch.matmul(part, codes[..., first : first + size, :])

    return product


def by_group(x: Tensor, groups: int) -> Tensor:
    """Return ``(n, groups * channels, *space)`` as ``(n, groups, channels, *space)``."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


_BUILDERS: dict[str, Callable[[Tensor, Geometry, int, int, Mapping[str, Any]], Product]] = {
    "conv": _convolution,
    "conv-transpose": _pixelwise,
    "matrix": _right_matrix,
    "matrix-left": _left_matrix,
    "recurrent": _right_matrix,
}
