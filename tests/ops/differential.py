"""Run one operator in onnxruntime, and as cimc imports it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

from cimc.frontends.onnx_import import import_onnx


def single(
    operator: str, inputs: dict[str, Any], outputs: int = 1, opset: int = 20, **attributes: Any
) -> onnx.ModelProto:
    """Return a model of one node; inputs that are None are left out."""
    given = {k: np.asarray(v) for k, v in inputs.items() if v is not None}
    names = [k if v is not None else "" for k, v in inputs.items()]
    results = [f"y{k}" for k in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, names, results, **attributes)],
        operator,
        [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in given.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def both(
    operator: str, inputs: dict[str, Any], outputs: int = 1, opset: int = 20, **attributes: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what cimc and what onnxruntime give; cimc must do it natively."""
    model = single(operator, inputs, outputs, opset, **attributes)
    given = {k: np.asarray(v) for k, v in inputs.items() if v is not None}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, given)
    network = import_onnx(model)
    called = [getattr(n.target, "__name__", "") for n in network.graph.graph.nodes]
    assert "opaque" not in called
    got = network.graph(*(torch.from_numpy(v.copy()) for v in given.values()))
    return [v.numpy() for v in got], expected


def agree(
    operator: str,
    inputs: dict[str, Any],
    outputs: int = 1,
    opset: int = 20,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    **attributes: Any,
) -> None:
    """Require that cimc gives what onnxruntime gives."""
    for a, b in zip(*both(operator, inputs, outputs, opset, **attributes), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
