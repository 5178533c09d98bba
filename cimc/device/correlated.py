"""Smooth random fields: variation that neighbouring cells, or neighbouring arrays, share.

A stationary Gaussian field of variance 1 with the separable squared-exponential covariance
``exp(-(d_row^2 + d_column^2) / (2 length^2))`` is ``R Z C'`` with independent normals ``Z`` and
one factor ``F F' = covariance`` an axis.  Only factors are kept, never a covariance of all cells.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

#: From this length on a factor is written down in closed form; below, it is a Cholesky factor.
SMOOTH = 2.0
#: Spacing of the nodes in closed form, as a share of the length.
_SPACING = 0.5
#: Nodes go on this many lengths beyond the ends.
_MARGIN = 3.5


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # kept for whoever asks next, who may be training
def factor(lines: int, length: float) -> Tensor:
    """Return ``F`` with ``F F'`` the covariance along one axis, to 1e-7.

    For a smooth field ``exp(-d^2 / (2 l^2))`` is the convolution of ``exp(-d^2 / l^2)`` with
    itself, and a sum over nodes ``l / 2`` apart is that integral to ``2 exp(-2 pi^2)``; so ``F``
    has few columns, whatever the number of lines.

    Args:
        lines: Places along the axis [-].
        length: Correlation length [places].

    Returns:
        float32 ``(lines, nodes)``; shared between callers, not to be written to.
    """
    place = torch.arange(lines, dtype=torch.float64)
    if length >= SMOOTH:
        step = _SPACING * length
        ends = math.ceil(_MARGIN / _SPACING)
        last = math.ceil((lines - 1) / step) + ends
        node = torch.arange(-ends, last + 1, dtype=torch.float64) * step
        distance = (place[:, None] - node) / length
        weight = math.sqrt(_SPACING / math.sqrt(math.pi / 2))
        return distance.square_().neg_().exp_().mul_(weight).to(torch.float32)
    distance = (place[:, None] - place) / length
    covariance = distance.square_().mul_(-0.5).exp_()
    lower: Tensor = torch.linalg.cholesky(covariance)
    return lower.to(torch.float32)


def nodes(lines: int, columns: int, length: float, generator: torch.Generator) -> Tensor:
    """Return the normals of one field over ``lines`` x ``columns`` places: see :func:`field`.

    Args:
        lines: Places along the first axis [-].
        columns: Places along the second axis [-].
        length: Correlation length [places].
        generator: A CPU stream.
    """
    shape = factor(lines, length).shape[1], factor(columns, length).shape[1]
    return torch.empty(shape, dtype=torch.float32).normal_(generator=generator)


def field(rows: Tensor, nodes: Tensor, columns: Tensor) -> Tensor:
    """Return a field where some rows of places meet some columns.

    Args:
        rows: Rows of the first axis' factor, float32 ``(r, n)``.
        nodes: Independent normals, float32 ``(n, m)``; the same for all parts of a field.
        columns: Rows of the second axis' factor, float32 ``(c, m)``.

    Returns:
        float32 ``(r, c)``: mean 0, variance 1 [-].
    """
    if rows.shape[0] * columns.shape[1] <= columns.shape[0] * rows.shape[1]:
        return (rows @ nodes) @ columns.T
    return rows @ (nodes @ columns.T)


def grid_place(number: int) -> tuple[int, int]:
    """Return row and column of an array on a chip: neighbours in number are neighbours in place.

    Arrays are numbered along a Z-order curve, so that a place does not depend on how many arrays
    there are.
    """
    row = column = 0
    for bit in range(number.bit_length()):
        half = number >> bit & 1
        if bit % 2:
            row |= half << bit // 2
        else:
            column |= half << bit // 2
    return row, column
