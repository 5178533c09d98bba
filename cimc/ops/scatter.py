"""Operators that write elements at computed places; the input is never changed."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """Write ``updates[i, j, k]`` at ``x[indices[i, j, k], j, k]`` (for axis 0).

    Args:
        x: Any shape.
        indices: Integers shaped like updates; negative ones count from the end.
        updates: No axis but the scattered one longer than that of x.
        axis: Axis the indices belong to.
        reduction: How an update meets what is there: ``none`` (replace), ``add``, ``mul``,
            ``max``, ``min``.

    Raises:
        ModelError: ``CIMC-M39``: an index is out of range; ``CIMC-M38``: unknown reduction.
    """
    index = _checked(indices, x.shape[axis], "ScatterElements")
    if reduction == "none":
        return x.scatter(axis, index, updates)
    return _reduced(x, axis, index, updates, reduction)


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """Write slices of updates at the places the last axis of indices names.

    Args:
        x: Any shape.
        indices: Integer ``(*places, depth)``, depth at most the rank of x.
        updates: ``(*places, *x.shape[depth:])``.
        reduction: As :func:`scatter_elements`.

    Raises:
        ModelError: ``CIMC-M39``: an index is out of range; ``CIMC-M38``: unknown reduction.
    """
    depth = indices.shape[-1]
    flat = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    rows = 1
    for axis in range(depth):
        flat = flat * x.shape[axis] + _checked(indices[..., axis], x.shape[axis], "ScatterND")
        rows *= x.shape[axis]
    rest = x.shape[depth:]
    width = rest.numel()
    table = x.reshape(rows, width)
    where = flat.reshape(-1, 1).expand(flat.numel(), width)
    values = updates.reshape(flat.numel(), width)
    if reduction == "none":
        return table.scatter(0, where, values).reshape(x.shape)
    return _reduced(table, 0, where, values, reduction).reshape(x.shape)


def tensor_scatter(
    x: Tensor,
    update: Tensor,
    write_indices: Tensor | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Tensor:
    """Write new steps into a cache, each sample from a place of its own.

    Args:
        x: Cache, ``(batch, ..., steps, ...)``.
        update: Like x with fewer steps.
        write_indices: First step written in each sample, integer ``(batch,)``; 0 by default.
        axis: Axis of the steps.
        mode: ``linear``, or ``circular``: steps beyond the end go to the start.

    Raises:
        ModelError: ``CIMC-M39``: a step lies beyond the end.
    """
    axis = axis % x.ndim
    starts = write_indices if write_indices is not None else x.new_zeros(x.shape[0])
    steps = torch.arange(update.shape[axis], device=x.device)
    place = starts.to(torch.int64)[:, None] + steps
    if mode == "circular":
        place = place % x.shape[axis]
    place = _checked(place, x.shape[axis], "TensorScatter")
    shape = [1] * x.ndim
    shape[0], shape[axis] = place.shape
    return x.scatter(axis, place.reshape(shape).expand(update.shape), update)


def _reduced(x: Tensor, axis: int, index: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction not in _REDUCTIONS:
        raise ModelError(
            "CIMC-M38", f"unknown reduction {reduction!r}", where="Scatter, attribute 'reduction'"
        )
    return x.scatter_reduce(axis, index, updates, _REDUCTIONS[reduction], include_self=True)


def _checked(indices: Tensor, size: int, operator: str) -> Tensor:
    """Return indices counted from the start, int64."""
    index = indices.to(torch.int64)
    index = torch.where(index < 0, index + size, index)
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        raise ModelError(
            "CIMC-M39", f"an index is out of range for an axis of {size}", where=operator
        )
    return index


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "scatter_elements": Operator("scatter_elements", scatter_elements, "ScatterElements"),
    "scatter_nd": Operator("scatter_nd", scatter_nd, "ScatterND"),
    "tensor_scatter": Operator("tensor_scatter", tensor_scatter, "TensorScatter"),
}
