"""Fine-tuned weights in a copy of the ONNX model compute what the program's ideal cells do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from cimc.executor import Executor
from cimc.frontends import import_onnx
from cimc.pipeline.compile import compile_model
from tests.passes.networks import model, rng

SAMPLES = 48


def network(path: Path) -> Path:
    """Conv (no bias) BatchNorm Relu, a grouped Conv with Add, Flatten, Gemm; saved as a file."""
    r = rng()

    def values(*shape: int) -> np.ndarray:
        return (0.5 * r.standard_normal(shape)).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["d"], group=2, strides=[2, 2]),
        helper.make_node("Add", ["d", "shift"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    constants = {
        "w1": values(4, 2, 3, 3),
        **{k: values(4) for k in "stm"},
        "v": r.uniform(0.5, 2, 4).astype(np.float32),
        "w2": values(6, 2, 3, 3),
        "shift": values(1, 6, 1, 1),
        "w3": values(3, 24),
        "b3": values(3),
    }
    onnx.save(model(nodes, {"x": ["n", 2, 6, 6]}, {"y": ["n", 3]}, constants), path)
    return path


def written(path: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("target", ["rram", "pcm"])
def test_the_written_model_is_the_program_with_ideal_cells(tmp_path, target):
    source = network(tmp_path / "net.onnx")
    x = rng(1).standard_normal((SAMPLES, 2, 6, 6)).astype(np.float32)
    result = compile_model(
        source,
        target=target,
        levels=4,
        train_data={"x": x},
        training={"epochs": 2, "batch": 16, "learning_rate": 0.02},
        save_weights=tmp_path / "trained.onnx",
    )
    assert result.weights is not None
    assert result.weights.not_representable == ()
    ideal = Executor(result.program, "ideal").run({"x": x}).outputs["y"]
    got = written(tmp_path / "trained.onnx", x)
    scale = np.abs(got).max()
    np.testing.assert_allclose(ideal, got, rtol=1e-3, atol=1e-3 * scale)
    # Training and quantization changed the model by much more than that.
    assert np.abs(written(source, x) - got).max() > 0.05 * scale
    # Statistics of the BatchNorm stay; it is there still.
    again = import_onnx(str(tmp_path / "trained.onnx"))
    assert {"s", "m", "v"} <= set(again.parameter_names.values())
