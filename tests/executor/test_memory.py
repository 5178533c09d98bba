"""Memory of large images and of many chips stays within what their results take.

Each measurement runs in a process of its own, whose peak is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import cimc
from cimc.executor import Executor
from cimc.targets import load_target

FLOAT = TensorProto.FLOAT


def convolution() -> ModelProto:
    """A 3 x 3 convolution of images of any size, 3 to 16 channels."""
    weight = np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)],
        "convolution",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", FLOAT, ["n", 16, "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def program(changes: dict[str, object]) -> cimc.DeviceProgram:
    data = np.random.default_rng(1).random((4, 3, 32, 32), dtype=np.float32)
    target = load_target("rram").changed(changes)
    return cimc.compile(convolution(), target=target, data={"x": data})


def grown(changes: dict[str, object], side: int, runs: int, chips: int) -> None:
    """Print by how much the peak grows, and the size of one result [byte]."""
    import resource

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    x = np.random.default_rng(2).random((1, 3, side, side), dtype=np.float32)
    chip = Executor(program(changes))
    for _ in range(2):  # libraries load their parts, chips find their memory
        chip = chip.chip(1)
        size = chip.run({"x": x[:, :, :64, :64]}).outputs["y"].nbytes
    before = peak()
    for seed in range(chips):
        chip = chip.chip(seed)
        for _ in range(runs):
            size = chip.run({"x": x}).outputs["y"].nbytes
    sys.stdout.write(json.dumps([peak() - before, size]))


def measured(changes: dict[str, object], side: int, runs: int = 1, chips: int = 1) -> list[int]:
    call = f"grown({changes}, {side}, {runs}, {chips})"
    script = f"from tests.executor.test_memory import grown; {call}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[int] = json.loads(done.stdout)
    return found


NOISE = {"noise.read": {"sigma_relative": 0.02}}
MARGIN = 64 << 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "side", "results"),
    [
        ({}, 2048, 1.3),  # the result and the codes of the input
        (NOISE, 2048, 2.3),  # and the variance of every bit line and read
        ({"read.drive": "bit-serial"} | NOISE, 1024, 8.0),  # and some phases of a sample at once
    ],
)
def test_a_large_image_takes_a_few_times_its_result(
    changes: dict[str, object], side: int, results: float
) -> None:
    """A result is 256 MiB (64 MiB at 1024); unfolding the input would take nine inputs, 432."""
    growth, size = measured(changes, side)
    assert size == 16 * side * side * 4
    assert growth < results * size + MARGIN


@pytest.mark.slow
def test_many_chips_take_no_more_than_one() -> None:
    """Thirty chips, three runs each: what one of them left behind would add up to 1.4 GB."""
    growth, size = measured(NOISE, 512, runs=3, chips=30)
    assert growth < 2.3 * size + MARGIN


@pytest.mark.parametrize("changes", [{}, {"read.drive": "bit-serial"}], ids=["parallel", "serial"])
def test_batches_change_rounding_only(changes: dict[str, Any]) -> None:
    """Sums in another order flip one conversion in 10^5, by one step; see docs/numerics.md."""
    x = np.random.default_rng(3).random((12, 3, 24, 24), dtype=np.float32)
    compiled = program(changes)
    whole = Executor(compiled).run({"x": x}).outputs["y"]
    for batch in (1, 5):
        split = Executor(compiled, batch=batch).run({"x": x}).outputs["y"]
        differs = np.abs(split - whole) > 1e-5 * np.abs(whole).max()
        assert differs.mean() < 1e-3
        assert np.abs(split - whole).max() < 0.02 * np.abs(whole).max()
