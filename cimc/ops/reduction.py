"""Reductions over axes, and the place of extremes.

All reductions take ``axes`` as an int64 tensor; None or empty means all axes, or, with
``noop_with_empty_axes``, none (then only the element-wise part of the function is applied).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.arithmetic import div, mul
from cimc.ops.dtypes import WIDER
from cimc.ops.numeric import in_float
from cimc.ops.operator import Operator
from cimc.ops.unary import abs as magnitude

#: Flips the order of the two halves of uint64 seen as int64, which makes it that of int64.
_SIGN = torch.iinfo(torch.int64).min
#: Reduces the given axes (never empty) and keeps them with size 1.
_Kernel = Callable[[Tensor, tuple[int, ...]], Tensor]


def resolve_axes(axes: Tensor | None, rank: int, noop: bool = False) -> tuple[int, ...]:
    """Return the axes to reduce, from zero, each once.

    Raises:
        ModelError: ``CIMC-M19``: an axis is out of range or given twice.
    """
    if axes is None or axes.numel() == 0:
        return () if noop else tuple(range(rank))
    return normalize([int(a) for a in axes.reshape(-1).tolist()], rank)


def normalize(axes: list[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from zero.

    Raises:
        ModelError: ``CIMC-M19``: an axis is out of range or given twice.
    """
    found = tuple(a + rank if a < 0 else a for a in axes)
    if any(not 0 <= a < rank for a in found) or len(set(found)) < len(found):
        raise ModelError("CIMC-M19", f"axes {axes} of a tensor with {rank} axes")
    return found


def _reduce(x: Tensor, axes: Tensor | None, keepdims: bool, noop: bool, kernel: _Kernel) -> Tensor:
    where = resolve_axes(axes, x.ndim, noop)
    y = kernel(x, where)
    if keepdims:
        return y
    return y.reshape([n for axis, n in enumerate(y.shape) if axis not in where])


def _sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    if not axes:
        return x
    wide = WIDER.get(x.dtype, x.dtype)
    return torch.sum(x.to(wide), axes, keepdim=True, dtype=wide).to(x.dtype)


def _prod(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    wide = WIDER.get(x.dtype, x.dtype)
    y = x.to(wide)
    for axis in axes:
        y = torch.prod(y, axis, keepdim=True, dtype=wide)
    return y.to(x.dtype)


def _extreme(x: Tensor, axes: tuple[int, ...], largest: bool) -> Tensor:
    if not axes:
        return x
    if x.dtype in WIDER:
        array = x.cpu().numpy()
        limit = np.iinfo(array.dtype).min if largest else np.iinfo(array.dtype).max
        ufunc = np.maximum if largest else np.minimum
        value = ufunc.reduce(array, axis=axes, keepdims=True, initial=limit)
        return torch.from_numpy(np.asarray(value)).to(x.device)
    if any(x.shape[a] == 0 for a in axes):
        shape = [1 if a in axes else n for a, n in enumerate(x.shape)]
        return torch.full(shape, _bound(x.dtype, largest), dtype=x.dtype, device=x.device)
    return torch.amax(x, axes, keepdim=True) if largest else torch.amin(x, axes, keepdim=True)


def _bound(dtype: torch.dtype, largest: bool) -> float:
    """Return the value an empty maximum or minimum has."""
    if dtype.is_floating_point:
        return -math.inf if largest else math.inf
    if dtype == torch.bool:
        return not largest
    info = torch.iinfo(dtype)
    return info.min if largest else info.max


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    count = math.prod(x.shape[a] for a in axes)
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim=True) if axes else x
    if count == 0:
        raise ModelError("CIMC-M19", "the mean of no integers")
    return div(_sum(x, axes), torch.tensor(count, dtype=x.dtype, device=x.device))


