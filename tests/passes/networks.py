"""Small networks for the tests of passes, made as ONNX and imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cimc.frontends import import_onnx
from cimc.ir.network import Network
from cimc.passbase import PassContext
from cimc.passes import load
from cimc.targets import Target, load_target


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str] | None],
    constants: Mapping[str, Any],
    opset: int = 20,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 9
    onnx.checker.check_model(made)
    return made


def network(*args: Any, **kwargs: Any) -> Network:
    return import_onnx(model(*args, **kwargs))


def conv_net(
    *, channels: int = 3, filters: int = 4, kernel: int = 3, group: int = 1, norm: bool = False
) -> Network:
    """Conv (BatchNorm) Relu GlobalAveragePool Flatten Gemm; input (batch, channels, 8, 8)."""
    r = rng()
    f32 = np.float32
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1] * 4, group=group)
    ]
    last = "c"
    constants: dict[str, Any] = {
        "w": r.standard_normal((filters, channels // group, kernel, kernel)).astype(f32),
        "b": r.standard_normal(filters).astype(f32),
        "fw": r.standard_normal((5, filters)).astype(f32),
        "fb": r.standard_normal(5).astype(f32),
    }
    if norm:
        nodes.append(
            helper.make_node(
                "BatchNormalization", ["c", "s", "t", "m", "v"], ["n"], name="norm", epsilon=1e-3
            )
        )
        constants |= {
            "s": r.standard_normal(filters).astype(f32),
            "t": r.standard_normal(filters).astype(f32),
            "m": r.standard_normal(filters).astype(f32),
            "v": r.uniform(0.5, 2, filters).astype(f32),
        }
        last = "n"
    nodes += [
        helper.make_node("Relu", [last], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["y"], name="fc", transB=1),
    ]
    return network(nodes, {"x": ["n", channels, 8, 8]}, {"y": ["n", 5]}, constants)


def context(target: str | Target = "rram", **kwargs: Any) -> PassContext:
    chosen = target if isinstance(target, Target) else load_target(target)
    return PassContext(chosen, **kwargs)


def lowered(net: Network, to: str, target: str | Target = "rram", **options: Any) -> Network:
    """Run the pipeline up to and including a pass; ``quantize`` gets ``levels=8``."""
    from cimc.passes import PASSES

    where = context(target, data=options.pop("data", None))
    for name in PASSES:
        settings = {"levels": 8} if name == "quantize" else {}
        net = load(name)(**(options.get(name, settings))).run(net, where)
        if name == to:
            return net
    raise AssertionError(to)


def evaluate(net: Network, seed: int = 1) -> list[np.ndarray]:
    """Run the graph on seeded normal inputs of two samples."""
    import torch

    from cimc.ir.interpreter import interpret

    r = rng(seed)
    inputs = [
        torch.from_numpy(
            r.standard_normal([d if isinstance(d, int) else 2 for d in s.shape or ()]).astype(
                s.dtype
            )
        )
        for s in net.inputs
    ]
    return [v.numpy() for v in interpret(net.graph, inputs)]
