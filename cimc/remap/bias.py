"""The constants of output channels: which of a graph's they are, and setting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.fx import Graph, Node

from cimc.ir import rewrite
from cimc.ir.channel_constants import add_to_channels, before_correction


@dataclass(frozen=True, slots=True)
class ChannelConstant:
    """A constant that only one node adds to its output channels.

    Attributes:
        name: Of the constant.
        scale: What it is multiplied by.
    """

    name: str
    scale: float


def channel_constant(node: Node, floats: Mapping[str, Tensor]) -> ChannelConstant | None:
    """Return the constant in which the means of a node's outputs are corrected already.

    Args:
        node: Reads a layer.
        floats: Constants of the float network that are corrected in the graph, by name.
    """
    operation = rewrite.operator_name(node)
    scale = float(node.kwargs.get("beta", 1.0)) if operation == "gemm" else 1.0  # type: ignore[arg-type]
    bias = node.args[2] if len(node.args) > 2 else None
    if operation in ("conv", "conv_transpose", "gemm") and rewrite.is_constant(bias):
        name = str(bias.target)
        if name in floats and scale != 0 and len(bias.users) == 1:
            return ChannelConstant(name, scale)
    users = list(node.users)
    if len(users) != 1 or rewrite.operator_name(users[0]) != "add" or users[0].args[0] is not node:
        return None
    other = users[0].args[1]
    if rewrite.is_constant(other) and len(other.users) == 1:
        value = floats.get(str(other.target))
        # Added for the means: nothing is there in the float network.
        if value is not None and not bool(value.any()):
            return ChannelConstant(str(other.target), 1.0)
    return None


def corrected(
    graph: Graph,
    tensors: dict[str, Tensor],
    deltas: Mapping[str, Tensor],
    floats: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Add corrections to the outputs of nodes.

    Args:
        graph: Is edited where a correction has no constant yet.
        tensors: Constants as in the float network where ``floats`` has them; are changed.
        deltas: By node name, what to add to each output channel of the float network's constants.
        floats: Constants of the float network that are corrected already.

    Returns:
        The constants of the float network that are corrected now, by name.
    """
    found = dict(floats)
    for node in list(graph.nodes):
        if node.name not in deltas:
            continue
        delta = deltas[node.name]
        place = channel_constant(node, floats)
        if place is not None:
            before = floats[place.name]
            moved = before + (delta / place.scale).reshape(before.shape)
            tensors[place.name] = moved.to(before.dtype)
            continue
        new, old = add_to_channels(graph, tensors, node, delta)
        found[new] = before_correction(tensors[new], None if old is None else tensors[old])
    return found
