import numpy as np
import pytest
from onnx import helper

from cimc.ir.network import Stage
from cimc.ops.table import OPERATORS
from cimc.passes.canonicalize import Canonicalize
from tests.passes.networks import context, conv_net, evaluate, network, rng

NAMES = {spec.function: name for name, spec in OPERATORS.items()}


def operators(net):
    return [NAMES[n.target] for n in net.graph.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize("group", [1, 3])
def test_batch_norm_is_folded_and_the_function_stays(group):
    net = conv_net(norm=True, group=group, filters=6)
    after = Canonicalize().run(net, context())
    assert "batch_normalization" in operators(net)
    assert "batch_normalization" not in operators(after)
    assert after.stage is Stage.CANONICAL
    # float32 sums in another order: some units in the last place of values near 10
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=2e-5, atol=2e-5)


def test_the_network_given_is_not_changed():
    net = conv_net(norm=True)
    before = evaluate(net)[0].copy(), str(net.graph.graph)
    Canonicalize().run(net, context())
    np.testing.assert_array_equal(evaluate(net)[0], before[0])
    assert str(net.graph.graph) == before[1]


def test_twice_is_once():
    once = Canonicalize().run(conv_net(norm=True), context())
    twice = Canonicalize().run(once, context())
    assert operators(twice) == operators(once)
    np.testing.assert_array_equal(evaluate(twice)[0], evaluate(once)[0])


def test_a_weight_read_twice_is_never_folded_into():
    r = rng()
    w = r.standard_normal((3, 3, 1, 1)).astype(np.float32)
    stats = {k: r.uniform(0.5, 2, 3).astype(np.float32) for k in "stmv"}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"], name="norm"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="c"),
    ]
    net = network(nodes, {"x": ["n", 3, 4, 4]}, {"y": ["n", 3, 4, 4]}, {"w": w, **stats})
    after = Canonicalize().run(net, context())
    assert "batch_normalization" in operators(after)
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-5, atol=1e-5)


def test_a_result_read_elsewhere_keeps_its_batch_norm():
    r = rng()
    constants = {k: r.uniform(0.5, 2, 3).astype(np.float32) for k in "stmv"}
    constants["w"] = r.standard_normal((3, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"], name="norm"),
        helper.make_node("Add", ["a", "b"], ["y"], name="sum"),
    ]
    net = network(nodes, {"x": ["n", 3, 4, 4]}, {"y": ["n", 3, 4, 4]}, constants)
    after = Canonicalize().run(net, context())
    assert "batch_normalization" in operators(after)
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["Mul", "Add", "Sub"])
@pytest.mark.parametrize("first", [True, False])
def test_per_channel_affine_is_folded_where_exact(op, first):
    r = rng()
    a = r.standard_normal((1, 4, 1, 1)).astype(np.float32)
    w = r.standard_normal((4, 3, 3, 3)).astype(np.float32)
    operands = ["c", "a"] if first else ["a", "c"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node(op, operands, ["y"], name="affine"),
    ]
    net = network(nodes, {"x": ["n", 3, 5, 5]}, {"y": ["n", 4, 3, 3]}, {"w": w, "a": a})
    after = Canonicalize().run(net, context())
    folded = operators(after) == ["conv"]
    assert folded == (op != "Sub" or first)
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-5, atol=1e-5)


def test_a_constant_of_another_axis_is_not_folded():
    r = rng()
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Mul", ["c", "a"], ["y"], name="affine"),
    ]
    constants = {
        "w": r.standard_normal((3, 3, 1, 1)).astype(np.float32),
        "a": r.standard_normal((1, 1, 3, 1)).astype(np.float32),
    }
    net = network(nodes, {"x": ["n", 3, 3, 3]}, {"y": ["n", 3, 3, 3]}, constants)
    after = Canonicalize().run(net, context())
    assert operators(after) == ["conv", "mul"]
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-5, atol=1e-5)


def test_a_weight_behind_transpose_and_reshape_becomes_a_constant():
    r = rng()
    nodes = [
        helper.make_node("Reshape", ["w", "shape"], ["w2"], name="reshape"),
        helper.make_node("Transpose", ["w2"], ["w3"], name="transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["x", "w3"], ["y"], name="matmul"),
    ]
    constants = {
        "w": r.standard_normal((2, 3, 4)).astype(np.float32),
        "shape": np.array([6, 4]),
    }
    net = network(nodes, {"x": ["n", 4]}, {"y": ["n", 6]}, constants)
    after = Canonicalize().run(net, context())
    assert operators(after) == ["matmul"]
    assert list(after.parameter_names.values()) == ["w"]
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-6)


def test_a_weight_prepared_anew_at_every_step_stays_one():
    r = rng()
    w = r.standard_normal((4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["w"], ["w1"]),
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Transpose", ["w"], ["w2"]),
        helper.make_node("MatMul", ["h", "w2"], ["y"]),
    ]
    net = network(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"w": w})
    after = Canonicalize().run(net, context())
    read = {n.target for n in after.graph.graph.nodes if n.op == "get_attr"}
    assert len(read) == 1
    np.testing.assert_allclose(evaluate(after)[0], evaluate(net)[0], rtol=1e-5)


def test_a_fixed_batch_of_one_is_freed_and_gives_the_same():
    r = rng()
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("Reshape", ["a", "shape"], ["b"], name="reshape"),
        helper.make_node("MatMul", ["b", "w"], ["y"], name="matmul"),
    ]
    constants = {
        "w": r.standard_normal((12, 5)).astype(np.float32),
        "shape": np.array([1, 12]),
    }
    net = network(nodes, {"x": [1, 3, 2, 2]}, {"y": [1, 5]}, constants)
    after = Canonicalize().run(net, context())
    assert after.batched
    assert after.inputs[0].shape == ("batch", 3, 2, 2)
    alone = evaluate(net)[0]
    assert alone.shape == (1, 5)
    np.testing.assert_allclose(evaluate(after)[0][:1], alone, rtol=1e-6)


def test_samples_that_see_each_other_are_not_a_batch():
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], name="mean", keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"], name="sub"),
    ]
    net = network(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {})
    assert not Canonicalize().run(net, context()).batched
