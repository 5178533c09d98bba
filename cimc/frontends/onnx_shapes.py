"""Turn ``Shape`` nodes whose answer is known into constants.

Exporters compute with sizes that are fixed: the gate matrices of a torch LSTM are cut from its
parameters by the size of its state.  Only with the size known are they constants that can go to a
crossbar.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from cimc.frontends.onnx_types import skeleton

#: Stands for the first axis of every input: the number of samples is never a constant.
_SAMPLES = "cimc_samples"


def fold_shapes(model: ir.Model, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace ``Shape`` nodes by constants.

    Args:
        model: Changed in place.
        sizes: Value of the output of nodes, by name, from :func:`fixed_shapes`.
    """
    for node in list(model.graph):
        if node.op_type != "Shape" or node.outputs[0].name not in sizes:
            continue
        value = np.array(sizes[node.outputs[0].name or ""], dtype=np.int64)
        constant = ir.node("Constant", [], attributes={"value": ir.tensor(value)}, name=node.name)
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], [constant], node.outputs, constant.outputs
        )


def fixed_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the results of ``Shape`` nodes that do not depend on the number of samples, by name.

    Empty where the number of samples is fixed somewhere inside the model.
    """
    nodes = [n for n in model.graph.node if n.op_type == "Shape" and n.domain in ("", "ai.onnx")]
    shapes = _shapes(model) if nodes else {}
    found = {}
    for node in nodes:
        axes = shapes.get(node.input[0])
        if axes is None:
            continue
        bounds = {a.name: a.i for a in node.attribute}
        picked = axes[bounds.get("start", 0) : bounds.get("end", len(axes))]
        if None not in picked:
            found[node.output[0]] = tuple(size for size in picked if size is not None)
    return found


def _shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Return the sizes of the axes of each value, None where they are not fixed."""
    bare = skeleton(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in bare.graph.input:
        axes = value.type.tensor_type.shape.dim
        if value.name not in constants and len(axes):
            axes[0].dim_param = _SAMPLES
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")  # declared for one number of samples
    try:
        found = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph
    except Exception:
        return {}
    return {
        value.name: [
            axis.dim_value if axis.HasField("dim_value") else None
            for axis in value.type.tensor_type.shape.dim
        ]
        for value in (*found.input, *found.value_info, *found.output)
        if value.type.tensor_type.HasField("shape")
    }
