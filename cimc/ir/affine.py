"""Find nodes that scale and shift the output channels of a convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard, cast

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite


@dataclass(frozen=True, slots=True, eq=False)
class AffineNode:
    """A node that computes ``scale * conv + shift``, one value each an output channel.

    Attributes:
        conv: The convolution.
        scale: float64 ``(channels,)``.
        shift: float64 ``(channels,)``.
        scaling: Constants that scale and shift come from, besides the next.
        added: Constant that is part of the shift, one value a channel or one for all, and its
            sign there; None: none is.
    """

    conv: Node
    scale: Tensor
    shift: Tensor
    scaling: tuple[Node, ...] = ()
    added: tuple[Node, int] | None = None


def _is_convolution(node: object) -> TypeGuard[Node]:
    return rewrite.operator_name(node) in ("conv", "conv_transpose")


def groups_of(conv: Node) -> int:
    """Return the groups of a convolution."""
    return int(cast("int", conv.kwargs.get("group", 1)))


def affine_node(node: Node, tensors: Mapping[str, Tensor]) -> AffineNode | None:
    """Return what a BatchNormalization, Mul, Add or Sub applies to a convolution.

    None where it applies something else, or to something else.
    """
    kind = rewrite.operator_name(node)
    conv, other = node.args[:2]
    if kind == "batch_normalization":
        statistics = [s for s in node.args[1:5] if rewrite.is_constant(s)]
        if not _is_convolution(conv) or len(statistics) < 4:
            return None
        values = (rewrite.constant_of(s, tensors).double() for s in statistics)
        gamma, beta, mean, var = values
        epsilon = float(cast("float", node.kwargs.get("epsilon", 1e-5)))
        scale = gamma / torch.sqrt(var + epsilon)
        if not _finite(scale):
            return None
        weight, bias, *others = statistics
        return AffineNode(conv, scale, beta - mean * scale, (weight, *others), (bias, 1))
    if not _is_convolution(conv) and kind != "sub":
        conv, other = other, conv
    if not _is_convolution(conv) or not rewrite.is_constant(other):
        return None
    value = _per_channel(rewrite.constant_of(other, tensors), conv, tensors)
    if value is None:
        return None
    if kind == "mul":
        return AffineNode(conv, value, torch.zeros_like(value), (other,))
    sign = 1 if kind == "add" else -1
    return AffineNode(conv, torch.ones_like(value), sign * value, added=(other, sign))


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _per_channel(value: Tensor, conv: Node, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """Return a constant as float64 ``(channels,)`` if it has one value a channel of NC... data."""
    if not rewrite.is_constant(conv.args[1]) or not value.is_floating_point():
        return None
    weight = rewrite.constant_of(conv.args[1], tensors)
    if not weight.is_floating_point() or value.ndim > weight.ndim:
        return None
    transposed = rewrite.operator_name(conv) == "conv_transpose"
    channels = weight.shape[1] * groups_of(conv) if transposed else weight.shape[0]
    shape = (1,) * (weight.ndim - value.ndim) + tuple(value.shape)
    if shape[0] != 1 or any(s != 1 for s in shape[2:]) or shape[1] not in (1, channels):
        return None
    flat = value.double().reshape(-1)
    return flat.expand(channels) if _finite(flat) else None
