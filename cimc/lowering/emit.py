"""Lower a network whose cells are assigned to a device program."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.fx import Node

from cimc.errors import InternalError
from cimc.ir import rewrite
from cimc.ir.layer import TILE_FIELDS, CrossbarLayer
from cimc.ir.network import Network
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramLayer, ProgramUse
from cimc.targets import Target


def emit(network: Network, target: Target, provenance: Mapping[str, Any]) -> DeviceProgram:
    """Return the device program of a network (without golden vectors and calibration data)."""
    tensors = rewrite.attributes(network.graph)
    references = _References(network)
    operations: list[Operation] = []
    results: tuple[str, ...] = ()
    for node in network.graph.graph.nodes:
        if node.op == "call_function" and node.target is not operator.getitem:
            operations.append(_operation(node, references))
        elif node.op == "output":
            results = tuple(str(references.of(n)) for n in node.args[0])
    constants = {name: tensors[name].detach() for name in dict.fromkeys(references.constants)}
    return DeviceProgram(
        inputs=network.inputs,
        outputs=network.outputs,
        results=results,
        operations=tuple(operations),
        constants=constants,
        layers={name: _layer(layer, network) for name, layer in network.layers.items()},
        target=target.plain(),
        arrays=len(_arrays(network)),
        provenance=provenance,
        warnings=network.warnings,
        batched=network.batched,
    )


def _arrays(network: Network) -> set[int]:
    """Return the numbers of the arrays in use: those of tiles, and their twins."""
    return {
        int(array) + twin
        for layer in network.layers.values()
        if layer.tiles is not None
        for array in np.unique(layer.tiles[:, TILE_FIELDS.index("array")])
        for twin in range(1 if layer.layout is None else layer.layout.arrays)
    }


class _References:
    """Turns graph nodes into the references of a program, and notes the constants read."""

    def __init__(self, network: Network) -> None:
        self.constants: list[str] = []
        self._layers = {
            (use.node, use.operand): layer.name
            for layer in network.layers.values()
            for use in layer.uses
        }
        placeholders = [n for n in network.graph.graph.nodes if n.op == "placeholder"]
        self._inputs = {
            node: signal.name for node, signal in zip(placeholders, network.inputs, strict=True)
        }

    def of(self, node: Any) -> str | None:
        """Return the reference of a value."""
        if node is None:
            return None
        if not isinstance(node, Node):
            raise InternalError("CIMC-I04", f"an operand is not a node: {node!r}")
        if node.op == "get_attr":
            self.constants.append(str(node.target))
            return f"@{node.target}"
        if node.op == "placeholder":
            return f"%{self._inputs[node]}"
        if node.target is operator.getitem:
            return f"%{node.args[0].name}.{node.args[1]}"  # type: ignore[union-attr]
        return f"%{node.name}"

    def operand(self, node: Node, position: int) -> str | None:
        """Return the reference of an operand: a layer where the weight is on crossbars."""
        layer = self._layers.get((node.name, position))
        return self.of(node.args[position]) if layer is None else f"#{layer}"


def _operation(node: Node, references: _References) -> Operation:
    spec = OPERATORS[rewrite.operator_name(node)]
    return Operation(
        name=node.name,
        op=spec.name,
        inputs=tuple(references.operand(node, i) for i in range(len(node.args))),
        attributes={k: _literal(v) for k, v in node.kwargs.items()},
        outputs=_outputs(node, spec.outputs),
        source=str(node.meta.get("source", "")),
    )


def _outputs(node: Node, count: int | None) -> tuple[str, ...]:
    """Return the names of the values a node defines: its own, or one for each of several."""
    picked = [int(u.args[1]) for u in node.users if u.target is operator.getitem]  # type: ignore[arg-type]
    if not picked and (count in (None, 1) or len(node.users) > 0):
        return (node.name,)
    return tuple(f"{node.name}.{i}" for i in range(count or max(picked) + 1))


def _literal(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_literal(v) for v in value]
    return value


def _layer(layer: CrossbarLayer, network: Network) -> ProgramLayer:
    if layer.cells is None or layer.tiles is None or layer.row_tiles is None or not layer.encoding:
        raise InternalError("CIMC-I05", f"layer '{layer.name}' has no cells")
    return ProgramLayer(
        name=layer.name,
        source=network.parameter_names.get(layer.weight, layer.weight),
        geometry=layer.geometry,
        encoding=layer.encoding,
        cells=layer.cells,
        tiles=layer.tiles,
        row_tiles=layer.row_tiles,
        uses=tuple(ProgramUse(u.node, u.operand, u.dac, u.adc, u.fitted) for u in layer.uses),
        twin=layer.layout is not None and layer.layout.arrays == 2,
        word_lines=layer.word_lines,
        bit_lines=layer.bit_lines,
    )
