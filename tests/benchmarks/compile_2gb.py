"""A 2.3 GB ONNX file with external data to a device program for ``ideal``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.benchmarks.harness import Result, child, cimc

LAYERS, WIDTH = 12, 7168
BAR = 1.5


def build(folder: Path) -> Path:
    """Write ``model.onnx`` and its weights: ``LAYERS`` square MatMuls, a Relu after each."""
    generator = np.random.default_rng(0)
    names = [f"weight{k}" for k in range(LAYERS)]
    tensors = []
    with (folder / "weights.bin").open("wb") as file:
        for name in names:
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=(WIDTH, WIDTH))
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": "weights.bin", "offset": file.tell(), "length": 4 * WIDTH**2}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            weight = generator.standard_normal((WIDTH, WIDTH), dtype=np.float32)
            weight *= np.float32(np.sqrt(2 / WIDTH))
            weight.tofile(file)
            tensors.append(tensor)
    nodes = []
    for k, name in enumerate(names):
        nodes.append(helper.make_node("MatMul", [f"x{k}", name], [f"product{k}"]))
        nodes.append(helper.make_node("Relu", [f"product{k}"], [f"x{k + 1}"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("x0", f"x{LAYERS}")
    ]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def measure() -> Result:
    """Return the peak resident set of the command over the size of the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = build(folder)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        done = child(cimc("compile", str(model), "--target", "ideal", "-o", str(folder / "w.cim")))
        written = sum(file.stat().st_size for file in (folder / "w.cim").iterdir()) / 2**20
    config = {
        "model": f"{LAYERS} MatMul {WIDTH}x{WIDTH}",
        "file_mib": size,
        "cpu_seconds": done.cpu_seconds,
        "peak_rss_mib": done.peak_rss_mib,
        "program_mib": written,
        "seconds": done.seconds,
    }
    return Result("compile-2gb", done.peak_rss_mib / size, "x file", BAR, config)
