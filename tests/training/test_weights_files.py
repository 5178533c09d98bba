"""ONNX files with weights written back: onnxruntime computes what the changed graph does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from cimc.errors import ModelError, UsageError
from cimc.frontends import import_onnx
from cimc.ir.interpreter import interpret
from cimc.ir.network import Network
from cimc.training.weights_back import source_weights
from cimc.training.weights_files import write_onnx, write_safetensors
from tests.passes.networks import model, rng
from tests.training.test_weights_back import canonical, perturbed

F32 = np.float32


def run(path: Path | onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    source = str(path) if isinstance(path, Path) else path.SerializeToString()
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def compare(source: Any, path: Path, x: np.ndarray, seed: int = 0) -> Network:
    net = perturbed(canonical(import_onnx(source)), seed)
    back = source_weights(net)
    assert back.not_representable == ()
    write_onnx(source, back.weights, path)
    onnx.checker.check_model(str(path))
    expected = interpret(net.graph, [torch.from_numpy(x)])[0].numpy()
    got = run(path, x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    return net


def values(r: np.random.Generator, *shape: int) -> np.ndarray:
    return r.standard_normal(shape).astype(F32)


def gemm(r: np.random.Generator) -> onnx.ModelProto:
    """Gemm of a transposed weight, with alpha and beta, and one scalar bias."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Gemm", ["h", "v"], ["y"]),
    ]
    constants = {"w": values(r, 5, 4), "b": values(r, 1, 5), "v": values(r, 5, 3)}
    return model(nodes, {"x": ["n", 4]}, {"y": ["n", 3]}, constants)


def reshaped(r: np.random.Generator) -> onnx.ModelProto:
    """A weight behind Cast, Reshape, Mul, Split, Concat and Gather."""
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["f", "shape"], ["r"]),
        helper.make_node("Div", ["r", "two"], ["s"]),
        helper.make_node("Split", ["s"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Neg", ["b"], ["c"]),
        helper.make_node("Concat", ["c", "a"], ["d"], axis=1),
        helper.make_node("Gather", ["d", "order"], ["e"], axis=0),
        helper.make_node("MatMul", ["x", "e"], ["y"]),
    ]
    constants = {
        "w": r.standard_normal((2, 2, 6)),
        "shape": np.array([4, 6]),
        "two": np.array(2, F32),
        "order": np.array([2, 0, 3, 1]),
    }
    return model(nodes, {"x": ["n", 4]}, {"y": ["n", 6]}, constants)


def lstm(r: np.random.Generator) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r", "b", "", "", "", "p"], ["", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h", "axes"], ["y"]),
    ]
    constants = {
        "w": values(r, 1, 12, 4),
        "r": values(r, 1, 12, 3),
        "b": values(r, 1, 24),
        "p": values(r, 1, 9),
        "axes": np.array([0]),
    }
    return model(nodes, {"x": ["n", 5, 4]}, {"y": ["n", 3]}, constants)


def in_constants(r: np.random.Generator) -> onnx.ModelProto:
    """Weights as Constant nodes; a BatchNorm after a grouped convolution without bias."""
    held = {
        "w": values(r, 4, 1, 3, 3),
        "s": values(r, 4),
        "t": values(r, 4),
        "m": values(r, 4),
        "v": r.uniform(0.5, 2, 4).astype(F32),
    }
    nodes = [
        helper.make_node("Constant", [], [k], value=numpy_helper.from_array(v))
        for k, v in held.items()
    ]
    nodes += [
        helper.make_node("Constant", [], ["slope"], value_floats=[0.1, 0.2, 0.3, 0.4]),
        helper.make_node("Constant", [], ["a"], value_float=1.5),
        helper.make_node("Unsqueeze", ["slope", "axes"], ["slopes"]),
        helper.make_node("Conv", ["x", "w"], ["c"], group=2),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("PRelu", ["n", "slopes"], ["p"]),
        helper.make_node("Mul", ["p", "a"], ["y"]),
    ]
    x, y = {"x": ["n", 2, 5, 5]}, {"y": ["n", 4, 3, 3]}
    return model(nodes, x, y, {"axes": np.array([1, 2])})


def branch(r: np.random.Generator) -> onnx.ModelProto:
    """The weight is an initializer of a branch that is always taken."""
    made = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", 3])],
            [numpy_helper.from_array(values(r, 4, 3), f"{name}_w")],
        )
        for name in ("yes", "no")
    ]
    nodes = [helper.make_node("If", ["flag"], ["y"], then_branch=made[0], else_branch=made[1])]
    return model(nodes, {"x": ["n", 4]}, {"y": ["n", 3]}, {"flag": np.array(True)})


