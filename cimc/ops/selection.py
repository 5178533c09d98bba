"""Operators that choose, place or mark elements."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator


def top_k(
    x: Tensor, k: Tensor, *, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the k largest (or smallest) elements along an axis and where they are.

    Of equal elements the one with the lower index comes first, as ONNX asks.

    Args:
        x: Any shape.
        k: How many, integer ``(1,)``.
        axis: Axis to choose along.
        largest: Else the smallest.
        sorted: Ignored: the result is always sorted.
    """
    del sorted
    count = int(k.reshape(-1)[0])
    if not 0 <= count <= x.shape[axis]:
        raise ModelError(
            "CIMC-M38", f"{count} of {x.shape[axis]} elements", where="TopK, input 'K'"
        )
    values, order = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), order.narrow(axis, 0, count)


def non_zero(x: Tensor) -> Tensor:
    """Return the indices of nonzero elements, int64 ``(rank, count)``, in row-major order."""
    found = torch.nonzero(x if x.ndim else x.reshape(1))
    return found.T.contiguous() if x.ndim else found.new_zeros(0, len(found))


def one_hot(indices: Tensor, depth: Tensor, values: Tensor, *, axis: int = -1) -> Tensor:
    """Mark each index along a new axis; an index out of range marks nothing.

    Args:
        indices: Integers (or floats that hold integers); negative ones count from the end.
        depth: Size of the new axis, one element.
        values: What is written for "off" and "on", ``(2,)``.
        axis: Where the new axis goes.
    """
    size = int(depth.reshape(-1)[0])
    at = indices.to(torch.int64)
    at = torch.where(at < 0, at + size, at)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    shape = [1] * (indices.ndim + 1)
    shape[axis] = size
    hit = at.unsqueeze(axis) == torch.arange(size, device=at.device).reshape(shape)
    return torch.where(hit, values[1], values[0])


def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """Return the slices (or, without axis, the elements) for which a condition holds.

    Args:
        x: Any shape.
        condition: Boolean ``(n,)``; what it does not reach is dropped.
        axis: Axis of the slices; None: x is flattened first.
    """
    if axis is None:
        x, axis = x.reshape(-1), 0
    return x.index_select(axis, torch.nonzero(condition.reshape(-1)).reshape(-1))


def reverse_sequence(
    x: Tensor, sequence_lens: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    """Reverse the first ``sequence_lens[n]`` steps of each sequence.

    Args:
        x: At least two axes.
        sequence_lens: Integer ``(batch,)``.
        batch_axis: 0 or 1.
        time_axis: The other one.
    """
    y = x.movedim((batch_axis, time_axis), (0, 1))
    lens = sequence_lens.to(torch.int64)[:, None]
    time = torch.arange(y.shape[1], device=x.device)
    order = torch.where(time < lens, lens - 1 - time, time)
    order = order.reshape(*order.shape, *[1] * (y.ndim - 2)).expand(y.shape)
    return y.gather(1, order).movedim((0, 1), (batch_axis, time_axis))


def trilu(x: Tensor, k: Tensor | None = None, *, upper: bool = True) -> Tensor:
    """Keep the upper or lower triangle of the last two axes, from diagonal k on."""
    diagonal = 0 if k is None else int(k)
    rows = torch.arange(x.shape[-2], device=x.device)[:, None]
    columns = torch.arange(x.shape[-1], device=x.device)
    kept = columns - rows >= diagonal if upper else columns - rows <= diagonal
    return torch.where(kept, x, torch.zeros_like(x))


def eye_like(x: Tensor, *, dtype: str | None = None, k: int = 0) -> Tensor:
    """Return ones on diagonal k of a matrix shaped like x, zeros elsewhere."""
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    columns = torch.arange(x.shape[1], device=x.device)
    return (columns - rows == k).to(x.dtype if dtype is None else DTYPES[dtype])


def center_crop_pad(x: Tensor, shape: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """Crop or pad with zeros around the centre to a shape.

    Args:
        x: Any shape.
        shape: Sizes wanted, integer, one for each axis named.
        axes: Axes the shape speaks of; all by default.
    """
    chosen = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    for axis, wanted in zip(chosen, shape.tolist(), strict=True):
        size = x.shape[axis]
        if wanted < size:
            x = x.narrow(axis, (size - wanted) // 2, wanted)
        elif wanted > size:
            before = (wanted - size) // 2
            margins = []
            for width in (before, wanted - size - before):
                sizes = [width if a == axis else n for a, n in enumerate(x.shape)]
                margins.append(torch.zeros(sizes, dtype=x.dtype, device=x.device))
            x = torch.cat((margins[0], x, margins[1]), dim=axis)
    return x


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "top_k": Operator("top_k", top_k, "TopK", outputs=2),
    "non_zero": Operator("non_zero", non_zero, "NonZero"),
    "one_hot": Operator("one_hot", one_hot, "OneHot"),
    "compress": Operator("compress", compress, "Compress"),
    "reverse_sequence": Operator("reverse_sequence", reverse_sequence, "ReverseSequence"),
    "trilu": Operator("trilu", trilu, "Trilu"),
    "eye_like": Operator("eye_like", eye_like, "EyeLike"),
    "center_crop_pad": Operator("center_crop_pad", center_crop_pad, "CenterCropPad"),
}
