"""The inner values of the original model, where the program has crossbar layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cimc.verification.batches import join, split
from cimc.verification.data import Data
from cimc.verification.reference import OnnxModel

Array = npt.NDArray[Any]

#: Operators that a pass may fold into the layer before them: the layer's output is then theirs.
_AFFINE = frozenset(("BatchNormalization", "Add", "Sub", "Mul", "Div"))
_SHAPE = frozenset(("Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"))
_LONGEST_CHAIN = 4


class FloatLayers:
    """What the float network computes at some of its nodes.

    A node that passes may have merged with what follows it has several candidates: its own first
    output, and those of the chain of affine and shape operators behind it.
    """

    def __init__(self, path: str | Path, nodes: Iterable[str]) -> None:
        """Open the model.

        Args:
            path: The original ONNX file.
            nodes: Node names, or names of first outputs (for nodes without a name).

        Raises:
            ModelError: CIMC-M88, onnxruntime cannot load it.
        """
        import onnx

        graph = onnx.load(str(path), load_external_data=False).graph
        self._chains = {name: chain for name in nodes if (chain := _chain(graph, name))}
        self._wanted = list(dict.fromkeys(v for chain in self._chains.values() for v in chain))
        self._model = OnnxModel(path, extra_outputs=self._wanted) if self._wanted else None

    def values(self, data: Data, *, batched: bool, batch: int) -> dict[str, list[Array]]:
        """Return the candidates by node, in order; nodes the model does not have are left out.

        Args:
            data: Samples to run.
            batched: Samples are independent.
            batch: Samples a run.
        """
        if self._model is None:
            return {}
        feeds = split(data, self._model.signals, batched=batched, batch=batch)
        parts = []
        for feed in feeds:
            outputs = self._model.run(feed)
            parts.append({name: outputs[name] for name in self._wanted})
        values = join(parts)
        return {name: [values[v] for v in chain] for name, chain in self._chains.items()}


def _chain(graph: Any, name: str) -> list[str]:
    """Return the value a node computes and those that folding may have put in its place."""
    by_input: dict[str, list[Any]] = {}
    node = None
    for candidate in graph.node:
        if candidate.name == name or name in candidate.output[:1]:
            node = candidate
        for value in candidate.input:
            by_input.setdefault(value, []).append(candidate)
    chain: list[str] = []
    while node is not None and any(node.output[:1]) and len(chain) < _LONGEST_CHAIN:
        chain.append(node.output[0])
        readers = by_input.get(node.output[0], [])
        node = readers[0] if len(readers) == 1 and readers[0].op_type in _AFFINE | _SHAPE else None
    return chain
