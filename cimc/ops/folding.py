"""Operators that put patches or pooled values back into an image."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator
from cimc.ops.window import attribute, window


def col2im(
    x: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Add the columns of patches up to an image.

    Args:
        x: ``(batch, channels * prod(block), patches)``.
        image_shape: Spatial shape of the image, integer.
        block_shape: Shape of a patch, integer.
        dilations: Distance of the elements of a patch.
        pads: Margins, before all axes, then behind, that are cut off.
        strides: Steps between patches.

    Returns:
        ``(batch, channels, *image_shape)``.
    """
    image, block = image_shape.tolist(), block_shape.tolist()
    if min(block, default=1) < 1 or x.shape[1] % math.prod(block):
        raise ModelError(
            "CIMC-M38", f"{x.shape[1]} rows are not channels of blocks {block}", where="Col2Im"
        )
    frame = window(image, block, pads=pads, strides=strides, dilations=dilations)
    whole = [b + n + a for b, n, a in zip(frame.before, image, frame.after, strict=True)]
    starts = [
        range(0, n - reach + 1, step)
        for n, reach, step in zip(whole, frame.reach, frame.strides, strict=True)
    ]
    taps = [range(0, k * d, d) for k, d in zip(block, frame.dilations, strict=True)]
    place = _flat(taps, whole)[:, None] + _flat(starts, whole)[None, :]
    batch, channels = x.shape[0], x.shape[1] // math.prod(block)
    values = x.reshape(batch, channels, -1)
    canvas = x.new_zeros(batch, channels, math.prod(whole))
    y = canvas.index_add(2, place.reshape(-1).to(x.device), values)
    y = y.reshape(batch, channels, *whole)
    for axis, (before, size) in enumerate(zip(frame.before, image, strict=True)):
        y = y.narrow(2 + axis, before, size)
    return y


def _flat(ranges: list[range], shape: list[int]) -> Tensor:
    """Return the row-major indices of all combinations of coordinates, int64 ``(count,)``."""
    flat = torch.zeros(1, dtype=torch.int64)
    for axis, places in enumerate(ranges):
        stride = math.prod(shape[axis + 1 :])
        along = torch.arange(places.start, places.stop, places.step) * stride
        flat = (flat[:, None] + along).reshape(-1)
    return flat


def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Tensor | None = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Put pooled values back where they came from; the rest is 0.

    Args:
        x: ``(batch, channels, ...)``.
        indices: Place of each value in the flattened result, integer like x.
        output_shape: Shape of the result; must be the one that follows from the attributes.
        kernel_shape: Window of the pooling.
        pads: Its margins.
        strides: Its steps.

    Raises:
        ModelError: ``CIMC-M38``: another output shape is asked for: ONNX does not say which
            shape the indices are meant for then, and implementations differ.
            ``CIMC-M39``: an index is out of range.
    """
    rank = len(kernel_shape)
    steps = attribute("strides", strides, rank, 1, 1)
    margin = attribute("pads", pads, 2 * rank, 0, None)
    spatial = [
        (n - 1) * s - margin[k] - margin[rank + k] + kernel_shape[k]
        for k, (n, s) in enumerate(zip(x.shape[2:], steps, strict=True))
    ]
    shape = [*x.shape[:2], *spatial]
    if output_shape is not None and output_shape.tolist() != shape:
        raise ModelError(
            "CIMC-M38",
            f"output shape {output_shape.tolist()} is not the {shape} its attributes give",
            where="MaxUnpool, input 'output_shape'",
            hint="leaving the output shape away and padding the result",
        )
    place = indices.reshape(-1).to(torch.int64)
    total = math.prod(shape)
    if place.numel() and (int(place.min()) < 0 or int(place.max()) >= total):
        raise ModelError("CIMC-M39", f"an index is out of range for {total}", where="MaxUnpool")
    return x.new_zeros(total).scatter(0, place, x.reshape(-1)).reshape(shape)


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "col2im": Operator("col2im", col2im, "Col2Im"),
    "max_unpool": Operator("max_unpool", max_unpool, "MaxUnpool"),
}
