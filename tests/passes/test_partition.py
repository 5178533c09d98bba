import numpy as np
import pytest
from onnx import helper

from cimc.errors import ModelError, UsageError
from cimc.ir.geometry import Geometry
from cimc.passes.canonicalize import Canonicalize
from cimc.passes.partition import Partition
from tests.passes.networks import context, conv_net, network, rng


def partition(net, **options):
    return Partition(**options).run(Canonicalize().run(net, context()), context())


def test_conv_and_gemm_become_layers_in_execution_order():
    net = partition(conv_net(channels=6, filters=4, group=2))
    assert list(net.layers) == ["w", "fw"]
    assert net.layers["w"].geometry == Geometry("conv", 2, 27, 2, (3, 3))
    assert net.layers["fw"].geometry == Geometry("matrix", 1, 4, 5, transposed=True)
    assert [u.operand for x in net.layers.values() for u in x.uses] == [1, 1]


def test_one_weight_read_by_three_nodes_is_one_layer():
    w = rng().standard_normal((4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [a, "w"], [b], name=f"m{i}")
        for i, (a, b) in enumerate([("x", "a"), ("a", "b"), ("b", "y")])
    ]
    net = partition(network(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"w": w}))
    assert list(net.layers) == ["w"]
    assert len(net.layers["w"].uses) == 3


def test_patterns_pin_layers():
    assert list(partition(conv_net(), digital=("w",)).layers) == ["fw"]
    assert list(partition(conv_net(), digital=("*",), analog=("fc",)).layers) == ["fw"]
    assert not partition(conv_net(), digital=("*",)).layers


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(UsageError) as e:
        partition(conv_net(), digital=("conv9*",))
    assert str(e.value) == (
        "error[CIMC-U40]: no layer matches the pattern 'conv9*'\n  try one of: w, fw"
    )


def test_a_product_of_activations_stays_digital():
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"], name="m")]
    net = network(nodes, {"a": ["n", 3, 4], "b": ["n", 4, 5]}, {"y": ["n", 3, 5]}, {})
    assert not partition(net).layers


@pytest.mark.parametrize(
    ("shape", "left", "expected"),
    [
        ((4, 5), False, Geometry("matrix", 1, 4, 5)),
        ((3, 4, 5), False, Geometry("matrix", 3, 4, 5, stack=(3,))),
        ((6, 2), True, Geometry("matrix-left", 1, 2, 6)),
    ],
)
def test_matmul_constants_on_either_side(shape, left, expected):
    w = rng().standard_normal(shape).astype(np.float32)
    names = ["w", "x"] if left else ["x", "w"]
    nodes = [helper.make_node("MatMul", names, ["y"], name="m")]
    x = [2, 7] if left else ["n", 3, 6, 4]
    y = [6, 7] if left else ["n", 3, 6, 5]
    net = partition(network(nodes, {"x": x}, {"y": y}, {"w": w}))
    assert net.layers["w"].geometry == expected


def test_a_weight_with_nan_is_refused():
    w = np.ones((4, 5), np.float32)
    w[1, 2], w[3, 3] = np.nan, np.inf
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
    with pytest.raises(ModelError, match="2"):
        partition(network(nodes, {"x": ["n", 4]}, {"y": ["n", 5]}, {"w": w}))


def test_an_empty_weight_stays_digital():
    w = np.ones((4, 0), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
    assert not partition(network(nodes, {"x": ["n", 4]}, {"y": ["n", 0]}, {"w": w})).layers
