"""Small ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def linear_chain(path: Path, *, batch: int | str = "n", external: bool = False) -> Path:
    """``y = relu(bn(x @ w1)) @ w2 + b`` with nodes fc1, bn, relu, fc2, bias."""
    draw = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(draw.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "fc1"),
        helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["hb"], "bn"),
        helper.make_node("Relu", ["hb"], ["hr"], "relu"),
        helper.make_node("MatMul", ["hr", "w2"], ["z"], "fc2"),
        helper.make_node("Add", ["z", "b"], ["y"], "bias"),
    ]
    constants = [constant("w1", 4, 8), constant("w2", 8, 3), constant("b", 3)]
    constants += [constant(n, 8) for n in ("s", "t", "m")]
    constants.append(numpy_helper.from_array(np.ones(8, np.float32), "v"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(
        model, str(path), save_as_external_data=external, location="weights.bin", size_threshold=0
    )
    return path
