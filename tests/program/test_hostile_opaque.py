"""Hostile models of opaque operators."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from cimc.program import read, write
from tests.program.factories import mlp
from tests.program.forge import Forge
from tests.program.hostile import refused


def opaque_program(path: Path, model: bytes, **changes: object) -> Path:
    """Write a program whose second operation is opaque, forged in after writing."""
    write(mlp(extras=False), path.with_name("base.cim"))
    forge = Forge(path.with_name("base.cim"))
    forge.tensors["constant/model"] = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    forge.operation("relu").update(
        op="opaque", inputs=["@model", "%c"], attributes={"outputs": 1}, **changes
    )
    return forge.save(path)


def relu_model() -> onnx.ModelProto:
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "ab"]
    node = onnx.helper.make_node("Relu", ["a"], ["b"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))


def test_an_opaque_operator_is_accepted(tmp_path):
    model = relu_model().SerializeToString()
    assert read(opaque_program(tmp_path / "p.cim", model)).operations[1].op == "opaque"


def external() -> bytes:
    model = relu_model()
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(tensor)
    return model.SerializeToString()


def external_in_a_branch() -> bytes:
    inner = onnx.load_from_string(external()).graph
    node = onnx.helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner)
    model = relu_model()
    del model.graph.node[:]
    model.graph.node.append(node)
    return model.SerializeToString()


def foreign() -> bytes:
    model = relu_model()
    model.graph.node[0].domain = "com.evil"
    return model.SerializeToString()


@pytest.mark.parametrize(
    "model",
    [b"not a model" * 9, external(), external_in_a_branch(), foreign(), b"\xff" * 100],
    ids=["garbage", "external", "external-in-branch", "foreign", "bytes"],
)
def test_opaque_operators_refused(tmp_path, model):
    assert refused(opaque_program(tmp_path / "p.cim", model)).code == "CIMC-P17"


def test_opaque_model_must_be_a_constant_of_bytes(tmp_path):
    model = relu_model().SerializeToString()
    path = opaque_program(tmp_path / "p.cim", model)
    forge = Forge(path)
    forge.operation("relu")["inputs"] = ["%c", "@model"]
    assert refused(forge.save(tmp_path / "q.cim")).code == "CIMC-P17"
    forge = Forge(path)
    forge.tensors["constant/model"] = torch.ones(3)
    assert refused(forge.save(tmp_path / "r.cim")).code == "CIMC-P17"
