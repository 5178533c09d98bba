"""The nearest level of every weight, fast: what training does to all weights in every step.

The rule is that of :mod:`cimc.quantizers.codes`: of two levels equally near the lower one.  On the
CPU a code is a count of end points below a value, one comparison of a cached chunk an end point
(a tenth of what a binary search takes up to 16 levels), or looked up where levels are many;
elsewhere it is a binary search.  Values and codes keep the memory order of the matrix, so that
the transposed view that a convolution's weight gives is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.training.lookup import look_up

#: Values handled at a time, so that they stay in the cache.
_CHUNK: Final = 1 << 15
#: End points of a layer up to which comparisons beat looking up.
_FEW: Final = 40


class Dense(NamedTuple):
    """A matrix stack in memory order.

    Attributes:
        values: Contiguous, ``(groups, rows, columns)`` or ``(groups, columns, rows)``.
        turned: Whether rows are last.
    """

    values: Tensor
    turned: bool


def dense(matrix: Tensor) -> Dense:
    """Return ``(groups, rows, columns)`` in memory order; a copy only where it has none."""
    if not matrix.is_contiguous() and matrix.mT.is_contiguous():
        return Dense(matrix.mT, True)
    return Dense(matrix.contiguous(), False)


def boundaries(levels: Tensor) -> Tensor:
    """Return the end points between neighbouring levels; see :func:`cimc.quantizers.boundaries`.

    Args:
        levels: Ascending along the last axis, float32 ``(..., v)``.

    Returns:
        The largest float32 not above each midpoint, ``(..., v - 1)``.
    """
    wide = levels.double()
    exact = (wide[..., 1:] + wide[..., :-1]) * 0.5
    near = exact.float()
    below = torch.nextafter(near, torch.full((), -torch.inf, device=near.device))
    return torch.where(near.double() > exact, below, near).contiguous()


def encode(matrix: Tensor, levels: Tensor, ends: Tensor | None = None) -> Tensor:
    """Return the code of the nearest level of each weight.

    Args:
        matrix: Float32 ``(groups, rows, columns)``.
        levels: Ascending, ``(v,)``, or ``(groups * columns, v)``; v at most 256.
        ends: Their :func:`boundaries`, where they are known.

    Returns:
        uint8 ``(groups, rows, columns)``, in the memory order of ``matrix``.
    """
    values, turned = dense(matrix.detach())
    ends = boundaries(levels.detach()) if ends is None else ends
    found = torch.empty(values.shape, dtype=torch.uint8, device=values.device)
    if values.numel():
        if values.device.type != "cpu" or (ends.ndim == 1 and len(ends) > _FEW):
            _search(values, ends, found, turned)
        else:
            _compare(values, ends, found, turned)
    return found.mT if turned else found


def decode(codes: Tensor, levels: Tensor) -> Tensor:
    """Return the levels that codes stand for.

    Args:
        codes: uint8 ``(groups, rows, columns)``.
        levels: ``(v,)``, or ``(groups * columns, v)``.

    Returns:
        Float32 ``(groups, rows, columns)``, in the memory order of ``codes``.
    """
    index, turned = dense(codes)
    table = levels.detach().reshape(-1)
    found = torch.empty(index.shape, dtype=torch.float32, device=index.device)
    starts = _starts(levels, len(index), turned) if levels.ndim > 1 else None
    for part in _parts(index.shape):
        numbers = index[part].to(torch.int32)
        if starts is not None:
            numbers += _of_part(starts, part)
        # A part is whole rows of one group or whole groups, so both are contiguous.
        torch.index_select(table, 0, numbers.view(-1), out=found[part].view(-1))
    return found.mT if turned else found


def sums(values: Tensor, codes: Tensor, levels: Tensor) -> Tensor:
    """Return the sum of the values that belong to each level, float64 in the shape of ``levels``.

    Always in the same order, so that equal inputs give equal bits.

    Args:
        values: ``(groups, rows, columns)``.
        codes: uint8 of that shape.
        levels: ``(v,)``, or ``(groups * columns, v)``; only the shape matters.
    """
    index, turned = dense(codes)
    across, other = dense(values)
    if other != turned:
        across = values.mT.contiguous() if turned else values.contiguous()
    total = torch.zeros(levels.numel(), dtype=torch.float64, device=values.device)
    starts = _starts(levels, len(index), turned) if levels.ndim > 1 else None
    for part in _parts(index.shape):
        numbers = index[part].to(torch.int32)
        if starts is not None:
            numbers += _of_part(starts, part)
        total += _sums(numbers.reshape(-1), across[part].reshape(-1), levels.numel())
    return total.reshape(levels.shape)


def _sums(index: Tensor, values: Tensor, count: int) -> Tensor:
    if index.device.type == "cpu":
        return torch.bincount(index, values.double(), count)
    # Atomic additions come in any order; a matrix product does not.
    levels = torch.arange(count, device=index.device)
    each = [(values.double() * (index == k)).sum() for k in levels]
    return torch.stack(each)


def _starts(levels: Tensor, groups: int, turned: bool) -> Tensor:
    """Return where each column's levels begin in the flat table, broadcast against codes."""
    columns, v = levels.shape
    first = torch.arange(0, columns * v, v, dtype=torch.int32, device=levels.device)
    first = first.reshape(groups, 1, -1)
    return first.mT if turned else first


def _parts(shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Yield slices of the first two of three axes, each of about a chunk."""
    groups, length, width = shape
    if 0 in shape:
        return
    some = max(1, _CHUNK // (length * width))
    step = max(1, _CHUNK // width)
    for first in range(0, groups, some):
        for start in range(0, length, step):
            yield slice(first, first + some), slice(start, start + step)


def _of_part(table: Any, part: tuple[slice, slice]) -> Any:
    """Return the part of an array that is broadcast along one of the last two axes."""
    return table[part[0]] if table.shape[1] == 1 else table[part]


def _compare(values: Tensor, ends: Tensor, codes: Tensor, turned: bool) -> None:
    """Count end points below values."""
    x, found, edges = values.numpy(), codes.numpy(), ends.numpy()
    if edges.ndim == 1:
        tables: npt.NDArray[Any] = edges.reshape(-1, 1, 1, 1)
    else:
        tables = edges.T.reshape(edges.shape[1], len(x), 1, -1)
        tables = tables.swapaxes(2, 3) if turned else tables
    for part in _parts(x.shape):
        chunk = x[part]
        out = np.zeros(chunk.shape, np.uint8)
        above = np.empty(chunk.shape, np.bool_)
        for end in tables:
            np.greater(chunk, end if edges.ndim == 1 else _of_part(end, part), out=above)
            out += above.view(np.uint8)
        found[part] = out


def _search(values: Tensor, ends: Tensor, codes: Tensor, turned: bool) -> None:
    """Find values among end points by look-up or binary search."""
    if ends.ndim == 1:
        on_cpu = values.device.type == "cpu"
        if on_cpu and look_up(values.numpy(), ends.numpy(), codes.numpy()):
            return
        for part in _parts(values.shape):
            codes[part] = torch.bucketize(values[part].contiguous(), ends, out_int32=True)
        return
    columns = values if turned else values.mT.contiguous()
    table = ends.reshape(columns.shape[0], columns.shape[1], -1)
    found = torch.searchsorted(table, columns, out_int32=True)
    codes.copy_(found if turned else found.mT)
