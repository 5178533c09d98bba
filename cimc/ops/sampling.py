"""Operators that read an image at computed places."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator
from cimc.ops.window import window


def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    """Read an image at the places of a grid.

    Args:
        x: ``(batch, channels, height, width)`` or with a depth before the height.
        grid: ``(batch, ..., 2 or 3)``: x, y (and z) from -1 to 1.
        align_corners: -1 and 1 are centres of corner pixels; else their outer edges.
        mode: ``linear``, ``nearest``, ``cubic`` (images without depth only).
        padding_mode: ``zeros``, ``border``, ``reflection``.

    Raises:
        ModelError: ``CIMC-M38``: unknown mode.
    """
    modes = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
    if mode not in modes or (mode == "cubic" and x.ndim != 4):
        raise ModelError("CIMC-M38", f"mode {mode!r} of {x.ndim - 2} axes", where="GridSample")
    if 0 in x.shape[2:]:
        raise ModelError("CIMC-M38", f"an empty image {tuple(x.shape)}", where="GridSample")
    return F.grid_sample(
        x,
        grid.to(x.dtype),
        mode=modes[mode],
        padding_mode=padding_mode,
        align_corners=align_corners,
    )


def affine_grid(theta: Tensor, size: Tensor, *, align_corners: bool = False) -> Tensor:
    """Return the grid that an affine map asks :func:`grid_sample` for.

    Args:
        theta: ``(batch, 2, 3)`` or ``(batch, 3, 4)``.
        size: Shape of the image to make, integer ``(4,)`` or ``(5,)``.
        align_corners: As in :func:`grid_sample`.
    """
    return F.affine_grid(theta, [int(n) for n in size], align_corners=align_corners)


def roi_align(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Pool regions of an image to one size, reading between pixels.

    Args:
        x: ``(batch, channels, height, width)``.
        rois: ``(count, 4)``: x1, y1, x2, y2.
        batch_indices: Image of each region, integer ``(count,)``.
        coordinate_transformation_mode: ``half_pixel`` (pixel centres at .5) or
            ``output_half_pixel``.
        mode: ``avg`` or ``max``.
        output_height: Rows of the result [-].
        output_width: Columns of the result [-].
        sampling_ratio: Points read per bin and axis; 0: as many as the bin has pixels.
        spatial_scale: From coordinates of the regions to pixels of x.

    Returns:
        ``(count, channels, output_height, output_width)``.
    """
    half = coordinate_transformation_mode == "half_pixel"
    boxes = rois * spatial_scale - (0.5 if half else 0.0)
    pooled = []
    for box, image in zip(boxes, batch_indices.tolist(), strict=True):
        left, top, right, bottom = (float(v) for v in box)
        width, height = right - left, bottom - top
        if not half:
            width, height = max(width, 1.0), max(height, 1.0)
        y, rows = _points(top, height, output_height, sampling_ratio, x)
        z, columns = _points(left, width, output_width, sampling_ratio, x)
        parts = _corners(x[image], y, z)
        if mode == "max":
            values = torch.stack(parts).amax(dim=0)
        else:
            values = parts[0] + parts[1] + parts[2] + parts[3]
        bins = values.reshape(x.shape[1], output_height, rows, output_width, columns)
        if not rows * columns:
            pooled.append(x.new_zeros(x.shape[1], output_height, output_width))
        else:
            pooled.append(bins.amax((2, 4)) if mode == "max" else bins.mean((2, 4)))
    if not pooled:
        return x.new_zeros(0, x.shape[1], output_height, output_width)
    return torch.stack(pooled)


def _points(
    start: float, length: float, bins: int, ratio: int, like: Tensor
) -> tuple[Tensor, int]:
    """Return where the bins of an axis are read, and how often each."""
    size = length / bins
    count = ratio if ratio > 0 else max(math.ceil(size), 0)
    step = torch.arange(bins * count, dtype=like.dtype, device=like.device)
    return start + (step + 0.5) * (size / count if count else 0.0), count


