"""Operations that read crossbars: what they do around the read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ops.table import OPERATORS

#: Takes the operation's operands, None in place of the weight; returns its result.
Analog = Callable[..., Any]


class Reading(Protocol):
    """How an operation reads its layer: an input, and a bias added digitally, to a new tensor."""

    @property
    def geometry(self) -> Geometry:
        """How the weight lies."""

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x`` times the weight, as the crossbars and converters give it."""


def convolution(read: Reading, attributes: Mapping[str, Any]) -> Analog:
    """Return a convolution; the bias is added digitally."""

    def run(x: Tensor, _: None, bias: Tensor | None = None) -> Tensor:
        space = [1] * (x.ndim - 2)
        return read(x, None if bias is None else bias.reshape(1, -1, *space))

    return run


def transposed_convolution(read: Reading, attributes: Mapping[str, Any]) -> Analog:
    """Return a transposed convolution: a read a pixel, then the digital overlap-add.

    The overlap-add is a transposed convolution with a kernel of unit vectors, one group an output
    channel.
    """
    geometry = read.geometry
    taps = geometry.taps
    channels = geometry.groups * geometry.columns // taps
    unit = torch.eye(taps).reshape(taps, 1, *geometry.kernel)
    unit = unit.repeat(channels, *[1] * (len(geometry.kernel) + 1))
    overlap_add = OPERATORS["conv_transpose"].function
    attributes = {**attributes, "group": channels}

    def run(x: Tensor, _: None, bias: Tensor | None = None) -> Tensor:
        result: Tensor = overlap_add(read(x), unit.to(x.device), bias, **attributes)
        return result

    return run


def gemm(read: Reading, attributes: Mapping[str, Any]) -> Analog:
    """Return ``alpha * A' * W + beta * C``."""
    alpha, beta = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    transposed = bool(attributes.get("transA", 0))

    def run(a: Tensor, _: None, c: Tensor | None = None) -> Tensor:
        a = a.T if transposed else a
        if alpha == 1.0:
            return read(a, c if c is None or beta == 1.0 else c * beta)
        y = read(a).mul_(alpha)
        return y if c is None else y.add_(c, alpha=beta)

    return run


def right_product(read: Reading, attributes: Mapping[str, Any]) -> Analog:
    """Return ``x @ W``."""

    def run(x: Tensor, _: None) -> Tensor:
        return read(x) if x.ndim > 1 else read(x[None]).squeeze(-2)

    return run


def left_product(read: Reading, attributes: Mapping[str, Any]) -> Analog:
    """Return ``W @ x``; a matrix (or vector) ``x`` is one sample."""
    # Its first axis runs over word lines, not over samples.
    stacked = bool(read.geometry.stack)

    def run(_: None, x: Tensor) -> Tensor:
        if x.ndim > 2:
            return read(x)
        y = read(x[None, :, None] if x.ndim == 1 else x[None])
        y = y if stacked else y.squeeze(0)
        return y.squeeze(-1) if x.ndim == 1 else y

    return run


@dataclass(frozen=True, slots=True)
class RecurrentWeight:
    """The gate matrices of a recurrent layer, one a direction (a :class:`Stationary`)."""

    reads: tuple[Reading, ...]

    def mvm(self, x: Tensor, group: int) -> Tensor:
        """Multiply input vectors ``(..., rows)`` by the matrix of one direction."""
        return self.reads[group](x)


def row_vectors(geometry: Geometry) -> Geometry:
    """Return the geometry of gate matrices: ``x @ W`` whatever the axes of ``x``."""
    return replace(geometry, kind="recurrent", stack=())
