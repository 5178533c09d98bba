"""Shape nodes whose answer does not depend on the number of samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

import cimc
from cimc.frontends.onnx_import import import_onnx
from cimc.frontends.onnx_shapes import fixed_shapes


def model(shape, nodes, outputs):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(o, TensorProto.INT64, None) for o in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def shape_of(name, output, **bounds):
    return helper.make_node("Shape", [name], [output], **bounds)


@pytest.mark.parametrize("samples", [1, 3, "n", None])
def test_fixed_axes_are_known_whatever_the_number_of_samples(samples):
    nodes = [
        shape_of("x", "all"),
        shape_of("x", "first", start=0, end=1),
        shape_of("x", "rest", start=1),
        shape_of("x", "last", start=-1),
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        shape_of("t", "turned", start=0, end=1),
        shape_of("t", "samples", start=1, end=2),
    ]
    names = ["all", "first", "rest", "last", "turned", "samples"]
    known = fixed_shapes(model([samples, 4, 5], nodes, names))
    assert known == {"rest": (4, 5), "last": (5,), "turned": (4,)}


def test_dynamic_axes_are_not_known():
    assert fixed_shapes(model(["n", "w", 5], [shape_of("x", "y", start=1)], ["y"])) == {}


def test_the_imported_network_answers_as_before():
    nodes = [shape_of("x", "rest", start=1), shape_of("x", "all")]
    network = import_onnx(model([2, 4, 5], nodes, ["rest", "all"]))
    called = [getattr(n.target, "__name__", "") for n in network.graph.graph.nodes]
    assert called.count("shape") == 1
    rest, every = network.graph(torch.zeros(2, 4, 5))
    assert rest.tolist() == [4, 5]
    assert every.tolist() == [2, 4, 5]


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
@pytest.mark.parametrize("dynamic", [True, False])
def test_recurrent_weights_of_torch_go_to_crossbars_once(kind, dynamic):
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.r = kind(4, 6, batch_first=True)

        def forward(self, x):
            return self.r(x)[0]

    torch.manual_seed(0)
    module, x = Network().eval(), torch.randn(3, 5, 4)
    shapes = ({0: torch.export.Dim("n", min=1, max=99)},) if dynamic else None
    program = cimc.compile(module, target="ideal", example_inputs=(x,), dynamic_shapes=shapes)
    assert len(program.layers) == 2
    got = next(iter(cimc.run(program, {"x": x.numpy()}, mode="ideal").values()))
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
