"""The opaque operator: values of every kind, and hostile models."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from cimc.errors import ModelError, ProgramError
from cimc.ops.opaque import PROGRAM_CODES, _Sessions, opaque, opaque_limits
from cimc.ops.opaque_values import BIT_TYPES

FLOAT = helper.make_tensor_type_proto(TensorProto.FLOAT, None)


def model(nodes, inputs, outputs, *, domain="", name="test", **opsets):
    """A serialized model; ``inputs`` maps names to types, outputs have none."""
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_value_info(
                k, t if not isinstance(t, int) else helper.make_tensor_type_proto(t, None)
            )
            for k, t in inputs.items()
        ],
        [onnx.ValueInfoProto(name=o) for o in outputs],
    )
    imports = [helper.make_opsetid("", 21)]
    if domain:
        imports.append(helper.make_opsetid(domain, opsets.get("version", 3)))
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def tensor(proto):
    return torch.frombuffer(bytearray(proto.SerializeToString()), dtype=torch.uint8)


def run(proto, *inputs):
    values = opaque(tensor(proto), *inputs, outputs=len(proto.graph.output))
    return values[0] if len(values) == 1 else values


def identity(kind):
    return model([helper.make_node("Identity", ["x"], ["y"])], {"x": kind}, ["y"])


def test_numbers_of_element_types_are_those_of_onnx():
    for name, (number, _, _) in BIT_TYPES.items():
        word = name.removeprefix("tensor(").removesuffix(")").upper()
        assert number == TensorProto.DataType.Value(word)


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float8_e4m3fn",
        "float8_e5m2",
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 2)])
def test_every_element_type_comes_through(dtype, shape):
    kinds = {"bfloat16": "BFLOAT16", "float8_e4m3fn": "FLOAT8E4M3FN", "float8_e5m2": "FLOAT8E5M2"}
    names = {"float32": "FLOAT", "float64": "DOUBLE", **kinds}
    kind = getattr(TensorProto, names.get(dtype, dtype.upper()))
    count = int(np.prod(shape))
    x = torch.arange(count, dtype=torch.float32).reshape(shape).to(getattr(torch, dtype))
    y = run(identity(kind), x)
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert torch.equal(y.to(torch.float64), x.to(torch.float64))


def test_strings_are_arrays_of_objects():
    proto = model(
        [helper.make_node("StringConcat", ["x", "x"], ["y"])], {"x": TensorProto.STRING}, ["y"]
    )
    assert run(proto, np.array(["a", "bé"])).tolist() == ["aa", "bébé"]


def test_sequences_are_lists_and_flow_between_operators():
    build = model(
        [helper.make_node("SequenceConstruct", ["a", "b"], ["s"])],
        {"a": TensorProto.FLOAT, "b": TensorProto.FLOAT},
        ["s"],
    )
    take = model(
        [helper.make_node("SequenceAt", ["s", "i"], ["y"])],
        {"s": helper.make_sequence_type_proto(FLOAT), "i": TensorProto.INT64},
        ["y"],
    )
    sequence = run(build, torch.ones(2), torch.full((2, 3), 5.0))
    assert [item.shape for item in sequence] == [(2,), (2, 3)]
    assert torch.equal(run(take, sequence, torch.tensor(1)), torch.full((2, 3), 5.0))


@pytest.mark.parametrize("value", [None, torch.ones(2)])
def test_an_empty_optional_is_none(value):
    proto = model(
        [helper.make_node("OptionalHasElement", ["x"], ["y"])],
        {"x": helper.make_optional_type_proto(FLOAT)},
        ["y"],
    )
    assert bool(run(proto, value)) == (value is not None)


def test_several_outputs_are_a_tuple():
    proto = model(
        [helper.make_node("TopK", ["x", "k"], ["v", "i"])],
        {"x": TensorProto.FLOAT, "k": TensorProto.INT64},
        ["v", "i"],
    )
    values, indices = run(proto, torch.tensor([1.0, 3.0, 2.0]), torch.tensor([2]))
    assert values.tolist() == [3.0, 2.0]
    assert indices.tolist() == [1, 2]


def test_gradients_stop_here():
    x = torch.ones(2, requires_grad=True)
    assert not run(identity(TensorProto.FLOAT), x).requires_grad


def test_sessions_are_kept_and_bounded():
    sessions = _Sessions(2)
    models = [
        model([helper.make_node("Identity", ["x"], ["y"])], {"x": 1}, ["y"], name=f"m{k}")
        for k in range(3)
    ]
    data = [proto.SerializeToString() for proto in models]
    first = sessions.get(data[0])
    assert sessions.get(data[0]) is first
    sessions.get(data[1])
    sessions.get(data[0])
    sessions.get(data[2])  # drops 1, the one not used for longest
    assert sessions.get(data[0]) is first
    assert len(sessions._sessions) == 2


# -- refused ---------------------------------------------------------------------------------


def refused(proto_or_tensor, *inputs, outputs=1, code, **limits):
    data = proto_or_tensor
    if isinstance(data, onnx.ModelProto):
        outputs = len(data.graph.output)
        data = tensor(data)
    with opaque_limits(error=ProgramError, **limits), pytest.raises(ProgramError) as error:
        opaque(data, *inputs, outputs=outputs)
    assert error.value.code == PROGRAM_CODES[code], str(error.value)
    return error.value


def test_not_a_model():
    refused(torch.arange(200, dtype=torch.uint8), code="CIMC-M31")


def test_errors_are_model_errors_unless_said_otherwise():
    with pytest.raises(ModelError) as error:
        opaque(torch.arange(200, dtype=torch.uint8), outputs=1)
    assert error.value.code == "CIMC-M31"


def external(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    held = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value=str(tmp_path / "secret"))
    return held


def test_external_data_as_initializer(tmp_path):
    proto = identity(TensorProto.FLOAT)
    proto.graph.initializer.append(external(tmp_path))
    assert "outside of the model" in refused(proto, torch.ones(1), code="CIMC-M31").message


def test_external_data_inside_a_subgraph(tmp_path):
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.append(onnx.AttributeProto(name="value", type=4, t=external(tmp_path)))
    branch = helper.make_graph(
        [node], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])]
    )
    proto = model(
        [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)],
        {"x": TensorProto.BOOL},
        ["y"],
    )
    assert "outside of the model" in refused(proto, torch.tensor(True), code="CIMC-M31").message


def test_domains_that_need_code_from_outside():
    for domain in ("com.microsoft", "evil"):
        node = helper.make_node("Gelu", ["x"], ["y"], domain=domain)
        proto = model([node], {"x": 1}, ["y"], domain=domain, version=1)
        assert domain in refused(proto, torch.ones(1), code="CIMC-M31").message


def test_functions():
    proto = identity(TensorProto.FLOAT)
    proto.functions.append(onnx.FunctionProto(name="f", domain=""))
    refused(proto, torch.ones(1), code="CIMC-M31")


def test_too_many_nodes():
    nodes = [helper.make_node("Identity", [f"x{k}"], [f"x{k + 1}"]) for k in range(10_001)]
    refused(model(nodes, {"x0": 1}, ["x10001"]), torch.ones(1), code="CIMC-M31")


def test_subgraphs_nested_too_deep():
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["b"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")])
        if graph.ByteSize() > 1 << 20:
            break
    proto = model([node], {"x": 1, "b": TensorProto.BOOL}, ["y"])
    refused(proto, torch.ones(1), torch.tensor(True), code="CIMC-M31")


def test_wrong_number_of_values():
    refused(tensor(identity(1)), torch.ones(1), torch.ones(1), code="CIMC-M31")


def test_wrong_element_type():
    error = refused(identity(1), torch.ones(1, dtype=torch.int64), code="CIMC-M35")
    assert "tensor(float)" in error.message
    assert "tensor(int64)" in error.message


def test_missing_value():
    refused(identity(1), None, code="CIMC-M35")


def test_no_kernel():
    node = helper.make_node("Frobnicate", ["x"], ["y"])
    refused(model([node], {"x": 1}, ["y"]), torch.ones(1), code="CIMC-M32")


def test_a_run_that_fails():
    proto = model(
        [helper.make_node("Reshape", ["x", "s"], ["y"])], {"x": 1, "s": TensorProto.INT64}, ["y"]
    )
    error = refused(proto, torch.ones(3), torch.tensor([2, 2]), code="CIMC-M33")
    assert "onnxruntime_src" not in error.message


def endless_loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["a", "a"], ["a2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a2", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "go", "a"], ["y"], body=body)
    return model([loop], {"go": TensorProto.BOOL, "a": TensorProto.FLOAT}, ["y"], name="Loop 'l'")


def test_an_endless_loop_is_stopped():
    start = time.monotonic()
    error = refused(
        endless_loop(), torch.tensor(True), torch.zeros(1), code="CIMC-M34", seconds=0.3
    )
    assert time.monotonic() - start < 10
    assert error.where == "Loop 'l'"
    assert "0.3 s" in error.message


BIG = 1 << 36
GIANTS = {
    "ConstantOfShape": ({"s": TensorProto.INT64}, [torch.tensor([BIG])]),
    "Expand": ({"x": 1, "s": TensorProto.INT64}, [torch.ones(1), torch.tensor([BIG])]),
    "Tile": ({"x": 1, "s": TensorProto.INT64}, [torch.ones(1), torch.tensor([BIG])]),
    "Range": (dict.fromkeys("abc", TensorProto.INT64), list(torch.tensor([0, BIG, 1]))),
    "Pad": ({"x": 1, "s": TensorProto.INT64}, [torch.ones(1), torch.tensor([0, BIG])]),
}


@pytest.mark.parametrize("operator", GIANTS)
def test_giant_outputs(operator):
    kinds, values = GIANTS[operator]
    proto = model([helper.make_node(operator, list(kinds), ["y"])], kinds, ["y"])
    refused(proto, *values, code="CIMC-M34", mebibytes=512)


def growing(operator, kind, value, **attributes):
    """A loop that makes its value larger for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node(operator, ["a", "a"], ["a2"], **attributes),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", kind, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a2", kind, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "go", "a"], ["y"], body=body)
    return model([loop], {"go": TensorProto.BOOL, "a": kind}, ["y"]), torch.tensor(True), value


@pytest.mark.parametrize(
    "case",
    [
        ("Concat", TensorProto.FLOAT, torch.zeros(1), {"axis": 0}),
        ("StringConcat", TensorProto.STRING, np.array(["ab"], object), {}),
    ],
    ids=["tensor", "string"],
)
def test_a_loop_whose_value_grows(case):
    operator, kind, value, attributes = case
    proto, *values = growing(operator, kind, value, **attributes)
    refused(proto, *values, code="CIMC-M34", mebibytes=256, seconds=20)


def test_limits_hold_only_inside_the_block():
    proto = model(
        [helper.make_node("ConstantOfShape", ["s"], ["y"])], {"s": TensorProto.INT64}, ["y"]
    )
    size = torch.tensor([64 << 20])
    refused(proto, size, code="CIMC-M34", mebibytes=64)
    assert run(proto, size).shape == (64 << 20,)
