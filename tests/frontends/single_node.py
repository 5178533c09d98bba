"""Models of one node, and their comparison with onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper

from cimc.frontends import import_onnx
from cimc.frontends.onnx_tensor import from_numpy
from cimc.ir.network import Network
from cimc.ir.verifier import verify

Array = npt.NDArray[Any]


def model(
    op_type: str,
    inputs: Sequence[Array | None],
    opset: int,
    *,
    outputs: int = 1,
    constants: Sequence[int] = (),
    named: Sequence[str] | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """Return a model of one node; the inputs at ``constants`` become initializers."""
    names = ["" if value is None else f"x{k}" for k, value in enumerate(inputs)]
    results = list(named) if named is not None else [f"y{k}" for k in range(outputs)]
    node = helper.make_node(op_type, names, results, name=f"the_{op_type}", **attributes)
    declared = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape)
        )
        for k, (name, value) in enumerate(zip(names, inputs, strict=True))
        if value is not None and k not in constants
    ]
    graph = helper.make_graph(
        [node],
        "test",
        declared,
        [onnx.ValueInfoProto(name=name) for name in results if name],
        [numpy_helper.from_array(inputs[k], f"x{k}") for k in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(made)
    for value in inferred.graph.output:
        if not value.type.HasField("tensor_type"):
            value.type.CopyFrom(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    return inferred


def run(network: Network, feeds: Sequence[Array]) -> list[Array]:
    """Run the graph of a network."""
    results = network.graph(*[from_numpy(np.ascontiguousarray(f).reshape(f.shape)) for f in feeds])
    return [r.numpy() if isinstance(r, torch.Tensor) else r for r in results]


def opaque(network: Network) -> bool:
    """Tell whether any node went to onnxruntime."""
    calls = [n for n in network.graph.graph.nodes if n.op == "call_function"]
    return any(n.target.__name__ == "opaque" for n in calls)


def agrees(
    made: onnx.ModelProto, feeds: Sequence[Array], *, tolerance: float = 1e-5, native: bool = True
) -> Network:
    """Assert that a model imports, natively, and computes what onnxruntime computes."""
    network = import_onnx(made)
    assert verify(network) == []
    assert opaque(network) is not native
    expected = network.source.oracle(
        {s.name: f for s, f in zip(network.inputs, feeds, strict=True)}
    )
    for signal, value in zip(network.outputs, run(network, feeds), strict=True):
        reference = expected[signal.name]
        assert value.shape == reference.shape, signal.name
        assert value.dtype == reference.dtype, signal.name
        if reference.dtype.kind == "f":
            scale = max(float(np.abs(reference[np.isfinite(reference)]).max(initial=0)), 1.0)
            np.testing.assert_allclose(value, reference, rtol=tolerance, atol=tolerance * scale)
        else:
            np.testing.assert_array_equal(value, reference)
    return network
