"""A small network with every way of reading a crossbar, compiled up to converter ranges."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from torch import Tensor, from_numpy

from cimc.frontends.dispatch import import_model
from cimc.ir.network import Network
from cimc.passbase import PassContext
from cimc.pipeline.options import Options
from cimc.targets import Target, load_target
from cimc.training.recipe import Recipe
from cimc.training.settings import Training
from cimc.verification.data import Data, check_data
from tests.end_to_end.build import model, node, normal


def convolutions() -> Any:
    """Return a network of a plain, a grouped and a transposed convolution and two products."""
    weights = {
        "w1": normal(6, 3, 3, 3, seed=1) / 5,
        "b1": normal(6, seed=2) / 10,
        "w2": normal(6, 2, 3, 3, seed=3) / 4,
        "w3": normal(6, 4, 2, 2, seed=4) / 4,
        "w4": normal(4, 16, seed=5) / 2,
        "b4": normal(16, seed=6) / 10,
        "w5": normal(5, 16, seed=7) / 4,
        "b5": normal(5, seed=8) / 10,
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], "c1", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Relu", ["c1"], "r1"),
        node("Conv", ["r1", "w2"], "c2", pads=[1, 0, 0, 1], kernel_shape=[3, 3], group=3),
        node("Relu", ["c2"], "r2"),
        node("ConvTranspose", ["r2", "w3"], "c3", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["c3"], "p"),
        node("Flatten", ["p"], "f"),
        node("MatMul", ["f", "w4"], "m"),
        node("Add", ["m", "b4"], "a"),
        node("Relu", ["a"], "r4"),
        node("Gemm", ["r4", "w5", "b5"], "y", transB=1),
    ]
    return model(nodes, {"x": ["n", 3, 6, 6]}, ["y"], weights)


def recurrent() -> Any:
    """Return a network of a bidirectional LSTM and a product."""
    weights = {
        "w": normal(2, 16, 3, seed=1) / 2,
        "r": normal(2, 16, 4, seed=2) / 2,
        "b": normal(2, 32, seed=3) / 10,
        "v": normal(8, 3, seed=4) / 2,
    }
    nodes = [
        node(
            "LSTM", ["x", "w", "r", "b"], ["h"], hidden_size=4, direction="bidirectional", layout=1
        ),
        node("ReduceMean", ["h"], "p", axes=[1], keepdims=0),
        node("Flatten", ["p"], "f"),
        node("MatMul", ["f", "v"], "y"),
    ]
    return model(nodes, {"x": ["n", 5, 3]}, ["y"], weights, opset=17)


def inputs(name: str, samples: int = 24, seed: int = 50) -> np.ndarray[Any, Any]:
    """Return standard normal inputs of a network."""
    return normal(samples, *MODELS[name][1], seed=seed)


def with_a_condition() -> Any:
    """Return a network with an If, which runs in onnxruntime, between two convolutions."""
    weights = {"w1": normal(4, 3, 3, 3, seed=1) / 5, "w2": normal(5, 4, 6, 6, seed=2) / 12}
    body = helper.make_tensor_value_info
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(operator, ["c1"], name)], name, [], [body(name, TensorProto.FLOAT, None)]
        )
        for name, operator in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        node("Conv", ["x", "w1"], "c1", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("ReduceMax", ["x"], "top", keepdims=0),
        node("Cast", ["top"], "condition", to=TensorProto.BOOL),
        helper.make_node("If", ["condition"], ["r1"], name="choice", **branches),
        node("Conv", ["r1", "w2"], "c2", kernel_shape=[6, 6]),
        node("Flatten", ["c2"], "y"),
    ]
    return model(nodes, {"x": ["n", 3, 6, 6]}, ["y"], weights)


MODELS = {
    "convolutions": (convolutions, (3, 6, 6)),
    "recurrent": (recurrent, (5, 3)),
    "condition": (with_a_condition, (3, 6, 6)),
}


@cache
def compiled(
    name: str, target: str = "rram", levels: int | None = 8
) -> tuple[Network, Target, Data]:
    """Return a network with cells and ranges, ready to train; its target; its data."""
    return compiled_for(name, load_target(target), levels)


def compiled_for(
    name: str, device: Target, levels: int | None = 8
) -> tuple[Network, Target, Data]:
    """Return the same for a target that is not a shipped one."""
    network = import_model(MODELS[name][0]())
    data = check_data({"x": inputs(name)}, network.inputs)
    context = PassContext(device, data, 0, training=Training(data, Recipe()))
    for step in Options.gather(None, levels=levels).passes(device):
        if step.name == "finetune":
            break
        network = step.run(network, context)
    return network, device, data


def tensor(data: Data) -> Tensor:
    """Return the inputs as a tensor."""
    return from_numpy(data.inputs["x"])
