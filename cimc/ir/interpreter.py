"""Run an fx graph node by node, letting someone watch, and freeing values after their last use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from cimc.errors import CimcError, ModelError

#: Given a node, its operands and its result; returns the result to go on with.
Observer = Callable[[Node, tuple[Any, ...], Any], Any]


def last_uses(module: GraphModule) -> Mapping[Node, tuple[Node, ...]]:
    """Return, for each node, the nodes whose values are not needed after it."""
    seen: set[Node] = set()
    frees: dict[Node, tuple[Node, ...]] = {}
    for node in reversed(module.graph.nodes):
        dead = [n for n in dict.fromkeys(node.all_input_nodes) if n not in seen]
        seen.update(dead)
        frees[node] = tuple(dead)
    return frees


def interpret(
    module: GraphModule, inputs: Sequence[Any], observe: Observer | None = None
) -> tuple[Any, ...]:
    """Run the graph on inputs in the order of its placeholders; return its results in order.

    Args:
        module: The graph.
        inputs: One value a placeholder.
        observe: Called after every ``call_function`` node; what it returns replaces the result.

    Raises:
        ModelError: ``CIMC-M19``: the operands of a node do not fit it; names the node.
    """
    env: dict[Node, Any] = {}
    feeds = iter(inputs)
    frees = last_uses(module)
    with torch.no_grad():
        for node in module.graph.nodes:
            if node.op == "placeholder":
                env[node] = next(feeds)
            elif node.op == "get_attr":
                env[node] = getattr(module, node.target)
            elif node.op == "output":
                return tuple(map_arg(node.args[0], env.__getitem__))
            else:
                operands = map_arg(node.args, env.__getitem__)
                value = call(node, operands)
                env[node] = value if observe is None else observe(node, operands, value)
                del operands, value
            for dead in frees[node]:
                env.pop(dead, None)
            if not node.users and node.op != "placeholder":
                env.pop(node, None)
    return ()


def call(node: Node, operands: tuple[Any, ...]) -> Any:
    """Run one node.

    Raises:
        ModelError: ``CIMC-M19``: the operands do not fit it; names the node.
    """
    where = f"node {node.meta.get('source') or node.name}"
    try:
        return node.target(*operands, **node.kwargs)  # type: ignore[operator]
    except CimcError as error:
        error.where = error.where or where
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            "CIMC-M19",
            f"the operands do not fit the operator: {text}",
            where=where,
            hint="inputs of the shapes the model was exported for",
        ) from error
