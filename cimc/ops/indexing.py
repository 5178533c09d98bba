"""Operators that pick elements: slices, gathers, padding."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.layout import ints
from cimc.ops.operator import Operator
from cimc.ops.reduction import normalize

#: Signed types of the same size: moving elements about does not need their values.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def slice_axes(
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Return a slice of x.

    Args:
        x: Any shape.
        starts: First index on each axis, integers ``(k,)``.
        ends: Index after the last ``(k,)``.
        axes: Which axes ``(k,)``; None: the first k.
        steps: Default 1; may be negative ``(k,)``.
    """
    first, last = ints(starts), ints(ends)
    where = normalize(list(range(len(first))) if axes is None else ints(axes), x.ndim)
    stride = [1] * len(first) if steps is None else ints(steps)
    if not len(first) == len(last) == len(where) == len(stride) or 0 in stride:
        raise ModelError("CIMC-M19", f"slice {first}:{last}:{stride} of axes {list(where)}")
    for axis, begin, end, step in zip(where, first, last, stride, strict=True):
        x = take(x, axis, picked(begin, end, step, x.shape[axis]))
    return x


def picked(begin: int, end: int, step: int, size: int) -> range:
    """Return the indices a slice of an axis picks.

    As Python's, but that a falling slice may begin before the first element: it is moved there.
    """
    first = begin + size if begin < 0 else begin
    last = end + size if end < 0 else end
    if step > 0:
        return range(min(max(first, 0), size), min(max(last, 0), size), step)
    if size == 0:
        return range(0)
    return range(min(max(first, 0), size - 1), min(max(last, -1), size - 1), step)


def take(x: Tensor, axis: int, indices: range) -> Tensor:
    """Return the elements of an axis at an arithmetic sequence of indices; a view if it rises."""
    rising = indices if indices.step > 0 else indices[::-1]
    stop = max(rising.stop, rising.start)
    y = x[(slice(None),) * axis + (slice(rising.start, stop, rising.step),)]
    if indices.step > 0:
        return y
    signed = _SIGNED.get(y.dtype)
    if signed is not None:
        return torch.flip(y.view(signed), [axis]).view(y.dtype)
    return torch.flip(y, [axis])


def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Return the entries of an axis at these indices; negative ones count from the end.

    Returns:
        Shape ``(*x.shape[:axis], *indices.shape, *x.shape[axis + 1:])``.
    """
    (where,) = normalize([axis], x.ndim)
    flat = from_start(indices, x.shape[where]).reshape(-1)
    y = torch.index_select(x, where, flat)
    return y.reshape((*x.shape[:where], *indices.shape, *x.shape[where + 1 :]))


def from_start(indices: Tensor, size: int) -> Tensor:
    """Return indices as int64 counted from the start.

    Raises:
        ModelError: ``CIMC-M19``: one is out of range.
    """
    indices = indices.long()
    found = torch.where(indices < 0, indices + size, indices)
    if found.numel() and (int(found.min()) < 0 or int(found.max()) >= size):
        worst = indices[(found < 0) | (found >= size)].reshape(-1)[0]
        raise ModelError("CIMC-M19", f"index {int(worst)} of an axis of size {size}")
    return found


def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Return, at each place of indices, the element of x there but for its index on one axis."""
    (where,) = normalize([axis], x.ndim)
    index = from_start(indices, x.shape[where])
    signed = _SIGNED.get(x.dtype)
    if signed is not None:
        return torch.gather(x.view(signed), where, index).view(x.dtype)
    return torch.gather(x, where, index)


def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Return the slices of x at index tuples.

    Args:
        x: Any shape.
        indices: Integers ``(*batch, ..., k)``, each row the indices of k axes after the batch.
        batch_dims: Leading axes that x and indices share.

    Returns:
        Shape ``(*indices.shape[:-1], *x.shape[batch_dims + k:])``.
    """
    b, k = batch_dims, indices.shape[-1]
    batch, picked, rest = x.shape[:b], x.shape[b : b + k], x.shape[b + k :]
    count = math.prod(batch)
    position = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for axis, size in enumerate(picked):
        position = position * size + from_start(indices[..., axis], size)
    flat = x.reshape((count, math.prod(picked), *rest))
    place = position.reshape(count, math.prod(indices.shape[b:-1]))
    row = torch.arange(count, device=x.device).unsqueeze(1)
    return flat[row, place].reshape((*indices.shape[:-1], *rest))


def pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Add elements before and after axes, or cut them where the number is negative.

    Args:
        x: Any shape.
        pads: All begins, then all ends, int64 ``(2 k,)``.
        value: What ``constant`` adds, one element; default 0.
        axes: Which axes ``(k,)``; None: all.
        mode: ``constant``, ``reflect`` (without the border), ``edge``, ``wrap``.

    Raises:
        ModelError: ``CIMC-M19``: the arguments do not fit.
    """
    where = tuple(range(x.ndim)) if axes is None else normalize(ints(axes), x.ndim)
    numbers = ints(pads)
    if len(numbers) != 2 * len(where):
        raise ModelError("CIMC-M19", f"pads {numbers} for {len(where)} axes")
    for axis, before, after in zip(where, numbers, numbers[len(where) :], strict=False):
        if not before and not after:
            continue
        size = x.shape[axis]
        if mode == "constant":
            x = _pad_constant(x, axis, before, after, value)
        else:
            index = torch.arange(-before, size + after, device=x.device)
            x = torch.index_select(x, axis, _mirrored(index, size, mode))
    return x


def _pad_constant(x: Tensor, axis: int, before: int, after: int, value: Tensor | None) -> Tensor:
    size = x.shape[axis]
    kept = x.narrow(axis, max(-before, 0), max(size + min(before, 0) + min(after, 0), 0))
    fill = torch.zeros((), dtype=x.dtype, device=x.device) if value is None else value.reshape(())
    parts = [kept]
    for count, first in ((before, True), (after, False)):
        if count > 0:
            block = fill.to(x.dtype).expand(*x.shape[:axis], count, *x.shape[axis + 1 :])
            parts.insert(0, block) if first else parts.append(block)
    return torch.cat(parts, axis)


def _mirrored(index: Tensor, size: int, mode: str) -> Tensor:
    """Return which element of an axis stands at each index outside and inside of it."""
    if size == 0:
        raise ModelError("CIMC-M19", f"{mode} padding of an axis without elements")
    if mode == "edge":
        return index.clamp(0, size - 1)
    if mode == "wrap":
        return index % size
    if mode == "reflect":
        period = max(2 * (size - 1), 1)
        folded = index % period
        return torch.minimum(folded, period - folded) if size > 1 else torch.zeros_like(index)
    raise ModelError("CIMC-M19", f"padding mode {mode!r} is not an ONNX value")


OPERATORS: Final[dict[str, Operator]] = {
    "slice": Operator("slice", slice_axes, "Slice"),
    "gather": Operator("gather", gather, "Gather"),
    "gather_elements": Operator("gather_elements", gather_elements, "GatherElements"),
    "gather_nd": Operator("gather_nd", gather_nd, "GatherND"),
    "pad": Operator("pad", pad, "Pad"),
}
