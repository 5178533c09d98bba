"""What an imported network looks like."""

from __future__ import annotations

import hashlib
import operator
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cimc.errors import ModelError
from cimc.frontends import import_onnx
from cimc.frontends.onnx_tensor import from_numpy, non_finite
from cimc.ir.network import Network, Stage
from tests.frontends.single_node import agrees, run


def two_layers(ir_version: int = 8) -> onnx.ModelProto:
    """Return Gemm, Relu, MatMul; names with slashes and dots; one name a Python keyword."""
    rng = np.random.default_rng(0)
    weights = {
        "fc.1/weight": rng.standard_normal((5, 4)).astype(np.float32),
        "class": rng.standard_normal(5).astype(np.float32),
        "training": rng.standard_normal((5, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node(
            "Gemm", ["in/put", "fc.1/weight", "class"], ["h"], name="/fc/1", transB=1
        ),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "training"], ["out:0"], name="last"),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("in/put", TensorProto.FLOAT, ["batch", 4])]
    if ir_version == 3:
        inputs += [value(k, TensorProto.FLOAT, list(v.shape)) for k, v in weights.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [value("out:0", TensorProto.FLOAT, None), value("r", TensorProto.FLOAT, [None, 5])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=ir_version
    )


def names(network: Network) -> dict[str, str]:
    return dict(network.parameter_names)


def test_names_signals_and_metadata() -> None:
    network = import_onnx(two_layers())
    assert network.stage is Stage.IMPORTED
    (given,) = network.inputs
    assert (given.name, given.dtype, given.shape) == ("in/put", "float32", ("batch", 4))
    assert [(s.name, s.shape) for s in network.outputs] == [("out:0", None), ("r", ("", 5))]
    assert names(network) == {
        "fc_1_weight": "fc.1/weight",
        "_class": "class",
        "training_1": "training",
    }
    calls = [n for n in network.graph.graph.nodes if n.op == "call_function"]
    assert [n.meta["source"] for n in calls] == ["/fc/1", "Relu#1", "last"]
    assert [n.meta["operator"] for n in calls] == ["Gemm", "Relu", "MatMul"]
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    agrees(two_layers(), [x])


def test_initializers_among_the_inputs() -> None:
    network = import_onnx(two_layers(ir_version=3))
    assert [s.name for s in network.inputs] == ["in/put"]


def test_every_source_gives_the_same(tmp_path: Path) -> None:
    proto = two_layers()
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    expected = run(import_onnx(path), [x])[0]
    model = ir.serde.deserialize_model(proto)
    for source in (str(path), path.read_bytes(), proto, model):
        np.testing.assert_array_equal(run(import_onnx(source), [x])[0], expected)
    network = import_onnx(path)
    assert network.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.source.path == str(path)


def test_constants_become_attributes_not_calls() -> None:
    weight = numpy_helper.from_array(np.ones((4, 2), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)
    network = agrees(made, [np.ones((1, 4), np.float32)])
    assert [n.op for n in network.graph.graph.nodes] == [
        "placeholder",
        "get_attr",
        "call_function",
        "output",
    ]
    assert names(network) == {"w": "w"}


def test_one_weight_of_three_nodes_is_one_attribute() -> None:
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in ("xp", "pq", "qy")]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    network = agrees(made, [np.ones((1, 4), np.float32)])
    readers = [n for n in network.graph.graph.nodes if n.op == "get_attr"]
    assert len(readers) == 1
    assert len(readers[0].users) == 3


def test_local_functions_are_inlined() -> None:
    function = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 13)],
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="local")],
        "g",
        [value("x", TensorProto.FLOAT, [4])],
        [value("y", TensorProto.FLOAT, [4])],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("local", 1)],
        functions=[function],
        ir_version=9,
    )
    network = agrees(made, [np.ones(4, np.float32)])
    assert [n.meta["operator"] for n in network.graph.graph.nodes if n.op == "call_function"] == [
        "Add"
    ]


