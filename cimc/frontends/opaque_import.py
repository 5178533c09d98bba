"""Wrap a node of a source model, subgraphs and captured values included, as opaque."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from cimc.errors import ModelError
from cimc.ops.opaque import prepare
from cimc.ops.opaque_model import DOMAINS

#: Newest version of each domain and of the file format that onnxruntime is sure to read.
NEWEST_OPSET = 26
IR_VERSION = 11

#: Operators whose output differs from run to run: there is nothing to verify a chip against.
RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)

#: Integers in what counts as a short list of them.
_SHORT = 64

#: Element types that neither torch nor numpy holds.
_FOREIGN = frozenset(
    kind
    for name in ("INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1", "FLOAT8E8M0")
    if (kind := getattr(ir.DataType, name, None)) is not None
)


@dataclass(frozen=True, slots=True)
class OpaqueCall:
    """How to call :func:`cimc.ops.opaque` in place of a node.

    Attributes:
        model: Serialized ``ModelProto``, the first operand.
        inputs: The values that follow it, in order: those the node is given, once each, then
            those its subgraphs take from outside.
        outputs: The values it defines, in order (omitted ones are not among them).
    """

    model: bytes
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]


def opaque_call(node: ir.Node, opsets: Mapping[str, int]) -> OpaqueCall:
    """Wrap one node as an opaque operator and check that onnxruntime can run it.

    Args:
        node: Node of the main graph; its input values must carry types.
        opsets: Version of each operator domain of the source model.

    Raises:
        ModelError: ``CIMC-M30`` random output, ``CIMC-M31`` not an operator of the standard,
            ``CIMC-M32`` onnxruntime has no kernel for it, ``CIMC-M36`` an input of unknown type.
    """
    where = describe(node)
    _refuse_random(node, where)
    given = [value for value in node.inputs if value is not None]
    inner = [value for graph in _subgraphs(node) for value in _captured(graph)]
    values = dict.fromkeys(given + inner)
    constants = {value: tensor for value in values if (tensor := _inside(value, bool(inner)))}
    inputs = tuple(value for value in values if value not in constants)
    outputs = tuple(value for value in node.outputs if value.name)
    for value in (*inputs, *outputs):
        _refuse_type(value, where)
    proto = onnx.ModelProto(ir_version=IR_VERSION)
    proto.graph.name = where
    for domain in sorted({n.domain for n in _nodes(node)}):
        version = opsets.get(domain, opsets.get("ai.onnx", 1) if domain == "" else 1)
        version = _readable_version(node, domain, version)
        proto.opset_import.add(domain=domain, version=version)
    proto.graph.node.append(ir.serde.serialize_node(node))
    for value, tensor in constants.items():
        proto.graph.initializer.append(ir.serde.serialize_tensor(tensor))
        proto.graph.initializer[-1].name = value.name or ""
    for value in inputs:
        proto.graph.input.append(_typed(value, where))
    for value in outputs:
        proto.graph.output.append(onnx.ValueInfoProto(name=value.name))
    model = proto.SerializeToString(deterministic=True)
    prepare(model)
    return OpaqueCall(model, inputs, outputs)


def describe(node: ir.Node) -> str:
    """Return how messages name a node: ``Loop 'decoder/loop'``."""
    name = node.name or next((v.name for v in node.outputs if v.name), "")
    return f"{node.op_type} {name!r}"


def _refuse_random(node: ir.Node, where: str) -> None:
    """Refuse a node whose output is random, alone or inside a subgraph."""
    for inner in _nodes(node):
        if inner.op_type in RANDOM and inner.domain in DOMAINS:
            raise ModelError(
                "CIMC-M30",
                f"{inner.op_type} gives random values: no two runs agree, so a chip cannot be "
                "verified against the network",
                where=where,
                hint="making the random tensor an input of the network",
            )


def _readable_version(node: ir.Node, domain: str, version: int) -> int:
    """Return the opset version to write: what onnxruntime reads, if that does not change a node.

    A newer version may be written as that one where the definitions of all operators concerned
    differ in nothing but the element types they allow.

    Raises:
        ModelError: ``CIMC-M32``: a definition differs.
    """
    if domain != "" or version <= NEWEST_OPSET:
        return version
    for inner in _nodes(node):
        if inner.domain == "" and not _same_definition(inner.op_type, version, NEWEST_OPSET):
            raise ModelError(
                "CIMC-M32",
                f"{inner.op_type} of opset {version} is newer than onnxruntime, which runs what "
                f"has no native operator and knows opset {NEWEST_OPSET}",
                where=describe(node),
                hint="exporting the model with an older opset",
            )
    return NEWEST_OPSET


def _same_definition(name: str, one: int, other: int) -> bool:
    """Whether an operator means the same in two opset versions."""
    try:
        first, second = (onnx.defs.get_schema(name, version, "") for version in (one, other))
    except onnx.defs.SchemaError:
        return False
    return first.since_version == second.since_version or _text(first) == _text(second)


def _text(schema: onnx.defs.OpSchema) -> tuple[object, ...]:
    """Return what defines an operator, element types left out."""
    attributes = {
        a.name: (a.type, a.required, a.default_value.SerializeToString())
        for a in schema.attributes.values()
    }
    operands = [(p.name, p.option) for p in (*schema.inputs, *schema.outputs)]
    return (" ".join((schema.doc or "").split()), attributes, operands)


def _inside(value: ir.Value, subgraphs: bool) -> ir.TensorProtocol | None:
    """Return the tensor of a constant that has to be part of the model; None of other values.

    Such are constants of types that only onnxruntime holds (int4 weights) and, for nodes with
    subgraphs, short lists of integers (axes, shapes): onnxruntime infers shapes from them.
    """
    producer = value.producer()
    if value.is_initializer():
        tensor = value.const_value
    elif producer is not None and producer.op_type == "Constant":
        held = producer.attributes.get("value")
        tensor = None if held is None else held.as_tensor()
    else:
        return None
    if tensor is None:
        return None
    short = tensor.dtype == ir.DataType.INT64 and tensor.size <= _SHORT
    return tensor if _foreign(value) or (subgraphs and short) else None


def _foreign(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype in _FOREIGN


def _refuse_type(value: ir.Value, where: str) -> None:
    """Refuse values that would have to pass between operators and cannot."""
    if isinstance(value.type, ir.TensorType) and _foreign(value):
        raise ModelError(
            "CIMC-M36",
            f"value {value.name!r} has the element type {value.type.dtype.name}",
            where=where,
            hint="another type between operators; constants of this type are fine",
        )
    if isinstance(value.type, ir.SparseTensorType):
        raise ModelError("CIMC-M36", f"value {value.name!r} is a sparse tensor", where=where)


def _typed(value: ir.Value, where: str) -> onnx.ValueInfoProto:
    """Return the declaration of a graph input: name, element type, rank where known."""
    info = onnx.ValueInfoProto(name=value.name)
    if value.type is None:
        raise ModelError(
            "CIMC-M36",
            f"the type of input {value.name!r} is not known",
            where=where,
            hint="onnx.shape_inference on the model, or writing the type into its value_info",
        )
    ir.serde.serialize_type_into(info.type, value.type)
    if value.shape is not None and len(value.shape) != 1 and isinstance(value.type, ir.TensorType):
        # The rank helps onnxruntime to infer subgraphs; sizes may differ from run to run.  Lists
        # of sizes and the like are left alone: an axis of unknown size is read as an empty list.
        info.type.tensor_type.shape.SetInParent()
        for _ in value.shape:
            info.type.tensor_type.shape.dim.add()
    return info


def _subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """Yield the graphs among the attributes of a node."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _nodes(node: ir.Node) -> Iterator[ir.Node]:
    """Yield a node and all nodes of its subgraphs."""
    yield node
    for graph in _subgraphs(node):
        for inner in graph:
            yield from _nodes(inner)


def _captured(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the values that a subgraph takes from the graphs around it, in order of use."""
    own = {*graph.inputs, *graph.initializers.values()}
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in own:
                yield value
        for inner in _subgraphs(node):
            yield from (value for value in _captured(inner) if value not in own)
        own.update(node.outputs)
    yield from (value for value in graph.outputs if value not in own)
