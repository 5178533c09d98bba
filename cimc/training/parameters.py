"""What of a network is trained, and where training starts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.network import Network

#: Operands that hold parameters, by operator: biases, scales, slopes, tables and digital weights.
_PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "conv": (1, 2),
    "conv_transpose": (1, 2),
    "gemm": (1, 2),
    "matmul": (0, 1),
    "lstm": (1, 2, 3),
    "gru": (1, 2, 3),
    "rnn": (1, 2, 3),
    "batch_normalization": (1, 2),
    "layer_normalization": (1, 2),
    "instance_normalization": (1, 2),
    "group_normalization": (1, 2),
    "prelu": (1,),
    "gather": (0,),
}


def trained_constants(network: Network) -> tuple[str, ...]:
    """Return the names of the graph's constants that are parameters, crossbar weights left out.

    An operand of an addition counts where the other is the result of a matrix product: a bias.
    Other constants of additions and products may be anything (an image's mean, anchors of boxes)
    and stay.
    """
    tensors = rewrite.attributes(network.graph)
    weights = {layer.weight for layer in network.layers.values()}
    found: dict[str, None] = {}
    for node in network.graph.graph.nodes:
        for operand in _operands(node):
            name = str(operand.target)
            if name not in weights and tensors[name].dtype == torch.float32:
                found[name] = None
    return tuple(found)


def _operands(node: Node) -> list[Node]:
    name = rewrite.operator_name(node)
    if name == "add":
        a, b = node.args[:2]
        pairs = ((a, b), (b, a))
        return [x for x, y in pairs if rewrite.is_constant(x) and _is_product(y)]
    positions = _PARAMETERS.get(name, ())
    given = [node.args[k] for k in positions if k < len(node.args)]
    return [x for x in given if rewrite.is_constant(x)]


def _is_product(node: object) -> bool:
    return rewrite.operator_name(node) in ("matmul", "gemm", "conv", "conv_transpose")


def without_gradient(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the crossbar layers that no gradient reaches, with the opaque nodes in the way.

    A layer is reached when some use of it leads to an output through native operators alone.
    """
    reached: set[Node] = set()
    blocked: dict[Node, set[str]] = {}
    for node in reversed(network.graph.graph.nodes):
        users = list(node.users)
        if node.op == "output" or any(u in reached and not _opaque(u) for u in users):
            reached.add(node)
            continue
        names = {_source(u) for u in users if _opaque(u)}
        blocked[node] = names.union(*(blocked.get(u, set()) for u in users))
    nodes = {node.name: node for node in network.graph.graph.nodes}
    missing = {}
    for name, layer in network.layers.items():
        places = [nodes[use.node] for use in layer.uses]
        if not any(place in reached and not _opaque(place) for place in places):
            found = set[str]().union(*(blocked.get(place, set()) for place in places))
            missing[name] = tuple(sorted(found))
    return missing


def _opaque(node: Node) -> bool:
    return rewrite.operator_name(node) == "opaque"


def _source(node: Node) -> str:
    return str(node.meta.get("source") or node.name)


def start_of(quantized: Tensor, trained_from: Tensor | None, *, regularized: bool) -> Tensor:
    """Return the latent weight that training starts with, in the operator's layout.

    Where the forward pass has quantized weights they start at their levels.  Quantization with
    data gives a weight another level than its nearest where that makes outputs better, each to
    make up for others; started from the float weights, or from anywhere near the ends of the
    intervals, the first steps would undo that all at once (ResNet-8, 3 levels: 89.6 % before,
    87 % after 250 steps, against 90.2 % from the levels).

    Args:
        quantized: The weight as it was compiled.
        trained_from: The float weight; None: there is none.
        regularized: The forward pass has float weights, which start as they were [NM §3.3].
    """
    start = trained_from if regularized and trained_from is not None else quantized
    return start.detach().clone()
