"""Sliding windows: sizes, padding and strides as ONNX defines them, for any number of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.errors import ModelError


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over the spatial axes.

    Attributes:
        kernel: Window size on each axis [-].
        strides: Step on each axis [-].
        dilations: Distance of neighbouring taps on each axis [-].
        before: Padding before the first element on each axis; may be negative (cropping) [-].
        after: Padding after the last [-].
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.before) or any(self.after)

    @property
    def symmetric(self) -> bool:
        """Whether both sides of every axis have the same non-negative padding."""
        return self.before == self.after and min(self.before, default=0) >= 0

    @property
    def reach(self) -> tuple[int, ...]:
        """Elements from the first to the last tap on each axis [-]."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def pad(self, x: Tensor, value: float = 0.0) -> Tensor:
        """Return x padded on its spatial axes."""
        return pad_axes(x, self.before, self.after, value) if self.padded else x


def window(
    spatial: Sequence[int],
    kernel: Sequence[int],
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Window:
    """Resolve the attributes of Conv and the pooling operators for an input size.

    ``SAME_UPPER`` and ``SAME_LOWER`` pad such that ``ceil(size / stride)`` windows fit; an odd
    element goes after or before.  ``VALID`` is no padding.

    Args:
        spatial: Size of each spatial axis of the input.
        kernel: Window size.
        auto_pad: As in ONNX.
        dilations: Default 1.
        pads: All begins, then all ends; default 0; ignored unless ``auto_pad`` is ``NOTSET``.
        strides: Default 1.

    Raises:
        ModelError: ``CIMC-M19``: a list has the wrong length or an element out of range.
    """
    n = len(kernel)
    steps = attribute("strides", strides, n, 1, 1)
    gaps = attribute("dilations", dilations, n, 1, 1)
    if len(spatial) != n:
        raise ModelError("CIMC-M19", f"a window of {n} axes on {len(spatial)} spatial axes")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip(spatial, kernel, steps, gaps, strict=True)
        ]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    elif auto_pad == "VALID":
        before = after = [0] * n
    elif auto_pad in ("NOTSET", ""):
        both = attribute("pads", pads, 2 * n, 0, None)
        before, after = list(both[:n]), list(both[n:])
    else:
        raise ModelError("CIMC-M19", f"auto_pad {auto_pad!r} is not an ONNX value")
    return Window(tuple(kernel), steps, gaps, tuple(before), tuple(after))


def output_sizes(spatial: Sequence[int], w: Window, ceil_mode: bool = False) -> list[int]:
    """Return how many windows fit on each axis."""
    sizes = []
    for size, reach, s, before, after in zip(
        spatial, w.reach, w.strides, w.before, w.after, strict=True
    ):
        room = size + before + after - reach
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # A window that starts in the padding at the end does not count.
        if ceil_mode and (count - 1) * s >= size + before:
            count -= 1
        sizes.append(count)
    return sizes


def attribute(
    name: str, values: Sequence[int] | None, count: int, default: int, least: int | None
) -> tuple[int, ...]:
    """Return a per-axis attribute, filled with the default, checked.

    Raises:
        ModelError: ``CIMC-M19``: wrong length, or an element below ``least``.
    """
    if values is None or (not values and count):
        return (default,) * count
    if len(values) != count or (least is not None and min(values, default=least) < least):
        raise ModelError("CIMC-M19", f"{name} must be {count} integers (got {list(values)})")
    return tuple(values)


def pad_axes(x: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """Pad (or crop, where negative) the last ``len(before)`` axes with a value."""
    pairs = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    return torch.nn.functional.pad(x, pairs, value=value) if any(pairs) else x
