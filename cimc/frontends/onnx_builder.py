"""The graph under construction: nodes, constants and what they are called in the model."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from cimc.ir import rewrite

# Names a module has already or that Python takes for itself.
_MODULE_NAMES = frozenset(dir(torch.nn.Module())) | {"graph", "code"} | {*keyword.kwlist}


class GraphBuilder:
    """Builds the fx graph of a network.

    Attributes:
        graph: The graph so far.
        tensors: Constants by graph attribute.
        parameter_names: Graph attribute to initializer name.
        source: Source node being imported, for messages and metadata.
    """

    def __init__(self) -> None:
        self.graph = Graph()
        self.tensors: dict[str, Tensor] = {}
        self.parameter_names: dict[str, str] = {}
        self.source = ""
        self._operator = ""
        self._wanted = ""
        self._taken = set(_MODULE_NAMES)
        self._counts: dict[str, int] = {}
        self._small: dict[tuple[str, torch.dtype, tuple[int, ...], bytes], Node] = {}

    def begin(self, source: str, operator: str) -> None:
        """Say which source node the next calls belong to."""
        self.source, self._operator = source, operator
        self._wanted = identifier(source)

    def placeholder(self, name: str) -> Node:
        """Add a network input."""
        node = self.graph.placeholder(identifier(name))
        node.meta["source"] = name
        return node

    def parameter(self, name: str, value: Tensor) -> Node:
        """Add an initializer of the source model."""
        node = self._attribute(name, value)
        self.parameter_names[str(node.target)] = name
        node.meta["source"] = name
        return node

    def constant(self, value: Tensor, hint: str) -> Node:
        """Add a constant of the importer's own; equal small ones are shared."""
        if value.numel() > 64 or value.dtype == torch.bfloat16:
            return self._attribute(hint, value)
        key = (hint, value.dtype, tuple(value.shape), value.numpy().tobytes())
        if key not in self._small:
            self._small[key] = self._attribute(hint, value)
        return self._small[key]

    def value(self, node: Node) -> Tensor | None:
        """Return the value of a node that reads a constant; else None."""
        return self.tensors[str(node.target)] if node.op == "get_attr" else None

    def call(
        self,
        function: Callable[..., Any],
        operands: tuple[Any, ...],
        attributes: Mapping[str, Any],
    ) -> Node:
        """Add a call, with the metadata of the source node."""
        name = self._wanted or function.__name__
        node = self.graph.create_node(
            "call_function", function, operands, dict(attributes), name=name
        )
        node.meta["source"], node.meta["operator"] = self.source, self._operator
        return node

    def finish(self, results: tuple[Node, ...]) -> GraphModule:
        """Close the graph; drops what nobody reads."""
        self.graph.output(results)
        rewrite.sweep(self.graph)
        module = rewrite.build(self.graph, self.tensors)
        kept = rewrite.attributes(module)
        self.parameter_names = {k: v for k, v in self.parameter_names.items() if k in kept}
        return module

    def _attribute(self, name: str, value: Tensor) -> Node:
        base = key = identifier(name)
        while key in self._taken:
            self._counts[base] = self._counts.get(base, 0) + 1
            key = f"{base}_{self._counts[base]}"
        self._taken.add(key)
        self.tensors[key] = value
        return self.graph.create_node("get_attr", key)


def identifier(name: str) -> str:
    """Return a name made a Python identifier that torch.fx keeps as it is where it can."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII) or "value"
    return f"_{base}" if base[0].isdigit() or keyword.iskeyword(base) else base
