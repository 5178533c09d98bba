"""Constants added to the output channels of a layer: where they are, and putting them there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import Graph, Node

from cimc.ir import rewrite
from cimc.ops.table import OPERATORS


def add_to_channels(
    graph: Graph, tensors: dict[str, Tensor], node: Node, delta: Tensor
) -> tuple[str, str | None]:
    """Add a constant to each output channel of a node: in its bias, or in an addition after it.

    Args:
        graph: Is edited.
        tensors: Its constants; the new one is put there, the old one stays.
        node: Convolution, transposed convolution, gemm or matmul.
        delta: What to add, ``(channels,)``.

    Returns:
        Name of the constant it is in, and of the bias that was there; None: there was none.
    """
    name = rewrite.operator_name(node)
    scale = float(node.kwargs.get("beta", 1.0)) if name == "gemm" else 1.0  # type: ignore[arg-type]
    bias = node.args[2] if len(node.args) > 2 else None
    in_place = name in ("conv", "conv_transpose", "gemm") and scale != 0
    if in_place and (bias is None or rewrite.is_constant(bias)):
        old = tensors[str(bias.target)] if isinstance(bias, Node) else torch.zeros(())
        with graph.inserting_before(node):
            value = (old + delta / scale).to(delta.dtype)
            new = rewrite.constant(graph, tensors, f"{node.name}_bias", value)
        node.args = (*node.args[:2], new)
        return str(new.target), str(bias.target) if isinstance(bias, Node) else None
    spatial = rewrite.constant_of(node.args[1], tensors).ndim - 2 if "conv" in name else 0
    shape = (-1, *[1] * spatial)
    with graph.inserting_after(node):
        new = rewrite.constant(graph, tensors, f"{node.name}_mean", delta.reshape(shape))
    with graph.inserting_after(new):
        add = graph.call_function(OPERATORS["add"].function, (node, new))
    add.meta = dict(node.meta)
    node.replace_all_uses_with(add, delete_user_cb=lambda user: user is not add)
    return str(new.target), None


def before_correction(corrected: Tensor, bias: Tensor | None) -> Tensor:
    """Return the constant of the float network in whose place a corrected one is.

    Args:
        corrected: The new constant.
        bias: The one that was there; None: there was none.
    """
    if bias is None:
        return torch.zeros_like(corrected)
    return bias.detach().to(corrected.dtype).expand_as(corrected).contiguous()


def channel_means(values: Sequence[Tensor], axis: int) -> Tensor:
    """Return the mean of every channel over all runs, ``(channels,)``.

    Args:
        values: Results of each run.
        axis: Of the channels.
    """
    flat = [v.float().movedim(axis, -1).reshape(-1, v.shape[axis]) for v in values]
    return sum((f.sum(0) for f in flat), torch.zeros(1)) / sum(len(f) for f in flat)
