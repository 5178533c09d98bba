"""Pooling over sliding windows and over whole feature maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator
from cimc.ops.window import Window, output_sizes, pad_axes, window

_MAX: Final[dict[int, Callable[..., Any]]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: Final[dict[int, Callable[..., Tensor]]] = {
    1: F.avg_pool1d,
    2: F.avg_pool2d,
    3: F.avg_pool3d,
}


def max_pool(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Return the maximum of each window; padding never wins.

    Args:
        x: Shape ``(n, c, *spatial)``, one to three spatial axes.
        kernel_shape: Window size.
        auto_pad: ``NOTSET``, ``VALID``, ``SAME_UPPER`` or ``SAME_LOWER``.
        ceil_mode: A last window that hangs over the end counts, unless it starts there.
        dilations: Per spatial axis; default 1.
        pads: All begins, then all ends; default 0.
        strides: Per spatial axis; default 1.

    Raises:
        ModelError: ``CIMC-M19``: the attributes do not fit.
    """
    w = window(
        x.shape[2:],
        kernel_shape,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
    )
    if not x.is_floating_point() and len(w.kernel) == 1:  # no such kernel in torch
        wide = max_pool(
            x.unsqueeze(-1),
            kernel_shape=[*w.kernel, 1],
            ceil_mode=ceil_mode,
            dilations=[*w.dilations, 1],
            pads=[*w.before, 0, *w.after, 0],
            strides=[*w.strides, 1],
        )
        return wide.squeeze(-1)
    function: Callable[..., Tensor] = _pool(_MAX, len(w.kernel))
    if _plain(x.shape[2:], w, ceil_mode):
        return function(x, w.kernel, w.strides, w.before, w.dilations)
    padded = _overhang(x, w, ceil_mode, _lowest(x.dtype))
    return function(padded, w.kernel, w.strides, 0, w.dilations)


