"""What of a network is trained, and where training starts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.layer import Codebook, CrossbarLayer
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


def start_of(layer: CrossbarLayer, quantized: Tensor, trained_from: Tensor | None) -> Tensor:
    """Return the latent weight that training starts with, in the operator's layout.

    Quantization with data gives a weight another level than its nearest where that makes outputs
    better.  So each float weight is moved into the interval of the level it was given: training
    starts with the network that was compiled, and a weight that was moved comes back first.

    Args:
        layer: With its codebook, or none for float weights.
        quantized: The weight as it was compiled.
        trained_from: The float weight; None: there is none, the levels themselves.
    """
    if trained_from is None or layer.codebook is None:
        return (quantized if trained_from is None else trained_from).detach().clone()
    matrix = layer.geometry.to_matrix(trained_from.detach())
    low, high = _intervals(layer.codebook)
    inside = torch.minimum(torch.maximum(matrix, low), high)
    return layer.geometry.from_matrix(inside, tuple(quantized.shape)).clone()


def _intervals(codebook: Codebook) -> tuple[Tensor, Tensor]:
    """Return the ends of the interval that gives each weight its code, a little inside."""
    levels = codebook.levels.double()
    middle = (levels[..., 1:] + levels[..., :-1]) / 2
    margin = (levels[..., 1:] - levels[..., :-1]) * 1e-3
    ends = torch.full_like(levels[..., :1], torch.inf)
    low = torch.cat([-ends, middle + margin], -1).float()
    high = torch.cat([middle - margin, ends], -1).float()
    codes = codebook.codes.to(torch.int64)
    if levels.ndim == 1:
        return low[codes], high[codes]
    groups, _, columns = codes.shape
    index = codes.permute(0, 2, 1).reshape(groups * columns, -1)
    pair = (table.gather(1, index).reshape(groups, columns, -1) for table in (low, high))
    one, other = (found.transpose(1, 2) for found in pair)
    return one, other
