"""Tensors cut into sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cimc.errors import ModelError
from cimc.frontends import import_onnx
from tests.frontends.single_node import agrees

X = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)


def cut(
    positions: list[int],
    sizes: Any = None,
    *,
    shape: tuple[Any, ...] = X.shape,
    nodes: bool = False,
    sequence_out: bool = False,
    **attributes: int,
) -> onnx.ModelProto:
    """Return SplitToSequence and one SequenceAt a position."""
    constants = [numpy_helper.from_array(np.array(p, np.int64), f"p{p}") for p in set(positions)]
    made = [
        helper.make_node("SplitToSequence", ["x", "s"] if sizes else ["x"], ["seq"], **attributes)
    ]
    if sizes:
        constants.append(numpy_helper.from_array(np.array(sizes, np.int64), "s"))
    made += [helper.make_node("SequenceAt", ["seq", f"p{p}"], [f"y{p}"]) for p in positions]
    if nodes:
        made = [helper.make_node("Constant", [], [c.name], value=c) for c in constants] + made
        constants = []
    value = helper.make_tensor_value_info
    outputs = [value(f"y{p}", TensorProto.FLOAT, None) for p in positions]
    if sequence_out:
        outputs.append(helper.make_tensor_sequence_value_info("seq", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        made, "g", [value("x", TensorProto.FLOAT, list(shape))], outputs, constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize(
    ("positions", "sizes", "attributes"),
    [
        ([0, 2, -1], 3, {"axis": 1}),
        ([1], [2, 4, 1], {"axis": -2}),
        ([0, 1], None, {}),
        ([0, -1], None, {"axis": 1, "keepdims": 0}),
        ([1], 1, {"axis": 2}),
    ],
)
def test_parts_are_native(
    positions: list[int], sizes: Any, attributes: dict[str, int], nodes: bool
) -> None:
    agrees(cut(positions, sizes, nodes=nodes, **attributes), [X])


def test_parts_that_need_onnxruntime() -> None:
    agrees(cut([0], 3, shape=(2, "n", 3), axis=1), [X], native=False)
    agrees(cut([1], 1, axis=2, keepdims=0), [X], native=False)


def test_sizes_given_do_not_need_the_shape() -> None:
    agrees(cut([1], [3, 4], shape=("b", "n", 3), axis=1), [X])


def test_no_such_part() -> None:
    with pytest.raises(ModelError) as caught:
        import_onnx(cut([3], 3, axis=1))
    assert caught.value.code == "CIMC-M13"
    assert "position 3 of a sequence of 3" in caught.value.message


def test_a_sequence_that_leaves_the_network_is_opaque() -> None:
    network = import_onnx(cut([0], 3, sequence_out=True, axis=1))
    operators = {n.meta.get("operator") for n in network.graph.graph.nodes}
    assert [s.dtype for s in network.outputs] == ["float32", "sequence"]
    assert "SplitToSequence" in operators
