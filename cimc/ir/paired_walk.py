"""Walk a graph once with two sets of weights side by side: as they were, and as they become.

A layer is changed knowing both what its inputs were in the float network and what they really are
now, after every change upstream.  All samples are held at once, so the number of samples is to be
bounded by the caller (:func:`live_bytes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from cimc.ir.interpreter import interpret

Values = list[Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One node about to be run.

    Attributes:
        node: In the graph being changed.
        before: Its operands in the float network, one tuple a run.
        after: Its operands downstream of the changes so far, one tuple a run.
        result: Its float results, one a run.
    """

    node: Node
    before: list[tuple[Any, ...]]
    after: list[tuple[Any, ...]]
    result: Values


#: Called before a node runs; may change the tensors.  Then called with the changed results and
#: returns them, possibly corrected.
Change = Callable[[Step], None]
Correct = Callable[[Step, Values], Values]


def paired_walk(
    graph: Graph,
    tensors: dict[str, Tensor],
    runs: Sequence[Sequence[Tensor]],
    watched: frozenset[str],
    change: Change,
    correct: Correct,
) -> None:
    """Run the graph, calling ``change`` before and ``correct`` after every watched node.

    Args:
        graph: Its ``get_attr`` nodes read ``tensors`` when they are used, so a change of
            a tensor or of a node's arguments is seen by the changed run.
        tensors: Constants by name; the float run uses their values at the start.
        runs: Inputs of each run, in order of the placeholders.
        watched: Names of the nodes to be called for.
        change: May edit ``tensors`` and the node.
        correct: Returns the changed results.
    """
    floats = dict(tensors)
    before: dict[Node, Values] = {}
    after: dict[Node, Values] = {}
    nodes = list(graph.nodes)
    last = _last_uses(nodes)
    placeholder = 0
    with torch.no_grad():
        for node in nodes:
            if node.op == "placeholder":
                before[node] = after[node] = [run[placeholder] for run in runs]
                placeholder += 1
            elif node.op == "call_function":
                count = len(runs)
                old = [_operands(node.args, before, floats, i) for i in range(count)]
                new = [_operands(node.args, after, tensors, i) for i in range(count)]
                results = [node.target(*o, **node.kwargs) for o in old]
                same = all(after.get(n) is before.get(n) for n in node.all_input_nodes)
                before[node] = results
                if node.name in watched:
                    step = Step(node, old, new, results)
                    change(step)
                    new = [_operands(node.args, after, tensors, i) for i in range(count)]
                    changed = [node.target(*n, **node.kwargs) for n in new]
                    after[node] = correct(step, changed)
                else:
                    after[node] = (
                        results if same else [node.target(*n, **node.kwargs) for n in new]
                    )
            for dead in last.get(node, ()):
                before.pop(dead, None)
                after.pop(dead, None)


def _operands(
    args: Any, env: dict[Node, Values], tensors: dict[str, Tensor], run: int
) -> tuple[Any, ...]:
    def value(node: Node) -> Any:
        return tensors[str(node.target)] if node.op == "get_attr" else env[node][run]

    operands: tuple[Any, ...] = map_arg(args, value)
    return operands


def _last_uses(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    seen: set[Node] = set()
    frees: dict[Node, list[Node]] = {}
    for node in reversed(nodes):
        dead = [n for n in dict.fromkeys(node.all_input_nodes) if n not in seen]
        seen.update(dead)
        frees[node] = dead
    return frees


def live_bytes(module: GraphModule, inputs: Sequence[Tensor]) -> int:
    """Return the largest number of bytes of activations that are needed at once in one run."""
    sizes: dict[str, int] = {}

    def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
        sizes[node.name] = _bytes(value)
        return value

    interpret(module, inputs, observe)
    nodes = list(module.graph.nodes)
    last = _last_uses(nodes)
    live = peak = 0
    for node in nodes:
        live += sizes.get(node.name, 0)
        peak = max(peak, live)
        live -= sum(sizes.get(n.name, 0) for n in last.get(node, ()))
    return peak


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, tuple | list) else 0