def max_pool_indices(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what :func:`max_pool` returns and where in x each maximum stands.

    Args:
        x: As in :func:`max_pool`, as the other arguments are.
        kernel_shape: Window size.
        auto_pad: See :func:`max_pool`.
        ceil_mode: See :func:`max_pool`.
        dilations: See :func:`max_pool`.
        pads: See :func:`max_pool`.
        storage_order: 0: indices count x flattened; 1: inside a feature map the first spatial
            axis is the fast one.
        strides: See :func:`max_pool`.

    Returns:
        Maxima, and int64 indices into the flattened x.
    """
    w = window(
        x.shape[2:],
        kernel_shape,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
    )
    padded = _overhang(x, w, ceil_mode, _lowest(x.dtype))
    function = _pool(_MAX, len(w.kernel))
    y, flat = function(padded, w.kernel, w.strides, 0, w.dilations, return_indices=True)
    spatial = x.shape[2:]
    weights = [math.prod(spatial[k + 1 :]) for k in range(len(spatial))]
    if storage_order:
        weights = [math.prod(spatial[:k]) for k in range(len(spatial))]
    places = torch.zeros_like(flat)
    for axis in reversed(range(len(spatial))):
        places += (flat % padded.shape[2 + axis] - w.before[axis]) * weights[axis]
        flat = torch.div(flat, padded.shape[2 + axis], rounding_mode="floor")
    maps = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(spatial)
    return y, places + maps.reshape(x.shape[0], x.shape[1], *[1] * len(spatial))


def average_pool(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Return the mean of each window.

    Args:
        x: Shape ``(n, c, *spatial)``.
        kernel_shape: Window size.
        auto_pad: See :func:`max_pool`.
        ceil_mode: See :func:`max_pool`.
        count_include_pad: Padding counts as zeros; what hangs over it never counts.
        dilations: Per spatial axis; default 1.
        pads: All begins, then all ends; default 0.
        strides: Per spatial axis; default 1.
    """
    w = window(
        x.shape[2:],
        kernel_shape,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
    )
    if _plain(x.shape[2:], w, ceil_mode) and set(w.dilations) == {1}:
        function: Callable[..., Tensor] = _pool(_AVERAGE, len(w.kernel))
        return function(x, w.kernel, w.strides, w.before, False, count_include_pad)
    total = _window_sum(_overhang(x, w, ceil_mode, 0.0), w)
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if count_include_pad:
        counted = pad_axes(counted, w.before, w.after, 1.0)
        rest = Window(w.kernel, w.strides, w.dilations, (0,) * len(w.kernel), (0,) * len(w.kernel))
        ends = _ends(x.shape[2:], w, ceil_mode)
        over = [e - a for e, a in zip(ends, w.after, strict=True)]
        return total / _window_sum(pad_axes(counted, rest.before, over, 0.0), w)
    return total / _window_sum(_overhang(counted, w, ceil_mode, 0.0), w)


def lp_pool(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Return the p-norm of each window; arguments as in :func:`max_pool`."""
    w = window(
        x.shape[2:],
        kernel_shape,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
    )
    return _window_sum(_overhang(x.abs() ** p, w, ceil_mode, 0.0), w) ** (1 / p)


def global_average_pool(x: Tensor) -> Tensor:
    """Return the mean of each feature map, ``(n, c, 1, ...)``."""
    return x.mean(_spatial(x), keepdim=True) if x.ndim > 2 else x


def global_max_pool(x: Tensor) -> Tensor:
    """Return the maximum of each feature map, ``(n, c, 1, ...)``."""
    return x.amax(_spatial(x), keepdim=True) if x.ndim > 2 else x


def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """Return the p-norm of each feature map, ``(n, c, 1, ...)``."""
    powers = x.abs() ** p
    return (powers.sum(_spatial(x), keepdim=True) if x.ndim > 2 else powers) ** (1 / p)


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _pool(table: dict[int, Callable[..., Any]], axes: int) -> Callable[..., Any]:
    if axes not in table:
        raise ModelError("CIMC-M19", f"pooling over {axes} spatial axes")
    return table[axes]


def _plain(spatial: Sequence[int], w: Window, ceil_mode: bool) -> bool:
    """Tell whether torch's pooling pads as wanted: alike on both sides, at most half a window."""
    small = all(2 * before <= size for before, size in zip(w.before, w.kernel, strict=True))
    fits = min(output_sizes(spatial, w, ceil_mode), default=1) >= 1
    return fits and w.symmetric and small and not ceil_mode


def _lowest(dtype: torch.dtype) -> float:
    return -math.inf if dtype.is_floating_point else float(torch.iinfo(dtype).min)


def _ends(spatial: Sequence[int], w: Window, ceil_mode: bool) -> list[int]:
    """Return the padding after each axis with which the windows fit exactly; may be negative."""
    counts = output_sizes(spatial, w, ceil_mode)
    if min(counts, default=1) < 1:
        raise ModelError("CIMC-M19", f"a window of {list(w.kernel)} on {list(spatial)} elements")
    return [
        (count - 1) * s + reach - size - before
        for count, s, reach, size, before in zip(
            counts, w.strides, w.reach, spatial, w.before, strict=True
        )
    ]


def _overhang(x: Tensor, w: Window, ceil_mode: bool, value: float) -> Tensor:
    """Pad x so that the windows fit exactly."""
    return pad_axes(x, w.before, _ends(x.shape[2:], w, ceil_mode), value)


def _window_sum(x: Tensor, w: Window) -> Tensor:
    """Return the sum over each window of an input in which the windows fit exactly."""
    taps = math.prod(w.kernel)
    if all(d == 1 for d in w.dilations) and len(w.kernel) in _AVERAGE:
        return _AVERAGE[len(w.kernel)](x, w.kernel, w.strides) * taps
    y: Tensor | None = None
    for tap in itertools.product(*map(range, w.kernel)):
        index: tuple[slice, ...] = tuple(
            slice(t * d, t * d + size - reach + 1, s)
            for t, d, size, reach, s in zip(
                tap, w.dilations, x.shape[2:], w.reach, w.strides, strict=True
            )
        )
        part = x[(slice(None), slice(None), *index)]
        y = part if y is None else y + part
    if y is None:
        raise ModelError("CIMC-M19", "pooling over no axes")
    return y


OPERATORS: Final[dict[str, Operator]] = {
    "max_pool": Operator("max_pool", max_pool, "MaxPool"),
    "max_pool_indices": Operator("max_pool_indices", max_pool_indices, outputs=2),
    "average_pool": Operator("average_pool", average_pool, "AveragePool"),
    "lp_pool": Operator("lp_pool", lp_pool, "LpPool"),
    "global_average_pool": Operator(
        "global_average_pool", global_average_pool, "GlobalAveragePool"
    ),
    "global_max_pool": Operator("global_max_pool", global_max_pool, "GlobalMaxPool"),
    "global_lp_pool": Operator("global_lp_pool", global_lp_pool, "GlobalLpPool"),
}
