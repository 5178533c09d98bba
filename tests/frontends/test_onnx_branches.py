"""Branches of If nodes whose condition is known."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import cimc
from cimc.frontends.onnx_import import import_onnx

F, N, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, kind=F, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def branch(nodes, output, initializers=()):
    return helper.make_graph(nodes, "branch", [], [value(output)], list(initializers))


def model(nodes, shape=("n", 1, 4), initializers=(), outputs=("y",)):
    graph = helper.make_graph(
        nodes, "g", [value("x", shape=shape)], [value(o) for o in outputs], list(initializers)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def squeezed_if_one(axis, then_nodes, then_output, initializers=()):
    """What exporters write for a squeeze of an axis they do not know."""
    return [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", f"a{axis}", f"a{axis + 1}"], ["d"]),
        helper.make_node("Equal", ["d", "one"], ["c"]),
        helper.make_node(
            "If",
            ["c"],
            ["z"],
            then_branch=branch(then_nodes, then_output, initializers),
            else_branch=branch([helper.make_node("Identity", ["x"], ["e"])], "e"),
        ),
        helper.make_node("Relu", ["z"], ["y"]),
    ]


SMALL = [constant(f"a{k}", np.array([k])) for k in range(4)] + [constant("one", np.array([1]))]


def operators(network):
    return [getattr(n.target, "__name__", "") for n in network.graph.graph.nodes]


def check(proto, x, native):
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    network = import_onnx(proto)
    assert ("opaque" not in operators(network)) == native
    for got, want in zip(network.graph(torch.from_numpy(x)), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
    return network


def test_a_shape_that_is_fixed_decides():
    nodes = squeezed_if_one(1, [helper.make_node("Squeeze", ["x", "a1"], ["t"])], "t")
    # The whole shape depends on the number of samples; the axis asked for does not.
    nodes[0] = helper.make_node("Shape", ["x"], ["s"], start=1)
    nodes[1] = helper.make_node("Slice", ["s", "a0", "a1"], ["d"])
    x = np.random.default_rng(0).normal(size=(2, 1, 4)).astype(np.float32)
    check(model(nodes, initializers=SMALL), x, native=True)


def test_the_number_of_samples_does_not():
    nodes = squeezed_if_one(0, [helper.make_node("Neg", ["x"], ["t"])], "t")
    for samples in (1, 2):
        x = np.ones((samples, 1, 4), np.float32)
        check(model(nodes, shape=(1, 1, 4), initializers=SMALL), x[:1], native=False)


@pytest.mark.parametrize("chosen", [True, False])
def test_weights_inside_the_branch_go_to_crossbars(chosen):
    w = constant("w", np.eye(4, 3, dtype=np.float32))
    nodes = [
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=branch([helper.make_node("MatMul", ["x", "w"], ["t"])], "t", [w]),
            else_branch=branch([helper.make_node("Neg", ["x"], ["e"])], "e"),
        )
    ]
    proto = model(nodes, initializers=[constant("c", np.array(chosen))])
    program = cimc.compile(proto, target="ideal")
    assert len(program.layers) == int(chosen)
    x = np.random.default_rng(0).normal(size=(2, 1, 4)).astype(np.float32)
    want = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(cimc.run(program, {"x": x}, mode="ideal")["y"], want, rtol=1e-5)


def test_a_branch_that_hands_on_a_value_from_outside():
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=branch([helper.make_node("Identity", ["r"], ["t"])], "t"),
            else_branch=branch([helper.make_node("Neg", ["x"], ["e"])], "e"),
        ),
        helper.make_node("Add", ["y", "r"], ["w"]),
    ]
    proto = model(nodes, initializers=[constant("c", np.array(True))], outputs=("y", "w"))
    network = check(proto, np.array([[[1, -2, 3, 4]]], np.float32), native=True)
    assert [s.name for s in network.outputs] == ["y", "w"]


def test_a_branch_inside_a_branch_and_layers_that_need_types():
    """Convolution and pooling are imported by the rank of their input."""
    w = constant("w", np.ones((2, 1, 1), np.float32))
    inner = helper.make_node(
        "If",
        ["c"],
        ["t"],
        then_branch=branch(
            [
                helper.make_node("Conv", ["r", "w"], ["u"]),
                helper.make_node("MaxPool", ["u"], ["v"], kernel_shape=[2]),
            ],
            "v",
        ),
        else_branch=branch([helper.make_node("Neg", ["x"], ["f"])], "f"),
    )
    nodes = [
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=branch([helper.make_node("Relu", ["x"], ["r"]), inner], "t"),
            else_branch=branch([helper.make_node("Neg", ["x"], ["e"])], "e"),
        )
    ]
    proto = model(nodes, initializers=[constant("c", np.array(True)), w])
    check(proto, np.array([[[1, -2, 3, 4]]], np.float32), native=True)


def test_two_conditions_with_the_same_names_inside():
    def choice(output):
        return helper.make_node(
            "If",
            ["c"],
            [output],
            then_branch=branch([helper.make_node("Abs", ["x"], ["t"])], "t"),
            else_branch=branch([helper.make_node("Neg", ["x"], ["e"])], "e"),
        )

    nodes = [choice("p"), choice("q"), helper.make_node("Mul", ["p", "q"], ["y"])]
    proto = model(nodes, initializers=[constant("c", np.array(False))])
    check(proto, np.array([[[1, -2, 3, 4]]], np.float32), native=True)