def test_unknown_operator_becomes_opaque() -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Unique", ["x"], ["y", "", "i"])],
        "g",
        [value("x", TensorProto.FLOAT, [4])],
        [value("y", TensorProto.FLOAT, [None]), value("i", TensorProto.INT64, [None])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    agrees(made, [np.array([3, 1, 3, 2], np.float32)], native=False)


def test_external_weights_are_mapped_not_copied(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 64])],
        [value("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(made, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    network = import_onnx(path)
    assert torch.equal(network.graph.w, torch.from_numpy(weight))
    with (tmp_path / "w.bin").open("r+b") as file:  # a mapping sees what is written to the file
        file.write(np.float32(7).tobytes())
    assert float(network.graph.w[0, 0]) == 7.0


def test_many_external_weights_need_one_descriptor(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    count = 300
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", [f"h{k}", f"w{k}"], [f"h{k + 1}"]) for k in range(count)],
        "g",
        [value("h0", TensorProto.FLOAT, [3])],
        [value(f"h{count}", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.full(3, k, np.float32), f"w{k}") for k in range(count)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(made, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, limits[1]), limits[1]))
    try:
        network = import_onnx(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    (y,) = run(network, [np.zeros(3, np.float32)])
    np.testing.assert_array_equal(y, np.full(3, count * (count - 1) / 2, np.float32))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-4"},
        {"offset": "99999999999"},
        {"length": "7"},
        {"length": "-1"},
        {"offset": "many"},
        {"offset": "3"},
    ],
)
def test_places_outside_the_external_file(tmp_path: Path, entries: dict[str, str]) -> None:
    value = helper.make_tensor_value_info
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    weight.data_location = TensorProto.EXTERNAL
    for key, text in ({"location": "w.bin", "offset": "0", "length": "64"} | entries).items():
        weight.external_data.add(key=key, value=text)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    (tmp_path / "w.bin").write_bytes(bytes(67))
    if entries == {"offset": "3"}:  # odd, but inside: copied to an aligned place
        assert import_onnx(tmp_path / "m.onnx").graph.w.shape == (4, 4)
        return
    with pytest.raises(ModelError) as caught:
        import_onnx(tmp_path / "m.onnx")
    assert caught.value.code in ("CIMC-M02", "CIMC-M03")


def test_tensors_of_odd_types() -> None:
    half = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    assert torch.equal(from_numpy(half), torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    big_endian = np.array([1.0, 2.0], ">f4")
    assert torch.equal(from_numpy(big_endian), torch.tensor([1.0, 2.0]))
    assert from_numpy(np.array(3)).shape == ()


def test_non_finite_values_are_counted() -> None:
    assert non_finite(torch.tensor([1.0, float("nan"), float("inf")])) == 2
    assert non_finite(torch.full((8,), torch.finfo(torch.float32).max)) == 0
    assert non_finite(torch.full((9,), 60000.0, dtype=torch.float16)) == 0
    assert non_finite(torch.zeros(0)) == 0
    assert non_finite(torch.ones(2, dtype=torch.int64)) == 0


def test_results_of_split_are_items_of_one_call() -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Split", ["x"], ["a", "b"], axis=0)],
        "g",
        [value("x", TensorProto.FLOAT, [4])],
        [value("b", TensorProto.FLOAT, [2]), value("x", TensorProto.FLOAT, [4])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    network = agrees(made, [np.arange(4, dtype=np.float32)])
    items = [n for n in network.graph.graph.nodes if n.target is operator.getitem]
    assert [n.args[1] for n in items] == [1]


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.STRING])
def test_constants_that_only_onnxruntime_holds(kind: int, as_node: bool) -> None:
    if kind == TensorProto.INT4:
        weight = helper.make_tensor("w", kind, [2, 4], [1, 2, 3, -4, 5, 6, -7, 7])
        scale = numpy_helper.from_array(np.array(0.5, np.float32), "s")
        nodes = [
            helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
            helper.make_node("MatMul", ["x", "d"], ["y"]),
        ]
        constants, outputs = [scale], [helper.make_tensor_value_info("y", 1, [3, 4])]
    else:
        weight = helper.make_tensor("w", kind, [2], [b"a", b"b"])
        nodes = [
            helper.make_node("StringConcat", ["w", "w"], ["y"]),
            helper.make_node("Relu", ["x"], ["r"]),
        ]
        constants = []
        outputs = [
            helper.make_tensor_value_info("y", TensorProto.STRING, [2]),
            helper.make_tensor_value_info("r", 1, [3, 2]),
        ]
    if as_node:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    else:
        constants.append(weight)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [3, 2])], outputs, constants
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    agrees(made, [np.random.default_rng(0).random((3, 2), np.float32)], native=False)
