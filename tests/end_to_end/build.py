"""Small ONNX models for the cases that break compilers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.zoo.task import Array

OPSET = 20
FLOAT = TensorProto.FLOAT


def node(
    operator: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any
) -> onnx.NodeProto:
    """Return a node; one output may be given as a string."""
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    return helper.make_node(operator, list(inputs), names, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    weights: Mapping[str, Array],
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return a model with float inputs and outputs; shapes of outputs are inferred."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "case",
        [info(name, FLOAT, list(shape)) for name, shape in inputs.items()],
        [info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return onnx.shape_inference.infer_shapes(made)


def normal(*shape: int, seed: int = 0) -> Array:
    """Return seeded standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
