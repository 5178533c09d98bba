"""Small edits of an fx graph that passes share: copy, read and add constants, sweep dead code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeGuard

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from cimc.ops.table import OPERATORS

_NAMES: Mapping[object, str] = {spec.function: name for name, spec in OPERATORS.items()}


def operator_name(node: object) -> str:
    """Return the name of the operator a node calls; '' for anything else."""
    if not isinstance(node, Node) or node.op != "call_function":
        return ""
    return _NAMES.get(node.target, "")


def constant_of(node: object, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the tensor that a ``get_attr`` node reads.

    Raises:
        TypeError: It is no such node.
    """
    if not isinstance(node, Node) or node.op != "get_attr":
        raise TypeError(f"{node!r} does not read a constant")
    return tensors[str(node.target)]


def attributes(module: GraphModule) -> dict[str, Tensor]:
    """Return the parameters and buffers of a graph module by name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def build(graph: Graph, tensors: Mapping[str, Tensor]) -> GraphModule:
    """Make a graph module of a graph and its tensors; keeps only the tensors the graph reads.

    Tensors are shared, not copied.
    """
    root = torch.nn.Module()
    for node in graph.nodes:
        name = node.target
        if node.op == "get_attr" and not hasattr(root, name):
            value = tensors[name]
            if isinstance(value, torch.nn.Parameter):
                root.register_parameter(name, value)
            else:
                root.register_buffer(name, value)
    return GraphModule(root, graph)


def copy(module: GraphModule) -> tuple[Graph, dict[str, Tensor]]:
    """Return a copy of the graph, free to be edited, and its tensors (shared, in a new dict)."""
    graph = Graph()
    mapping: dict[Node, Node] = {}
    output = graph.graph_copy(module.graph, mapping)
    original = next(n for n in reversed(module.graph.nodes) if n.op == "output")
    graph.output(output)
    final = next(n for n in reversed(graph.nodes) if n.op == "output")
    final.meta = dict(original.meta)
    return graph, attributes(module)


def unique_name(wanted: str, taken: Iterable[str]) -> str:
    """Return ``wanted`` made a Python identifier, with a number appended when it is taken."""
    base = re.sub(r"\W", "_", wanted) or "value"
    if base[0].isdigit():
        base = f"_{base}"
    names = set(taken)
    name, number = base, 1
    while name in names:
        name, number = f"{base}_{number}", number + 1
    return name


def constant(graph: Graph, tensors: dict[str, Tensor], name: str, value: Tensor) -> Node:
    """Add a constant and the node that reads it, at the graph's insertion point."""
    key = unique_name(name, tensors)
    tensors[key] = value
    return graph.create_node("get_attr", key)


def is_constant(node: object) -> TypeGuard[Node]:
    """Tell whether an operand is a constant."""
    return isinstance(node, Node) and node.op == "get_attr"


def sweep(graph: Graph) -> None:
    """Remove nodes nobody reads; placeholders and the output stay."""
    for node in reversed(list(graph.nodes)):
        if node.op not in ("placeholder", "output") and not node.users:
            graph.erase_node(node)
