"""The nine ImageNet topologies of the onnx package, with seeded random weights put in.

As published every weight is a constant, so that outputs are uniform and a wrong result passes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tests.zoo import cache
from tests.zoo.fetch import place
from tests.zoo.task import Array, quiet_session

NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


def random_weights(model: onnx.ModelProto, seed: int = 0) -> None:
    """Replace every ConstantOfShape by an initializer of seeded random values, in place.

    Weights are He-scaled by their fan-in, so that activations keep their size through a hundred
    layers; variances are positive; a BatchNormalization's scale is near 1.
    """
    generator = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    roles: dict[str, tuple[str, int]] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            roles.setdefault(name, (node.op_type, position))
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        operator, position = roles[node.output[0]]
        values = draw(generator, shape, operator, position)
        tensor = numpy_helper.from_array(values, node.output[0])
        model.graph.initializer.append(tensor)
        if model.ir_version < 4:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape)
            )
    del model.graph.node[:]
    model.graph.node.extend(kept)


def draw(
    generator: np.random.Generator, shape: tuple[int, ...], operator: str, position: int
) -> Array:
    """Return float32 values for an operand at this position of this operator."""
    if operator == "BatchNormalization":
        centre, spread = {1: (1, 0.1), 2: (0, 0.1), 3: (0, 0.1), 4: (1, 0.1)}[position]
        values = centre + spread * generator.standard_normal(shape)
        return np.abs(values).astype(np.float32)
    fan_in = int(np.prod(shape[1:])) or 1
    deviation = np.sqrt(2 / fan_in) if len(shape) > 1 else 0.02
    return (deviation * generator.standard_normal(shape)).astype(np.float32)


def measured(model: onnx.ModelProto, wanted: list[str]) -> list[Array]:
    """Return the values with these names for a random image."""
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    session = quiet_session(model.SerializeToString())
    results: list[Array] = session.run(wanted, random_image(model, seed=1))
    return results


def spelled_out(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return a BatchNormalization as arithmetic on the statistics of its own input.

    They are the values ``<output>/mean`` and ``<output>/variance``, ``(1, channels, 1, 1)``.
    """
    x, scale, offset = node.input[:3]
    y = node.output[0]
    make, per_channel = onnx.helper.make_node, {"axes": [0, 2, 3]}
    return [
        make("ReduceMean", [x], [f"{y}/mean"], **per_channel),
        make("Sub", [x, f"{y}/mean"], [f"{y}/centred"]),
        make("Mul", [f"{y}/centred", f"{y}/centred"], [f"{y}/square"]),
        make("ReduceMean", [f"{y}/square"], [f"{y}/variance"], **per_channel),
        make("Add", [f"{y}/variance", "epsilon"], [f"{y}/positive"]),
        make("Sqrt", [f"{y}/positive"], [f"{y}/deviation"]),
        make("Div", [f"{y}/centred", f"{y}/deviation"], [f"{y}/unit"]),
        make("Unsqueeze", [scale], [f"{y}/scale"], **per_channel),
        make("Unsqueeze", [offset], [f"{y}/offset"], **per_channel),
        make("Mul", [f"{y}/unit", f"{y}/scale"], [f"{y}/scaled"]),
        make("Add", [f"{y}/scaled", f"{y}/offset"], [y]),
    ]


def normalize(model: onnx.ModelProto) -> None:
    """Set the statistics of every BatchNormalization to those of a random image, in place.

    A deep network with random weights otherwise amplifies or forgets its input.  In a copy each
    BatchNormalization uses the statistics of its own input, so that one run gives them all.
    """
    found = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not found:
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    for node in model.graph.node:
        is_normalization = node.op_type == "BatchNormalization"
        copy.graph.node.extend(spelled_out(node) if is_normalization else [node])
    epsilon = numpy_helper.from_array(np.array([1e-5], np.float32), "epsilon")
    copy.graph.initializer.append(epsilon)
    outputs = [f"{node.output[0]}/{part}" for node in found for part in ("mean", "variance")]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [name for node in found for name in node.input[3:5]]
    for name, value in zip(names, measured(copy, outputs), strict=True):
        stored[name].CopyFrom(numpy_helper.from_array(value.ravel(), name))


def spread(model: onnx.ModelProto, deviation: float = 2.0) -> None:
    """Scale the last weight and its bias so that the logits have this deviation, in place."""
    softmax = [node.input[0] for node in model.graph.node if node.op_type == "Softmax"]
    logits = softmax[0] if softmax else model.graph.node[-1].output[0]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    factor = deviation / float(measured(copy, [logits])[0].std())
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")][-1]
    reshaped = {node.output[0]: node.input[0] for node in model.graph.node}
    for operand in last.input[1:]:
        name = operand if operand in stored else reshaped[operand]
        scaled = factor * numpy_helper.to_array(stored[name])
        stored[name].CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), name))


def model(name: str) -> Path:
    """Return the ONNX file of one topology with random weights."""
    path = cache.MODELS / f"light_{name}.onnx"
    if not path.is_file():
        folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
        proto = onnx.load(cache.need(folder / f"light_{name}.onnx"))
        random_weights(proto)
        normalize(proto)
        spread(proto)
        place(proto.SerializeToString(), path)
    return path


def inputs(path: Path, seed: int = 0) -> dict[str, Array]:
    """Return one random image for the network."""
    return random_image(onnx.load(path, load_external_data=False), seed)


def random_image(model: onnx.ModelProto, seed: int) -> dict[str, Array]:
    """Return one standard normal image, by the name of the network's only true input."""
    stored = {tensor.name for tensor in model.graph.initializer}
    (entry,) = (value for value in model.graph.input if value.name not in stored)
    shape = [axis.dim_value for axis in entry.type.tensor_type.shape.dim]
    generator = np.random.default_rng(seed)
    return {entry.name: generator.standard_normal(shape).astype(np.float32)}
