"""Normalizations; statistics of half precision are computed in float32."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator
from cimc.ops.reduction import normalize


def batch_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    """Return ``(x - mean) / sqrt(var + epsilon) * scale + bias`` with given statistics.

    Args:
        x: Shape ``(n, c, ...)``, or ``(n,)``, which is one channel.
        scale: Shape ``(c,)``, as bias, mean and var.
        bias: Shift of each channel.
        mean: Mean of each channel.
        var: Variance of each channel.
        epsilon: Added to the variance.
    """
    if x.numel() == 0:
        return x
    if x.ndim >= 2 and x.dtype == scale.dtype == mean.dtype and x.dtype.itemsize >= 4:
        return F.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)
    shape = (-1, *[1] * (x.ndim - 2)) if x.ndim >= 2 else (1,)
    wide = torch.promote_types(mean.dtype, torch.float32)
    factor = scale.to(wide) * torch.rsqrt(var.to(wide) + epsilon)
    y = (x.to(wide) - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape)
    return y.to(x.dtype)


def instance_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    """Normalize each feature map by its own mean and variance.

    Args:
        x: Shape ``(n, c, *spatial)``.
        scale: Shape ``(c,)``.
        bias: Shape ``(c,)``.
        epsilon: Added to the variance.
    """
    y = _standardized(x, tuple(range(2, x.ndim)), epsilon)[0].to(x.dtype)
    shape = (-1, *[1] * (x.ndim - 2))
    return y * scale.reshape(shape) + bias.reshape(shape)


def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalize over the axes from ``axis`` on.

    Args:
        x: Any shape.
        scale: Broadcasts to ``x.shape[axis:]``.
        bias: Broadcasts to ``x.shape[axis:]``.
        axis: First axis of those normalized over.
        epsilon: Added to the variance.
    """
    (first,) = normalize([axis], x.ndim)
    shape = x.shape[first:]
    if scale.shape == shape and (bias is None or bias.shape == shape) and x.dtype.itemsize >= 4:
        return F.layer_norm(x, shape, scale, bias, epsilon)
    return layer_normalization_statistics(x, scale, bias, axis=axis, epsilon=epsilon)[0]


def layer_normalization_statistics(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what :func:`layer_normalization` returns, the means and the inverse deviations.

    Args:
        x: See :func:`layer_normalization`, as for the other arguments.
        scale: See there.
        bias: See there.
        axis: See there.
        epsilon: See there.

    Returns:
        The result; mean and inverse deviation, sizes 1 from ``axis`` on, at least float32.
    """
    (first,) = normalize([axis], x.ndim)
    unit, mean, inverse = _standardized(x, tuple(range(first, x.ndim)), epsilon)
    y = unit.to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5
) -> Tensor:
    """Divide by the root mean square over the axes from ``axis`` on, then multiply by scale."""
    (first,) = normalize([axis], x.ndim)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    power = wide.square().mean(tuple(range(first, x.ndim)), keepdim=True)
    return (wide * torch.rsqrt(power + epsilon)).to(x.dtype) * scale


def group_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """Normalize each group of channels of each sample by its own mean and variance.

    Args:
        x: Shape ``(n, c, *spatial)``.
        scale: Shape ``(c,)``, or ``(num_groups,)`` as opset 18 had it.
        bias: As scale.
        num_groups: Divides ``c``.
        epsilon: Added to the variance.
    """
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups or scale.shape[0] not in (channels, num_groups):
        raise ModelError(
            "CIMC-M19", f"{channels} channels, {num_groups} groups, {scale.shape[0]} scales"
        )
    grouped = x.reshape(x.shape[0], num_groups, -1)
    y = _standardized(grouped, (2,), epsilon)[0].to(x.dtype).reshape(x.shape)
    shape = (-1, *[1] * (x.ndim - 2))
    if scale.shape[0] != channels:
        scale = scale.repeat_interleave(channels // num_groups)
        bias = bias.repeat_interleave(channels // num_groups)
    return y * scale.reshape(shape) + bias.reshape(shape)


def mean_variance_normalization(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """Return ``(x - mean) / (deviation + 1e-9)`` over axes; default 0, 2 and 3."""
    where = normalize([0, 2, 3] if axes is None else axes, x.ndim)
    centered = x - x.mean(where, keepdim=True)
    return centered / (centered.square().mean(where, keepdim=True).sqrt() + 1e-9)


def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Divide by the p-norm along an axis; where it is 0 the result is 0."""
    norm = x.abs().sum(axis, keepdim=True) if p == 1 else x.square().sum(axis, keepdim=True).sqrt()
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def lrn(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Divide by ``(bias + alpha / size * s) ** beta``, s the sum of squares of near channels.

    Args:
        x: Shape ``(n, c, ...)``.
        size: Channels summed over, the channel itself and those around it.
        alpha: Weight of the squares.
        beta: Exponent.
        bias: Offset.
    """
    if size < 1:
        raise ModelError("CIMC-M19", f"a sum over {size} channels")
    before, after = (size - 1) // 2, size // 2
    around = F.pad(x.square(), (0, 0) * (x.ndim - 2) + (before, after))
    total = sum(around[:, k : k + x.shape[1]] for k in range(size))
    return x / (bias + alpha / size * total) ** beta


def _standardized(
    x: Tensor, axes: tuple[int, ...], epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x with mean 0 and variance 1 over axes, the mean, the inverse deviation."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = wide.mean(axes, keepdim=True) if axes else wide
    centered = wide - mean
    var = centered.square().mean(axes, keepdim=True) if axes else centered
    inverse = torch.rsqrt(var + epsilon)
    return centered * inverse, mean, inverse


OPERATORS: Final[dict[str, Operator]] = {
    "batch_normalization": Operator(
        "batch_normalization", batch_normalization, "BatchNormalization"
    ),
    "instance_normalization": Operator(
        "instance_normalization", instance_normalization, "InstanceNormalization"
    ),
    "layer_normalization": Operator(
        "layer_normalization", layer_normalization, "LayerNormalization"
    ),
    "layer_normalization_statistics": Operator(
        "layer_normalization_statistics", layer_normalization_statistics, outputs=3
    ),
    "rms_normalization": Operator("rms_normalization", rms_normalization, "RMSNormalization"),
    "group_normalization": Operator(
        "group_normalization", group_normalization, "GroupNormalization"
    ),
    "mean_variance_normalization": Operator(
        "mean_variance_normalization", mean_variance_normalization, "MeanVarianceNormalization"
    ),
    "lp_normalization": Operator("lp_normalization", lp_normalization, "LpNormalization"),
    "lrn": Operator("lrn", lrn, "LRN"),
}
