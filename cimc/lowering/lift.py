"""Lift a device program to the network it was made of: the inverse of :mod:`~.emit`.

Passes, training and the remapper work on networks; with this they work from a program alone, the
model file is not needed.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

from cimc.errors import InternalError, UsageError
from cimc.executor.cells import targets_us
from cimc.executor.matrices import matrices, weight
from cimc.ir import rewrite
from cimc.ir.layer import Codebook, CrossbarLayer, Use
from cimc.ir.network import Array, Network, Source, Stage
from cimc.lowering.levels import codebook_of
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramLayer
from cimc.quantizers.threads import side_by_side
from cimc.targets import Target
from cimc.targets.layout import layout_of_plain


def lift(program: DeviceProgram) -> Network:
    """Return a network at stage ``ASSIGNED`` that :func:`~.emit.emit` makes the program of.

    Weights in the graph are what the cells stand for in ideal mode, on a chip without faults.  A
    program with calibration data gives its float weights and constants too (``float_matrix``,
    ``float_constants``).  Codebooks are those of the cells; there are no input statistics, and
    the oracle is gone with the model.

    Raises:
        InternalError: CIMC-I04, a name of the program cannot be one of a graph.
    """
    target = Target.from_plain(program.target, name="the program's target")
    weights = _weight_names(program)
    tensors = dict(program.constants)
    layers = {}

    def read(layer: ProgramLayer) -> tuple[Tensor, Codebook | None]:
        value = _weight(layer, target)
        # Read off before it is copied: until then the matrix lies as the cells do.
        book = codebook_of(layer.cells, layer.geometry.to_matrix(value))
        return value.contiguous(), book

    found = side_by_side(read, program.layers.values())
    for (name, layer), (value, book) in zip(program.layers.items(), found, strict=True):
        tensors[weights[name]] = value
        layers[name] = replace(_layer(layer, weights[name], program), codebook=book)
    graph = _Lifter(program, weights).graph()
    kept = program.calibration
    return Network(
        graph=rewrite.build(graph, tensors),
        inputs=program.inputs,
        outputs=program.outputs,
        source=_source(program.provenance),
        stage=Stage.ASSIGNED,
        layers=layers,
        parameter_names={weights[n]: layer.source for n, layer in program.layers.items()},
        warnings=program.warnings,
        batched=program.batched,
        float_constants={} if kept is None else dict(kept.constants),
    )


def _weight_names(program: DeviceProgram) -> dict[str, str]:
    """Return a name in the graph for the weight of each layer, by layer name."""
    taken = set(program.constants)
    names = {}
    for layer in program.layers:
        names[layer] = rewrite.unique_name(layer, taken)
        taken.add(names[layer])
    return names


def _weight(layer: ProgramLayer, target: Target) -> Tensor:
    """Return the weight tensor that the cells of a layer stand for, faults aside; a view."""
    planes = targets_us(layer.cells, torch.device("cpu"))
    return weight(layer, matrices(layer, planes, target))


def _layer(layer: ProgramLayer, weight_name: str, program: DeviceProgram) -> CrossbarLayer:
    kept = program.calibration
    return CrossbarLayer(
        name=layer.name,
        weight=weight_name,
        geometry=layer.geometry,
        uses=tuple(Use(u.operation, u.operand, None, u.dac, u.adc, u.fitted) for u in layer.uses),
        tiles=layer.tiles,
        row_tiles=layer.row_tiles,
        cells=layer.cells,
        encoding=layer.encoding,
        float_matrix=None if kept is None else kept.weights.get(layer.name),
        layout=layout_of_plain(program.target),
        word_lines=layer.word_lines,
        bit_lines=layer.bit_lines,
    )


class _Lifter:
    """Builds the graph of a program, operation after operation."""

    def __init__(self, program: DeviceProgram, weights: Mapping[str, str]) -> None:
        self._program, self._weights = program, weights
        self._graph = Graph()
        self._values: dict[str, Node] = {}
        self._taken = {operation.name for operation in program.operations}

    def graph(self) -> Graph:
        """Return the graph."""
        program = self._program
        read = {r for operation in program.operations for r in operation.inputs if r}
        read.update(program.results)
        for signal in program.inputs:
            name = self._free(signal.name)
            self._values[f"%{signal.name}"] = self._graph.placeholder(name)
        for operation in program.operations:
            self._add(operation, read)
        self._graph.output(tuple(self._operand(r) for r in program.results))
        return self._graph

    def _free(self, wanted: str) -> str:
        """Return a name no operation has, for a node that is none."""
        name = rewrite.unique_name(wanted, self._taken)
        self._taken.add(name)
        return name

    def _operand(self, reference: str | None) -> Node | None:
        """Return the node a reference names; constants and weights are read by one node each."""
        if reference is None:
            return None
        if reference not in self._values:
            name = reference[1:] if reference[0] == "@" else self._weights[reference[1:]]
            node = self._graph.create_node("get_attr", name, name=self._free(name))
            self._values[reference] = node
        return self._values[reference]

    def _add(self, operation: Operation, read: set[str]) -> None:
        spec = OPERATORS[operation.op]
        operands = tuple(self._operand(r) for r in operation.inputs)
        node = self._graph.create_node(
            "call_function",
            spec.function,
            operands,
            dict(operation.attributes),
            name=operation.name,
        )
        if node.name != operation.name:
            raise InternalError(
                "CIMC-I04",
                f"operation '{operation.name}' would be a node '{node.name}'",
                hint="compiling the model again",
            )
        node.meta.update(source=operation.source, operator=spec.onnx or operation.op)
        if operation.outputs == (operation.name,):
            self._values[f"%{operation.name}"] = node
            return
        last = len(operation.outputs) - 1
        for number, output in enumerate(operation.outputs):
            # The highest says how many results an opaque operator has, read or not.
            if f"%{output}" in read or (number == last and spec.outputs is None):
                self._values[f"%{output}"] = self._graph.create_node(
                    "call_function",
                    operator.getitem,
                    (node, number),
                    name=self._free(f"{operation.name}_{number}"),
                )


def _source(provenance: Mapping[str, Any]) -> Source:
    model = provenance.get("model", {})
    return Source(
        kind=str(model.get("kind", "onnx")),
        path=Path(str(model.get("name", ""))).name,
        sha256=str(model.get("sha256", "")),
        oracle=_no_oracle,
    )


def _no_oracle(inputs: Mapping[str, Array]) -> dict[str, Array]:
    raise UsageError(
        "CIMC-U64",
        "a device program does not hold the model it was compiled from",
        hint="--reference with the model",
    )
