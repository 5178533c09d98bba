"""Take the branch of each ``If`` whose condition is known: its nodes are imported natively."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import NameFixPass, ShapeInferencePass

#: Branches inside branches that are followed.
_MOST_DEPTH = 16
#: Nodes a condition may be computed by, and elements its constants may have.
_MOST_NODES, _MOST_ELEMENTS = 32, 1024
#: Operators that compute conditions: cheap, and of fixed meaning.
_PLAIN = frozenset(
    {
        *("Add", "And", "Cast", "Concat", "Constant", "Equal", "Gather", "Greater", "Identity"),
        *("GreaterOrEqual", "Less", "LessOrEqual", "Mul", "Not", "Or", "Shape", "Size", "Slice"),
        *("Squeeze", "Sub", "Unsqueeze", "Xor"),
    }
)


def take_known_branches(model: ir.Model) -> None:
    """Replace each ``If`` of the main graph by the branch its condition selects, where known.

    Types are inferred again, and what the branches make known may decide others.

    Args:
        model: Changed in place.
    """
    for _ in range(_MOST_DEPTH):
        taken = 0
        for node in list(model.graph):
            if node.op_type != "If" or node.domain not in ("", "ai.onnx"):
                continue
            condition = _known(node.inputs[0], model)
            if condition is not None:
                taken += 1
                name = "then_branch" if condition else "else_branch"
                _inline(model.graph, node, node.attributes[name].as_graph())
        if not taken:
            return
        NameFixPass()(model)
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    """Move the nodes of a branch before its ``If``, and let them give its outputs."""
    for value in list(branch.initializers.values()):
        constant = ir.node("Constant", [], attributes={"value": value.const_value})
        constant.outputs[0].name = value.name
        graph.insert_before(node, constant)
        value.replace_all_uses_with(constant.outputs[0], replace_graph_outputs=True)
    results = list(branch.outputs)
    inner = list(branch)
    branch.remove(inner)
    graph.insert_before(node, inner)
    for old, new in zip(node.outputs, results, strict=True):
        if new is None:
            continue
        if old.is_graph_output() or new.producer() is None:
            # The outputs of the network keep their names.
            copy = ir.node("Identity", [new], name=node.name)
            copy.outputs[0].name, copy.outputs[0].type = old.name, old.type
            copy.outputs[0].shape = old.shape
            graph.insert_before(node, copy)
            new = copy.outputs[0]
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _known(value: ir.Value | None, model: ir.Model) -> bool | None:
    """Return the value of a condition that depends on constants only; else None."""
    if value is None:
        return None
    needed: list[ir.Node] = []
    constants: dict[str, Any] = {}
    if not _collect(value, needed, constants):
        return None
    graph = onnx.GraphProto(name="condition")
    for node in needed:
        graph.node.append(ir.serde.serialize_node(node))
    for name, array in constants.items():
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    graph.output.append(onnx.ValueInfoProto(name=value.name))
    proto = onnx.ModelProto(ir_version=10, graph=graph)
    version = model.opset_imports.get("", 18)
    proto.opset_import.add(domain="", version=version)
    try:
        (result,) = ReferenceEvaluator(proto).run(None, {})
    except Exception:  # whatever it is, the condition stays unknown
        return None
    return bool(np.asarray(result).reshape(-1)[0])


def _collect(value: ir.Value, needed: list[ir.Node], constants: dict[str, Any]) -> bool:
    """Gather what computes a value, in order; False where that is not constant or not small."""
    if value.is_initializer() and value.const_value is not None:
        if value.is_graph_input() or value.const_value.size > _MOST_ELEMENTS:
            return False
        constants[value.name or ""] = value.const_value.numpy()
        return True
    node = value.producer()
    if node is None or node.op_type not in _PLAIN or len(needed) >= _MOST_NODES:
        return False
    if node in needed:
        return True
    if not all(operand is None or _collect(operand, needed, constants) for operand in node.inputs):
        return False
    needed.append(node)
    return True
