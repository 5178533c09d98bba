"""Nodes without a native operator, subgraphs included, as opaque operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cimc.errors import ModelError
from cimc.frontends.onnx_import import import_onnx

F, N, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, kind=F, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, initializers=(), opset=21):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def check(proto, feeds, opaque=1):
    """Import, compare with onnxruntime, count opaque operators."""
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    network = import_onnx(proto)
    tensors = [v if v.dtype == object else torch.from_numpy(v) for v in feeds.values()]
    got = network.graph(*tensors)
    for a, b in zip(got, expected, strict=True):
        if isinstance(b, list):
            assert len(a) == len(b)
        elif b.dtype == object:
            assert a.tolist() == b.tolist()
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5)
    called = [getattr(n.target, "__name__", "") for n in network.graph.graph.nodes]
    assert called.count("opaque") == opaque
    return network


def conditional(then, other):
    return helper.make_node(
        "If", ["go"], ["y"], name="choose", then_branch=then, else_branch=other
    )


def branch(*nodes, output="z", **captured):
    return helper.make_graph(list(nodes), "branch", [], [value(output)], **captured)


@pytest.mark.parametrize("go", [True, False])
def test_if_captures_inputs_constants_and_intermediate_values(go):
    w = constant("w", np.full(3, 2.0, np.float32))
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        conditional(
            branch(helper.make_node("Mul", ["r", "w"], ["z"])),
            branch(helper.make_node("Sub", ["x", "w"], ["z2"]), output="z2"),
        ),
        helper.make_node("Neg", ["y"], ["out"]),
    ]
    proto = model(nodes, [value("x", shape=[3]), value("go", B, [])], [value("out")], [w])
    check(proto, {"x": np.array([-1, 0, 5], np.float32), "go": np.array(go)})


def test_a_branch_inside_a_branch_captures_from_the_outermost_graph():
    inner = helper.make_node(
        "If",
        ["go"],
        ["z"],
        then_branch=branch(helper.make_node("Add", ["x", "x"], ["q"]), output="q"),
        else_branch=branch(helper.make_node("Neg", ["x"], ["q2"]), output="q2"),
    )
    nodes = [
        conditional(
            branch(inner), branch(helper.make_node("Identity", ["x"], ["z3"]), output="z3")
        )
    ]
    proto = model(nodes, [value("x", shape=[2]), value("go", B, [])], [value("y")])
    check(proto, {"x": np.array([1, 2], np.float32), "go": np.array(True)})


def loop(outputs, body_nodes, body_outputs):
    body = helper.make_graph(
        body_nodes,
        "body",
        [value("i", N, []), value("c", B, []), value("a")],
        [value("c2", B, []), *map(value, body_outputs)],
    )
    return helper.make_node("Loop", ["n", "", "x"], outputs, name="repeat", body=body)


def test_loop_with_carried_and_scanned_values():
    nodes = [
        loop(
            ["last", "all"],
            [
                helper.make_node("Identity", ["c"], ["c2"]),
                helper.make_node("Mul", ["a", "step"], ["a2"]),
                helper.make_node("Identity", ["a2"], ["s"]),
            ],
            ["a2", "s"],
        )
    ]
    step = constant("step", np.float32(1.5))
    outputs = [value("last"), value("all")]
    proto = model(nodes, [value("x", shape=[2]), value("n", N, [])], outputs, [step])
    network = check(proto, {"x": np.array([1, 2], np.float32), "n": np.array(4)})
    assert network.outputs[0].name == "last"


def test_sequences_and_strings_pass_between_opaque_operators():
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=0, keepdims=1),
        helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        helper.make_node("SequenceAt", ["t", "k"], ["y"]),
        helper.make_node("Relu", ["y"], ["out"]),
        helper.make_node("StringConcat", ["w", "w"], ["ww"]),
    ]
    inputs = [value("x", shape=[2, 3]), value("w", TensorProto.STRING, [2])]
    k = constant("k", np.array(1))
    proto = model(nodes, inputs, [value("out"), value("ww", TensorProto.STRING)], [k])
    feeds = {"x": np.ones((2, 3), np.float32), "w": np.array(["a", "b"], object)}
    check(proto, feeds, opaque=4)


def test_optional_values_pass_between_opaque_operators():
    nodes = [
        helper.make_node("Optional", ["x"], ["o"]),
        helper.make_node("OptionalHasElement", ["o"], ["has"]),
        helper.make_node("OptionalGetElement", ["o"], ["y"]),
    ]
    outputs = [value("has", B), value("y")]
    proto = model(nodes, [value("x", shape=[2])], outputs)
    check(proto, {"x": np.ones(2, np.float32)}, opaque=3)


def test_omitted_inputs_and_outputs():
    nodes = [helper.make_node("Unique", ["x"], ["y", "", "", "count"])]
    proto = model(nodes, [value("x", shape=[5])], [value("y"), value("count", N)])
    check(proto, {"x": np.array([3, 1, 3, 2, 1], np.float32)})


def test_int4_weights_stay_inside_the_operator():
    packed = helper.make_tensor("w", TensorProto.INT4, [4], [-8, 7, 1, -2])
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    scale = constant("scale", np.float32(0.5))
    proto = model(nodes, [value("x", shape=[4])], [value("y")], [packed, scale])
    network = import_onnx(proto)
    (y,) = network.graph(torch.zeros(4))
    assert y.tolist() == [-4.0, 3.5, 0.5, -1.0]


def test_an_opset_newer_than_onnxruntime_that_changes_nothing():
    nodes = [helper.make_node("Unique", ["x"], ["y"])]
    proto = model(nodes, [value("x", shape=[3])], [value("y")], opset=28)
    network = import_onnx(proto)
    (y,) = network.graph(torch.tensor([2.0, 1.0, 2.0]))
    assert y.tolist() == [1.0, 2.0]


# -- refused ---------------------------------------------------------------------------------


def refused(proto, code):
    with pytest.raises(ModelError) as error:
        import_onnx(proto)
    assert error.value.code == code, str(error.value)
    return error.value


def test_random_output():
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["y"], name="noise", seed=1.0)]
    error = refused(model(nodes, [value("x", shape=[2])], [value("y")]), "CIMC-M30")
    assert "noise" in error.where


def test_random_output_inside_a_subgraph():
    random = helper.make_node("RandomUniform", [], ["z"], shape=[2])
    nodes = [
        conditional(branch(random), branch(helper.make_node("Neg", ["x"], ["z2"]), output="z2"))
    ]
    proto = model(nodes, [value("x", shape=[2]), value("go", B, [])], [value("y")])
    error = refused(proto, "CIMC-M30")
    assert "RandomUniform" in error.message
    assert "choose" in error.where


def test_a_domain_that_is_not_of_the_standard():
    node = helper.make_node("Fused", ["x"], ["y"], domain="com.vendor", name="fused")
    proto = model([node], [value("x", shape=[2])], [value("y", shape=[2])])
    proto.opset_import.add(domain="com.vendor", version=1)
    error = refused(proto, "CIMC-M31")
    assert "com.vendor" in error.message


def test_no_kernel():
    node = helper.make_node("ImageDecoder", ["x"], ["y"], name="decode")
    inputs = [value("x", TensorProto.UINT8, [None])]
    error = refused(model([node], inputs, [value("y", TensorProto.UINT8)]), "CIMC-M32")
    assert "decode" in error.where
    assert "onnxruntime_src" not in error.message


def test_int4_between_operators():
    nodes = [
        helper.make_node("Cast", ["x"], ["q"], to=TensorProto.INT4),
        helper.make_node("Cast", ["q"], ["y"], to=F),
    ]
    error = refused(model(nodes, [value("x", shape=[2])], [value("y")]), "CIMC-M36")
    assert "INT4" in error.message


def test_the_same_model_gives_the_same_bytes():
    nodes = [helper.make_node("Unique", ["x"], ["y"])]
    proto = model(nodes, [value("x", shape=[3])], [value("y")])
    held = [
        [t for t in import_onnx(proto).graph.state_dict().values() if t.dtype == torch.uint8]
        for _ in range(2)
    ]
    assert torch.equal(held[0][0], held[1][0])
    assert onnx.load_model_from_string(bytes(held[0][0].numpy())).graph.node[0].op_type == "Unique"
