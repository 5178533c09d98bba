"""ONNX to the IR: every node becomes calls of named operators, or one opaque operator."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import onnx_ir as ir
import torch
from torch.fx import Node

from cimc.errors import ModelError
from cimc.frontends import onnx_sequence
from cimc.frontends.onnx_builder import GraphBuilder
from cimc.frontends.onnx_load import LoadedModel, OnnxSource, load
from cimc.frontends.onnx_node import Declined, NodeView, Result, dtype_name
from cimc.frontends.onnx_table import IMPORTERS
from cimc.frontends.onnx_tensor import NATIVE, MappedFiles, non_finite, to_torch
from cimc.frontends.opaque_import import opaque_call
from cimc.ir import rewrite
from cimc.ir.network import Network, Signal, Source
from cimc.ops.table import OPERATORS

#: Operators whose weights go to crossbars; their constants must be finite.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})

#: Weights from which on the memory of the source model is worth getting back at once [byte].
_LARGE_BYTES = 64 << 20


def import_onnx(source: OnnxSource, *, kind: str = "onnx") -> Network:
    """Read an ONNX model as a network.

    Args:
        source: Path, serialized model, ``ModelProto`` or ``onnx_ir.Model``.
        kind: What the user's model was (``onnx``, ``torch``).

    Raises:
        ModelError: The model is broken, or a node cannot be compiled correctly; names the node.
    """
    network = _Import(load(source), kind).run()
    if sum(v.nbytes for v in rewrite.attributes(network.graph).values()) > _LARGE_BYTES:
        # The graph of onnx_ir is full of cycles, and holds the weights a second time.
        gc.collect()
    return network


class _Import:
    """The import of one model."""

    def __init__(self, loaded: LoadedModel, kind: str) -> None:
        self.loaded, self.kind = loaded, kind
        self.model = loaded.model
        self.opsets = {k or "": v for k, v in self.model.opset_imports.items()}
        self.builder = GraphBuilder()
        self.values: dict[ir.Value, Node] = {}
        self.files = MappedFiles()
        self.checked: set[ir.Value] = set()

    def run(self) -> Network:
        """Import every node in order."""
        graph = self.model.graph
        self._lift_constants(graph)
        inputs = [value for value in graph.inputs if not value.is_initializer()]
        for value in inputs:
            self.values[value] = self.builder.placeholder(_name(value))
        for index, node in enumerate(graph):
            self._node(node, node.name or f"{node.op_type}#{index}")
        self.builder.begin("", "")
        results = tuple(self._value(value) for value in graph.outputs)
        module = self.builder.finish(results)
        return Network(
            graph=module,
            inputs=tuple(map(_signal, inputs)),
            outputs=tuple(map(_signal, graph.outputs)),
            source=Source(
                self.kind,
                self.loaded.path,
                self.loaded.sha256,
                self.loaded.oracle,
                self.loaded.oracle.close,
            ),
            parameter_names=dict(self.builder.parameter_names),
        )

    def _lift_constants(self, graph: ir.Graph) -> None:
        """Make initializers of constants that torch has no type for; readers take them inside."""
        for node in list(graph):
            given = node.attributes.get("value")
            if node.op_type != "Constant" or node.domain or given is None or given.is_ref():
                continue
            tensor = given.as_tensor()
            if tensor.dtype in NATIVE:
                continue
            old = node.outputs[0]
            new = ir.Value(name=old.name, type=old.type, shape=old.shape, const_value=tensor)
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            graph.remove(node)
            graph.register_initializer(new)

    def _node(self, node: ir.Node, label: str) -> None:
        """Import one node, natively where an importer takes it."""
        self.builder.begin(label, node.op_type)
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = node.version if node.version is not None else self.opsets.get(domain)
        if version is None:
            raise ModelError(
                "CIMC-M12",
                f"the model imports no version of the domain {domain!r}",
                where=f"node {label} ({node.op_type})",
            )
        importer = IMPORTERS.get((domain, node.op_type), _no_importer)
        try:
            self._require_native_types(node)
            if node.op_type in _WEIGHTED:
                self._require_finite(node)
            operands = tuple(None if v is None else self._value(v) for v in node.inputs)
            result = importer(NodeView(node, version, operands, self.builder))
        except Declined as reason:
            result = self._opaque(node, str(reason))
        outputs = result if isinstance(result, tuple) else (result,)
        for value, made in zip(node.outputs, outputs, strict=False):
            if made is not None:
                self.values[value] = made

    def _opaque(self, node: ir.Node, reason: str) -> Result:
        """Import a node as one opaque operator."""
        call = opaque_call(node, self.opsets)
        model = torch.frombuffer(bytearray(call.model), dtype=torch.uint8)
        made = self.builder.call(
            OPERATORS["opaque"].function,
            (self.builder.constant(model, "opaque"), *map(self._value, call.inputs)),
            {"outputs": len(call.outputs)},
        )
        made.meta["reason"] = reason
        view = NodeView(node, 0, (), self.builder)
        items = view.unpack(made, len(call.outputs))
        found = dict(zip(call.outputs, items, strict=True))
        return tuple(found.get(value) for value in node.outputs)

    def _value(self, value: ir.Value) -> Node:
        """Return the graph node of a value; initializers get theirs on first use."""
        if value not in self.values:
            if value.const_value is None or not value.is_initializer():
                raise ModelError(
                    "CIMC-M06",
                    f"nothing defines the value {value.name!r}",
                    where=f"node {self.builder.source}",
                )
            self.values[value] = self._initializer(value, value.const_value)
        return self.values[value]

    def _initializer(self, value: ir.Value, tensor: ir.TensorProtocol) -> Node:
        name = _name(value)
        if tensor.dtype not in NATIVE:
            return self._held_by_onnxruntime(value, tensor)
        return self.builder.parameter(name, to_torch(tensor, f"initializer {name!r}", self.files))

    def _held_by_onnxruntime(self, value: ir.Value, tensor: ir.TensorProtocol) -> Node:
        """Return a constant torch has no type for (strings, 8-bit floats), made by an operator."""
        made = ir.Value(name=value.name, type=ir.TensorType(tensor.dtype), shape=value.shape)
        inner = ir.serde.deserialize_tensor(ir.serde.serialize_tensor(tensor))
        node = ir.Node("", "Constant", [], [ir.AttrTensor("value", inner)], outputs=[made])
        result = self._opaque(node, f"a constant of {dtype_name(tensor.dtype)}")
        return result[0] if isinstance(result, tuple) else result  # type: ignore[return-value]

    def _require_native_types(self, node: ir.Node) -> None:
        """Decline nodes that touch values torch does not hold."""
        for value in (*filter(None, node.inputs), *node.outputs):
            foreign = isinstance(value.type, ir.SequenceType | ir.OptionalType)
            if foreign and node.op_type not in onnx_sequence.READERS:
                raise Declined("works on sequences or optional values")
            if value.dtype is not None and value.dtype not in NATIVE:
                raise Declined(f"works on element type {dtype_name(value.dtype)}")

    def _require_finite(self, node: ir.Node) -> None:
        """Refuse NaN and infinite weights: a cell has no conductance for them."""
        for value in filter(None, node.inputs):
            if value in self.checked:
                continue
            self.checked.add(value)
            constant = self.builder.value(self._value(value))
            count = 0 if constant is None else non_finite(constant)
            self.files.forget()
            if count:
                raise ModelError(
                    "CIMC-M11",
                    f"weight {_name(value)!r} has {count} values that are NaN or infinite",
                    where=f"node {self.builder.source} ({node.op_type})",
                    hint="training the model again, or loading an earlier checkpoint",
                )


def _no_importer(view: NodeView) -> Result:
    raise Declined("no native operator")


def _name(value: ir.Value) -> str:
    return value.name or "value"


def _signal(value: ir.Value) -> Signal:
    return Signal(_name(value), _kind(value), _shape(value))


def _kind(value: ir.Value) -> str:
    if isinstance(value.type, ir.SequenceType):
        return "sequence"
    if isinstance(value.type, ir.OptionalType):
        return "optional"
    return "float32" if value.dtype is None else dtype_name(value.dtype)


def _shape(value: ir.Value) -> tuple[int | str, ...] | None:
    if value.shape is None:
        return None
    return tuple(_axes(value.shape))


def _axes(shape: ir.Shape) -> Iterator[int | str]:
    for axis in shape:
        if isinstance(axis, int) and axis >= 0:
            yield axis
        else:  # some exporters write -1 for a dynamic axis
            yield str(getattr(axis, "value", "") or "")
