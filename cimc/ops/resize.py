"""Resizing by interpolation, one axis after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis is resized.

    Attributes:
        size: Input size [-].
        length: Output size as it comes from the scale, may be fractional [-].
        out: Output size [-].
        scale: Output samples per input sample [-].
        roi: Start and end of the region of interest, as fractions of the axis.
    """

    size: int
    length: float
    out: int
    scale: float
    roi: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Rules:
    """The attributes of the operator."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    antialias: bool
    exclude_outside: bool
    extrapolation: float


def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    antialias: bool = False,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """Resize by nearest, linear or cubic interpolation.

    Args:
        x: Input.
        roi: Starts, then ends, of the axes resized; used with ``tf_crop_and_resize`` only.
        scales: Output size over input size of each axis; empty: sizes is given.
        sizes: Output size of each axis, integer.
        antialias: Widen linear and cubic filters where the axis shrinks.
        axes: Axes that roi, scales and sizes speak of; all by default.
        coordinate_transformation_mode: ``half_pixel``, ``half_pixel_symmetric``,
            ``pytorch_half_pixel``, ``align_corners``, ``asymmetric``, ``tf_crop_and_resize``.
        cubic_coeff_a: Coefficient a of the cubic filter.
        exclude_outside: Samples outside of the input have no weight.
        extrapolation_value: Value outside of the input with ``tf_crop_and_resize``.
        keep_aspect_ratio_policy: ``stretch``, ``not_larger``, ``not_smaller`` than sizes.
        mode: ``nearest``, ``linear``, ``cubic``.
        nearest_mode: ``round_prefer_floor``, ``round_prefer_ceil``, ``floor``, ``ceil``;
            ``simple`` (before opset 11): floor where the axis grows, ceil where it shrinks.

    Raises:
        ModelError: ``CIMC-M38``: an unknown mode, or neither scales nor sizes.
    """
    rules = _Rules(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        antialias,
        exclude_outside,
        extrapolation_value,
    )
    chosen = [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))
    plans = _plan(x, chosen, roi, scales, sizes, keep_aspect_ratio_policy)
    y = x if x.is_floating_point() or mode == "nearest" else x.double()
    for axis, plan in zip(chosen, plans, strict=True):
        whole = plan.roi == (0.0, 1.0) or rules.coordinates != "tf_crop_and_resize"
        if not (plan.out == plan.size and plan.scale == 1.0 and whole):
            y = _resize_axis(y, axis, plan, rules)
    if y.dtype != x.dtype:
        info = torch.iinfo(x.dtype)
        y = y.round().clamp(info.min, info.max).to(x.dtype)
    return y


def _plan(
    x: Tensor,
    axes: list[int],
    roi: Tensor | None,
    scales: Tensor | None,
    sizes: Tensor | None,
    policy: str,
) -> list[_Axis]:
    """Return how each of the axes is resized."""
    count = len(axes)
    region = [0.0] * count + [1.0] * count
    if roi is not None and roi.numel() == 2 * count:
        region = [float(v) for v in roi.tolist()]
    regions = list(zip(region[:count], region[count:], strict=True))
    old = [x.shape[a] for a in axes]
    if sizes is not None and sizes.numel():
        new = [int(n) for n in sizes.tolist()]
        if policy == "stretch":
            return [
                _Axis(o, n, n, n / max(o, 1), r) for o, n, r in zip(old, new, regions, strict=True)
            ]
        choose = min if policy == "not_larger" else max
        n, o = choose(zip(new, old, strict=True), key=lambda pair: pair[0] / pair[1])
        outs = [int(n * size / o + 0.5) for size in old]
        return [
            _Axis(s, n / o * s, out, n / o, r)
            for s, out, r in zip(old, outs, regions, strict=True)
        ]
    if scales is None or scales.numel() != count:
        raise ModelError("CIMC-M38", "needs as many scales or sizes as axes", where="Resize")
    # In float32, the type of scales: 7 * float32(11 / 7) is 11, not a bit less.
    lengths = (scales.float() * torch.tensor(old, dtype=torch.float32)).tolist()
    return [
        _Axis(o, length, math.floor(length), f, r)
        for o, length, f, r in zip(old, lengths, scales.tolist(), regions, strict=True)
    ]


def _resize_axis(x: Tensor, axis: int, plan: _Axis, rules: _Rules) -> Tensor:
    """Resize one axis."""
    position = _source(plan, rules.coordinates)
    if plan.out == 0 or plan.size == 0:
        return x.new_zeros([plan.out if a == axis else n for a, n in enumerate(x.shape)])
    if rules.mode == "nearest":
        index = _nearest(position, plan.scale, rules.nearest)
        y = x.index_select(axis, index.clamp(0, plan.size - 1).to(x.device))
    else:
        index, weights = _taps(position, plan.scale, rules)
        if rules.exclude_outside:
            weights = weights.masked_fill((index < 0) | (index >= plan.size), 0.0)
            total = weights.sum(dim=1, keepdim=True)
            weights = weights / torch.where(total == 0, torch.ones_like(total), total)
        y = _weighted(x, axis, index.clamp(0, plan.size - 1), weights)
    if rules.coordinates == "tf_crop_and_resize":
        outside = ((position < 0) | (position > plan.size - 1)).to(x.device)
        shape = [plan.out if a == axis else 1 for a in range(x.ndim)]
        y = y.masked_fill(outside.reshape(shape), rules.extrapolation)
    return y


def _source(plan: _Axis, coordinates: str) -> Tensor:
    """Return the place in the input of each output sample, float32 ``(out,)``.

    In float32 as in onnxruntime: where a place falls between two samples, the last bit decides
    which is the nearest.
    """
    i = torch.arange(plan.out, dtype=torch.float32)
    scale = torch.tensor(plan.scale, dtype=torch.float32)
    last = plan.size - 1
    if coordinates == "asymmetric":
        return i / scale
    if coordinates == "align_corners":
        return i * last / (plan.length - 1) if plan.length != 1 else torch.zeros_like(i)
    if coordinates == "tf_crop_and_resize":
        start, end = plan.roi
        if plan.length == 1:
            return torch.full_like(i, (end - start) * last / 2 + start * last)
        return i * (end - start) * last / (plan.length - 1) + start * last
    if coordinates == "pytorch_half_pixel" and plan.length == 1:
        return torch.zeros_like(i)
    centre = (i + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        length = scale * plan.size
        return plan.size / 2 * (1 - plan.out / length) + (i + 0.5) / scale - 0.5
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        return centre
    raise ModelError(
        "CIMC-M38",
        f"unknown mode {coordinates!r}",
        where="Resize, attribute 'coordinate_transformation_mode'",
    )


def _nearest(position: Tensor, scale: float, mode: str) -> Tensor:
    """Return the input sample taken for each place, int64; may lie outside."""
    if mode == "simple":
        mode = "ceil" if scale < 1 else "floor"
    if mode == "round_prefer_floor":
        position = torch.ceil(position - 0.5)
    elif mode == "round_prefer_ceil":
        position = torch.floor(position + 0.5)
    elif mode == "floor":
        position = torch.floor(position)
    elif mode == "ceil":
        position = torch.ceil(position)
    else:
        raise ModelError(
            "CIMC-M38", f"unknown mode {mode!r}", where="Resize, attribute 'nearest_mode'"
        )
    return position.to(torch.int64)


def _taps(position: Tensor, scale: float, rules: _Rules) -> tuple[Tensor, Tensor]:
    """Return the input samples each output mixes and their weights, both ``(out, taps)``."""
    reach = {"linear": 1, "cubic": 2}.get(rules.mode)
    if reach is None:
        raise ModelError(
            "CIMC-M38", f"unknown mode {rules.mode!r}", where="Resize, attribute 'mode'"
        )
    squeeze = min(scale, 1.0) if rules.antialias else 1.0
    first = math.floor(-reach / squeeze) + 1
    # A sample that falls on an input sample counts as the right end of its interval.
    left = torch.ceil(position) - 1
    offsets = torch.arange(first, 2 - first, dtype=torch.float32)
    index = left[:, None] + offsets
    distance = ((index - position[:, None]) * squeeze).abs()
    kernel = _triangle(distance) if reach == 1 else _cubic(distance, rules.cubic_a)
    if rules.antialias:
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
    return index.to(torch.int64), kernel


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _cubic(d: Tensor, a: float) -> Tensor:
    """Return the cubic convolution kernel (Keys) at a distance."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def _weighted(x: Tensor, axis: int, index: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of samples along an axis."""
    index, weights = index.to(x.device), weights.to(x.device, x.dtype)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    y = x.index_select(axis, index[:, 0]) * weights[:, 0].reshape(shape)
    for k in range(1, index.shape[1]):
        y = y + x.index_select(axis, index[:, k]) * weights[:, k].reshape(shape)
    return y


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {"resize": Operator("resize", resize, "Resize")}