def _corners(image: Tensor, y: Tensor, x: Tensor) -> list[Tensor]:
    """Return the four weighted corner pixels of bilinear reading, each ``(channels, y, x)``."""
    y0, y1, wy, y_out = _neighbours(y, image.shape[1])
    x0, x1, wx, x_out = _neighbours(x, image.shape[2])
    kept = ~(y_out[:, None] | x_out)
    parts = []
    for rows, row_weight in ((y0, 1 - wy), (y1, wy)):
        for columns, column_weight in ((x0, 1 - wx), (x1, wx)):
            weight = row_weight[:, None] * column_weight * kept
            parts.append(image[:, rows][:, :, columns] * weight)
    return parts


def _neighbours(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the pixels before and after places, the weight of the latter, what lies outside."""
    outside = (place < -1.0) | (place > size)
    place = place.clamp(0, size - 1)
    before = place.floor()
    after = (before + 1).clamp(max=size - 1)
    return before.long(), after.long(), place - before, outside


def deform_conv(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Convolve with kernel taps moved by offsets (deformable convolution v2, two spatial axes).

    Args:
        x: ``(batch, channels, height, width)``.
        weight: ``(out, channels / group, kh, kw)``.
        offset: ``(batch, offset_group * kh * kw * 2, oh, ow)``: rows, columns of each tap.
        bias: ``(out,)``.
        mask: Factor of each tap, ``(batch, offset_group * kh * kw, oh, ow)``.
        dilations: Distance of the taps.
        group: Groups of channels.
        kernel_shape: That of the weight.
        offset_group: Groups of channels that share offsets.
        pads: Rows and columns before, then behind.
        strides: Steps between outputs.

    Raises:
        ModelError: ``CIMC-M38``: not two spatial axes.
    """
    del kernel_shape
    if x.ndim != 4:
        raise ModelError("CIMC-M38", f"{x.ndim - 2} spatial axes instead of 2", where="DeformConv")
    kernel = weight.shape[2:]
    frame = window(x.shape[2:], kernel, pads=pads, strides=strides, dilations=dilations)
    batch, taps = x.shape[0], kernel[0] * kernel[1]
    out = offset.shape[2:]
    moved = offset.reshape(batch * offset_group, taps, 2, *out)
    places = []
    for axis in range(2):
        shape = [1, 1, 1, 1]
        shape[2 + axis] = -1
        base = torch.arange(out[axis], device=x.device) * frame.strides[axis] - frame.before[axis]
        index = torch.arange(taps, device=x.device)
        tap = index // kernel[1] if axis == 0 else index % kernel[1]
        fixed = base.reshape(shape) + (tap * frame.dilations[axis]).reshape(1, -1, 1, 1)
        places.append((moved[:, :, axis] + fixed).flatten(1))
    channels = x.shape[1]
    grouped = x.reshape(batch * offset_group, channels // offset_group, *x.shape[2:])
    read = _read(grouped, *places)
    read = read.reshape(batch, offset_group, channels // offset_group, taps, *out)
    if mask is not None:
        read = read * mask.reshape(batch, offset_group, 1, taps, *out)
    columns = read.reshape(batch, group, channels // group * taps, out[0] * out[1])
    matrix = weight.reshape(group, weight.shape[0] // group, -1)
    y = torch.matmul(matrix, columns).reshape(batch, weight.shape[0], *out)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def _read(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read images bilinearly at pixel coordinates, 0 outside.

    Args:
        images: ``(n, channels, height, width)``.
        y: Rows, ``(n, places)``.
        x: Columns, ``(n, places)``.

    Returns:
        ``(n, channels, places)``.
    """
    height, width = images.shape[2:]
    flat = images.flatten(2)
    total = torch.zeros_like(flat[..., :1]).expand(-1, -1, y.shape[1])
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    for row, row_weight in ((top, 1 - down), (top + 1, down)):
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            index = place[:, None].expand(-1, flat.shape[1], -1)
            weight = (row_weight * column_weight * inside)[:, None]
            total = total + flat.gather(2, index) * weight
    return total


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "grid_sample": Operator("grid_sample", grid_sample, "GridSample"),
    "affine_grid": Operator("affine_grid", affine_grid, "AffineGrid"),
    "roi_align": Operator("roi_align", roi_align, "RoiAlign"),
    "deform_conv": Operator("deform_conv", deform_conv, "DeformConv"),
}
