"""Convolutions over one, two or three spatial axes (any number for ``conv``'s rank check)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator
from cimc.ops.window import Window, attribute, output_sizes, window

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Correlate x with the weight.

    Args:
        x: Shape ``(n, c, *spatial)``, one to three spatial axes.
        weight: Shape ``(m, c / group, *kernel)``.
        bias: Shape ``(m,)``.
        auto_pad: ``NOTSET``, ``VALID``, ``SAME_UPPER`` or ``SAME_LOWER``.
        dilations: Per spatial axis; default 1.
        group: Channel groups; divides ``c`` and ``m``.
        kernel_shape: Must be that of the weight when given.
        pads: All begins, then all ends; default 0.
        strides: Per spatial axis; default 1.

    Returns:
        Shape ``(n, m, *spatial')``.

    Raises:
        ModelError: ``CIMC-M19``: shapes or attributes do not fit.
    """
    w = conv_window(
        x.shape[2:],
        weight.shape[2:],
        auto_pad=auto_pad,
        dilations=dilations,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    function = _CONV.get(len(w.kernel))
    if function is None:
        raise ModelError("CIMC-M19", f"convolution over {len(w.kernel)} spatial axes")
    if x.shape[1] != weight.shape[1] * group or weight.shape[0] % group:
        raise ModelError(
            "CIMC-M19",
            f"{x.shape[1]} channels, weight {tuple(weight.shape)} and group {group} do not fit",
        )
    if x.numel() == 0 or weight.numel() == 0:
        return _of_nothing(x, weight.shape[0], output_sizes(x.shape[2:], w), bias)
    if w.symmetric:
        return function(x, weight, bias, w.strides, w.before, w.dilations, group)
    return function(w.pad(x), weight, bias, w.strides, 0, w.dilations, group)


def conv_window(
    spatial: Sequence[int],
    kernel: Sequence[int],
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Window:
    """Resolve the attributes of :func:`conv` for an input size and a weight's kernel.

    Raises:
        ModelError: ``CIMC-M19``: they do not fit.
    """
    if kernel_shape and list(kernel_shape) != list(kernel):
        raise ModelError(
            "CIMC-M19", f"kernel_shape {list(kernel_shape)} but the weight has {list(kernel)}"
        )
    return window(
        spatial, kernel, auto_pad=auto_pad, dilations=dilations, pads=pads, strides=strides
    )


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Apply the transpose of a convolution: the gradient of :func:`conv` for its input.

    Args:
        x: Shape ``(n, c, *spatial)``, one to three spatial axes.
        weight: Shape ``(c, m / group, *kernel)``.
        bias: Shape ``(m,)``.
        auto_pad: As in :func:`conv`; ``SAME`` makes the output ``spatial * stride``.
        dilations: Per spatial axis; default 1.
        group: Channel groups; divides ``c``.
        kernel_shape: Must be that of the weight when given.
        output_padding: Extra output elements at the end of each axis, less than the stride or
            the dilation.
        output_shape: Spatial output shape (with or without the two leading axes); pads follow.
        pads: Elements cut from the full output, all begins, then all ends; default 0.
        strides: Per spatial axis; default 1.

    Returns:
        Shape ``(n, m, *spatial')``.

    Raises:
        ModelError: ``CIMC-M19``: shapes or attributes do not fit.
    """
    kernel = tuple(weight.shape[2:])
    n = len(kernel)
    if n not in _CONV_TRANSPOSE or x.ndim != weight.ndim or x.shape[1] != weight.shape[0]:
        raise ModelError(
            "CIMC-M19",
            f"transposed convolution of {tuple(x.shape)} by a weight {tuple(weight.shape)}",
        )
    if kernel_shape and tuple(kernel_shape) != kernel:
        raise ModelError("CIMC-M19", f"kernel_shape {list(kernel_shape)}, weight {list(kernel)}")
    steps = attribute("strides", strides, n, 1, 1)
    gaps = attribute("dilations", dilations, n, 1, 1)
    before, after = transposed_cuts(
        x.shape[2:],
        kernel,
        steps,
        gaps,
        auto_pad=auto_pad,
        output_padding=output_padding,
        output_shape=output_shape,
        pads=pads,
    )
    if x.numel() == 0 or weight.numel() == 0:
        sizes = [
            (size - 1) * s + d * (k - 1) + 1 - b - a
            for size, s, d, k, b, a in zip(
                x.shape[2:], steps, gaps, kernel, before, after, strict=True
            )
        ]
        return _of_nothing(x, weight.shape[1] * group, sizes, bias)
    full = _CONV_TRANSPOSE[n](x, weight, None, steps, 0, 0, group, gaps)
    # A negative cut adds zeros: elements of the output that no input reaches.
    y = F.pad(full, [-v for b, a in zip(before[::-1], after[::-1], strict=True) for v in (b, a)])
    return y if bias is None else y + bias.reshape(-1, *[1] * n)


def _of_nothing(x: Tensor, columns: int, sizes: list[int], bias: Tensor | None) -> Tensor:
    """Return a convolution without samples, channels or weights: the bias, or nothing.

    Raises:
        ModelError: ``CIMC-M19``: no window fits.
    """
    if min(sizes, default=1) < 1:
        raise ModelError("CIMC-M19", f"a convolution of {tuple(x.shape)} has sizes {sizes}")
    y = x.new_zeros((x.shape[0], columns, *sizes))
    return y if bias is None else y + bias.reshape(-1, *[1] * len(sizes))


def transposed_cuts(
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    auto_pad: str = "NOTSET",
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
) -> tuple[list[int], list[int]]:
    """Return what :func:`conv_transpose` cuts from the full output before and after each axis.

    The full output has ``(size - 1) * stride + dilation * (kernel - 1) + 1`` elements on an axis.
    A negative cut adds zeros.

    Raises:
        ModelError: ``CIMC-M19``: an attribute does not fit.
    """
    n = len(kernel)
    extra = attribute("output_padding", output_padding, n, 0, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ModelError("CIMC-M19", f"output_padding {list(extra)} is not below the stride")
    full = [
        (size - 1) * s + d * (k - 1) + 1
        for size, s, d, k in zip(spatial, strides, dilations, kernel, strict=True)
    ]
    if output_shape:
        wanted = list(output_shape)[-n:]
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * s for size, s in zip(spatial, strides, strict=True)]
    else:
        both = attribute("pads", pads if auto_pad in ("NOTSET", "") else None, 2 * n, 0, None)
        return list(both[:n]), [b - e for b, e in zip(both[n:], extra, strict=True)]
    total = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    # More output than the input reaches: all of the missing part is at the end.
    half = [max(t, 0) // 2 for t in total]
    rest = [t - h for t, h in zip(total, half, strict=True)]
    first = half if auto_pad == "SAME_UPPER" else [max(r, 0) for r in rest]
    after = [t - b for t, b in zip(total, first, strict=True)]
    return first, [a - e for a, e in zip(after, extra, strict=True)]


OPERATORS: Final[dict[str, Operator]] = {
    "conv": Operator("conv", conv, "Conv", weights=(1,)),
    "conv_transpose": Operator("conv_transpose", conv_transpose, "ConvTranspose", weights=(1,)),
}
