"""A program lifted to a network and lowered again is the same program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from cimc.errors import UsageError
from cimc.executor import Executor
from cimc.ir.interpreter import interpret
from cimc.ir.verifier import verify
from cimc.lowering.emit import emit
from cimc.lowering.lift import lift
from cimc.pipeline import compile_model
from cimc.program import read, write
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.passes.networks import model, rng

SHIPPED = ("flash", "ideal", "neurram", "otp", "pcm", "rram", "rram-128", "rram-tiny",
           "rram-wires", "sram")  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution read twice, an LSTM, an opaque operator of two results, a matrix."""
    r = rng()

    def normal(*shape: int) -> np.ndarray:
        return (r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Unsqueeze", ["e", "zero"], ["f"]),
        helper.make_node("LSTM", ["f", "wl", "rl"], ["g", "", "h"], hidden_size=4),
        helper.make_node("Unique", ["h"], ["u", "", "k"], sorted=1),
        helper.make_node("Cast", ["k"], ["i"], to=1),
        helper.make_node("Squeeze", ["g"], ["j"]),
        helper.make_node("MatMul", ["j", "w5"], ["y"]),
    ]
    constants = {
        "w1": normal(3, 3, 3, 3), "b1": normal(3), "wl": normal(1, 16, 3),
        "rl": normal(1, 16, 4), "w5": normal(4, 3), "zero": np.array([0]),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    outputs = {"y": ["n", 3], "i": ["k"]}
    onnx.save(model(nodes, {"x": ["n", 3, 4, 4]}, outputs, constants), path)
    return path


def samples(count: int) -> dict[str, np.ndarray]:
    return {"x": rng(3).standard_normal((count, 3, 4, 4)).astype(np.float32)}


def compiled(network: Path, target: str, tmp_path: Path, **options: object) -> DeviceProgram:
    path = tmp_path / "net.cim"
    compile_model(str(network), target=target, output=path, **options)
    return read(path)


CASES = [(name, False) for name in SHIPPED] + [(name, True) for name in ("otp", "rram-tiny")]


@pytest.mark.parametrize(("name", "calibrated"), CASES)
def test_emit_undoes_lift(network: Path, name: str, calibrated: bool, tmp_path: Path) -> None:
    program = compiled(network, name, tmp_path, data=samples(6) if calibrated else None)
    lifted = lift(program)
    assert not verify(lifted)
    target = Target.from_plain(program.target, name="x")
    again = emit(lifted, target, program.provenance)
    assert again.operations == program.operations
    again = replace(again, golden=program.golden, calibration=program.calibration)
    assert write(again, tmp_path / "again.cim") == program.sha256

    feed = samples(5)
    ideal = Executor(program, mode="ideal").run(feed).outputs
    values = interpret(lifted.graph, [torch.from_numpy(feed["x"])])
    for signal, value in zip(lifted.outputs, values, strict=True):
        np.testing.assert_allclose(value.numpy(), ideal[signal.name], rtol=1e-5, atol=1e-6)


def test_float_weights_come_from_the_calibration_data(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "rram", tmp_path, data=samples(6))
    lifted = lift(program)
    assert program.calibration is not None
    for name, layer in lifted.layers.items():
        assert layer.float_matrix is program.calibration.weights[name]
        assert layer.codebook is not None
        assert layer.codebook.levels.shape[-1] <= 16


def test_there_is_no_oracle(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "rram", tmp_path)
    with pytest.raises(UsageError, match="CIMC-U64"):
        lift(program).source.oracle(samples(1))