def _log_sum_exp(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return torch.logsumexp(x, axes, keepdim=True) if axes else x


def reduce_sum(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the sum; 0 of no elements."""
    return _reduce(x, axes, keepdims, noop_with_empty_axes, _sum)


def reduce_mean(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the mean; of integers, truncated toward zero."""
    return _reduce(x, axes, keepdims, noop_with_empty_axes, _mean)


def reduce_max(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the maximum; the smallest value of the type where there are no elements."""
    return _reduce(x, axes, keepdims, noop_with_empty_axes, lambda v, a: _extreme(v, a, True))


def reduce_min(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the minimum; the largest value of the type where there are no elements."""
    return _reduce(x, axes, keepdims, noop_with_empty_axes, lambda v, a: _extreme(v, a, False))


def reduce_prod(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the product; 1 of no elements."""
    return _reduce(x, axes, keepdims, noop_with_empty_axes, _prod)


def reduce_l1(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the sum of magnitudes."""
    return _reduce(magnitude(x), axes, keepdims, noop_with_empty_axes, _sum)


def reduce_l2(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the square root of the sum of squares."""
    squares = _reduce(mul(x, x), axes, keepdims, noop_with_empty_axes, _sum)
    return in_float(squares, torch.sqrt)


def reduce_log_sum(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the logarithm of the sum."""
    return in_float(_reduce(x, axes, keepdims, noop_with_empty_axes, _sum), torch.log)


def reduce_log_sum_exp(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the logarithm of the sum of exponentials."""
    return in_float(x, lambda v: _reduce(v, axes, keepdims, noop_with_empty_axes, _log_sum_exp))


def reduce_sum_square(
    x: Tensor,
    axes: Tensor | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    """Return the sum of squares."""
    return _reduce(mul(x, x), axes, keepdims, noop_with_empty_axes, _sum)


def arg_max(
    x: Tensor, *, axis: int = 0, keepdims: bool = True, select_last_index: bool = False
) -> Tensor:
    """Return the index of the maximum along an axis, int64; the first or last of equal ones."""
    return _place(x, axis, keepdims, select_last_index, torch.argmax)


def arg_min(
    x: Tensor, *, axis: int = 0, keepdims: bool = True, select_last_index: bool = False
) -> Tensor:
    """Return the index of the minimum along an axis, int64; the first or last of equal ones."""
    return _place(x, axis, keepdims, select_last_index, torch.argmin)


def _place(
    x: Tensor, axis: int, keepdims: bool, last: bool, function: Callable[..., Tensor]
) -> Tensor:
    if x.dtype in WIDER:
        x = x.long() if x.dtype != torch.uint64 else x.view(torch.int64) ^ _SIGN
    if not last:
        return function(x, dim=axis, keepdim=keepdims)
    index = function(torch.flip(x, [axis]), dim=axis, keepdim=keepdims)
    return x.shape[axis] - 1 - index


OPERATORS: Final[dict[str, Operator]] = {
    "reduce_sum": Operator("reduce_sum", reduce_sum, "ReduceSum"),
    "reduce_mean": Operator("reduce_mean", reduce_mean, "ReduceMean"),
    "reduce_max": Operator("reduce_max", reduce_max, "ReduceMax"),
    "reduce_min": Operator("reduce_min", reduce_min, "ReduceMin"),
    "reduce_prod": Operator("reduce_prod", reduce_prod, "ReduceProd"),
    "reduce_l1": Operator("reduce_l1", reduce_l1, "ReduceL1"),
    "reduce_l2": Operator("reduce_l2", reduce_l2, "ReduceL2"),
    "reduce_log_sum": Operator("reduce_log_sum", reduce_log_sum, "ReduceLogSum"),
    "reduce_log_sum_exp": Operator("reduce_log_sum_exp", reduce_log_sum_exp, "ReduceLogSumExp"),
    "reduce_sum_square": Operator("reduce_sum_square", reduce_sum_square, "ReduceSumSquare"),
    "arg_max": Operator("arg_max", arg_max, "ArgMax"),
    "arg_min": Operator("arg_min", arg_min, "ArgMin"),
}