def chain(r: np.random.Generator) -> onnx.ModelProto:
    """A convolution and a random row of BatchNorm, Mul, Add and Sub, folded one after another."""
    constants = {"w": values(r, 4, 3, 3, 3)}
    bias = ["b"] if r.integers(2) else []
    if bias:
        constants["b"] = values(r, 4)
    nodes = [helper.make_node("Conv", ["x", "w", *bias], ["v0"])]
    kinds = [*r.choice(["BatchNormalization", "Mul", "Add", "Sub"], r.integers(1, 4)), "Add"]
    for number, kind in enumerate(r.permutation(kinds)):
        old, new = f"v{number}", f"v{number + 1}"
        if kind == "BatchNormalization":
            names = [f"{k}_{number}" for k in "stmv"]
            constants |= {n: values(r, 4) for n in names[:3]}
            constants[names[3]] = r.uniform(0.5, 2, 4).astype(F32)
            operands = [old, *names]
        else:
            constants[f"c{number}"] = values(r, *((4, 1, 1) if number % 2 else (1, 4, 1, 1)))
            operands = [old, f"c{number}"]
            if kind != "Sub" and r.integers(2):
                operands.reverse()
        nodes.append(helper.make_node(kind, operands, [new]))
    nodes.append(helper.make_node("Relu", [new], ["y"]))
    return model(nodes, {"x": ["n", 3, 4, 4]}, {"y": ["n", 4, 2, 2]}, constants)


CASES = {
    "chain": (chain, (2, 3, 4, 4)),
    "gemm": (gemm, (3, 4)),
    "reshaped": (reshaped, (3, 4)),
    "lstm": (lstm, (3, 5, 4)),
    "constants": (in_constants, (2, 2, 5, 5)),
    "branch": (branch, (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_written_model_computes_what_was_trained(tmp_path_factory, name, seed):
    make, shape = CASES[name]
    r = rng(seed)
    path = tmp_path_factory.mktemp("out") / "out.onnx"
    compare(make(r), path, r.standard_normal(shape).astype(F32), seed)


def test_everything_else_stays(tmp_path):
    source = in_constants(rng())
    before = source.SerializeToString()
    weight = np.full((4, 1, 3, 3), 2, F32)
    write_onnx(source, {"w": weight}, tmp_path / "out.onnx")
    assert source.SerializeToString() == before
    written = onnx.load(tmp_path / "out.onnx")
    (node,) = (n for n in written.graph.node if list(n.output) == ["w"])
    np.testing.assert_array_equal(numpy_helper.to_array(node.attribute[0].t), weight)
    (old,) = (n for n in source.graph.node if list(n.output) == ["w"])
    node.CopyFrom(old)
    assert written == source


@pytest.fixture
def external(tmp_path):
    """A model with weights in files of their own, in a folder of its own."""
    r = rng()
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "m.onnx"
    onnx.save(
        gemm(r),
        path,
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
        convert_attribute=True,
    )
    return path


def test_external_data(external, tmp_path):
    x = rng(1).standard_normal((3, 4)).astype(F32)
    out = tmp_path / "out.onnx"
    files = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in external.parent.iterdir()}
    compare(external, out, x)
    after = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in external.parent.iterdir()}
    assert after == files
    (data,) = tmp_path.glob("out.onnx.*.data")
    tensors = onnx.load(out, load_external_data=False).graph.initializer
    assert {e.value for t in tensors for e in t.external_data if e.key == "location"} == {
        data.name
    }


def test_a_model_over_itself(external):
    x = rng(1).standard_normal((3, 4)).astype(F32)
    w = np.zeros((5, 3), F32)
    write_onnx(external, {"v": w}, external)
    np.testing.assert_array_equal(run(external, x), np.zeros((3, 3)))


def test_half_and_brain_floats(tmp_path):
    r = rng()
    made = gemm(r)
    for tensor in made.graph.initializer:
        if tensor.name == "w":
            tensor.CopyFrom(helper.make_tensor("w", TensorProto.BFLOAT16, [5, 4], [1.0] * 20))
        if tensor.name == "v":
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, "v"))
    new = {"w": np.full((5, 4), 0.5, F32), "v": np.full((5, 3), 0.25, F32)}
    write_onnx(made, new, tmp_path / "out.onnx")
    for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer:
        if tensor.name in new:
            assert tensor.data_type in (TensorProto.BFLOAT16, TensorProto.FLOAT16)
            got = numpy_helper.to_array(tensor).astype(F32)
            np.testing.assert_array_equal(got, new[tensor.name])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"q": np.zeros(3, F32)}, "no constants of the name 'q'"),
        ({"w": np.zeros((4, 5), F32)}, r"'w' has shape \(5, 4\), the weight \(4, 5\)"),
    ],
)
def test_another_model_is_refused(tmp_path, weights, message):
    with pytest.raises(ModelError, match=message) as error:
        write_onnx(gemm(rng()), weights, tmp_path / "out.onnx")
    assert error.value.code == "CIMC-M93"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_onnx(gemm(rng()), {}, out)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_safetensors(tmp_path):
    r = rng()
    weights = {"b": values(r, 3).T, "a": values(r, 3, 4).T}
    write_safetensors(weights, tmp_path / "one")
    write_safetensors(dict(reversed(weights.items())), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    read = load_file(tmp_path / "one")
    for name, value in weights.items():
        np.testing.assert_array_equal(read[name], value)
    with pytest.raises(UsageError) as error:
        write_safetensors(weights, tmp_path / "missing" / "out")
    assert error.value.code == "CIMC-U07"
