"""Import of operators that moved attributes to operands, and of constants."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir
import torch
from torch.fx import Node

from cimc.frontends.onnx_direct import direct
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result, dtype_name
from cimc.frontends.onnx_tensor import NATIVE, to_torch


def axes_operand(view: NodeView, position: int) -> Node | None:
    """Return the axes, an attribute in old opsets; None when there are none."""
    axes = view.ints("axes")
    if axes is not None:
        return view.constant(axes, "axes")
    return view.operand(position)


def squeeze(view: NodeView) -> Result:
    """Squeeze; axes were an attribute before opset 13."""
    axes = view.value(1)
    if axes is not None and axes.numel() == 0:
        raise Declined("empty axes: the standard and onnxruntime disagree on what they mean")
    return view.call("squeeze", view.required(0, "data"), axes_operand(view, 1))


def unsqueeze(view: NodeView) -> Result:
    """Unsqueeze; axes were an attribute before opset 13."""
    axes = axes_operand(view, 1) or view.required(1, "axes")
    return view.call("unsqueeze", view.required(0, "data"), axes)


def split(view: NodeView) -> Result:
    """Split; sizes were an attribute before opset 13, num_outputs came with 18."""
    sizes = view.ints("split")
    operand = view.constant(sizes, "split") if sizes else view.operand(1)
    count = len(view.node.outputs)
    attributes = {"axis": view.attribute("axis", 0)}
    if operand is None:
        attributes["num_outputs"] = view.attribute("num_outputs", count)
        if attributes["num_outputs"] != count:
            raise view.error(
                "CIMC-M13", f"num_outputs is {attributes['num_outputs']}, the node has {count}"
            )
        _require_even(view, attributes["axis"], count)
    call = view.call("split", view.required(0, "input"), operand, **attributes)
    return view.unpack(call, count)


def _require_even(view: NodeView, axis: int, count: int) -> None:
    """Refuse parts of unequal size, which came with opset 18."""
    shape = view.shape(0)
    size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    if view.version < 18 and size is not None and size % count:
        raise view.error("CIMC-M13", f"{size} elements cannot be split into {count} equal parts")


def slice_(view: NodeView) -> Result:
    """Slice; everything was an attribute before opset 10."""
    if view.version >= 10:
        return view.call("slice", *view.operands)
    starts, ends = view.ints("starts"), view.ints("ends")
    if starts is None or ends is None:
        raise view.error("CIMC-M13", "attributes 'starts' and 'ends' are missing")
    return view.call(
        "slice",
        view.required(0, "data"),
        view.constant(starts, "starts"),
        view.constant(ends, "ends"),
        axes_operand(view, 3),
    )


def pad(view: NodeView) -> Result:
    """Pad; pads and value were attributes before opset 11."""
    mode = view.attribute("mode", "constant")
    if view.version >= 11:
        return view.call("pad", *view.operands, mode=mode)
    pads = view.ints("pads")
    if pads is None:
        raise view.error("CIMC-M13", "attribute 'pads' is missing")
    value = view.constant(float(view.attribute("value", 0.0)), "pad_value")
    return view.call(
        "pad", view.required(0, "data"), view.constant(pads, "pads"), value, mode=mode
    )


def clip(view: NodeView) -> Result:
    """Clip; limits were attributes before opset 11."""
    if view.version >= 11:
        return view.call("clip", *view.operands)
    x = view.required(0, "input")
    limits: list[Node | None] = []
    for name in ("min", "max"):
        value = view.attribute(name)
        limits.append(None if value is None else _like(view, x, float(value), name))
    return view.call("clip", x, *limits)


def _like(view: NodeView, x: Node, value: float, name: str) -> Node:
    """Return a constant of the element type of input 0."""
    dtype = view.dtype(0)
    constant = view.constant(value, name)
    if dtype is None:
        return view.call("cast_like", constant, x)
    return constant if dtype == "float32" else view.call("cast", constant, to=dtype)


def cast(view: NodeView) -> Result:
    """Cast; saturate and round_mode only concern 8-bit floats, which are opaque."""
    code = view.attribute("to")
    try:
        to = ir.DataType(code)
    except ValueError as error:
        raise view.error("CIMC-M13", f"attribute 'to' is no element type (got {code})") from error
    if to not in NATIVE:
        raise Declined(f"casts to {dtype_name(to)}")
    if "complex" in dtype_name(to) or "complex" in (view.dtype(0) or ""):
        raise Declined("casts complex numbers")
    return view.call("cast", view.required(0, "input"), to=dtype_name(to))


def cast_like(view: NodeView) -> Result:
    """CastLike."""
    return view.call("cast_like", view.required(0, "input"), view.required(1, "target_type"))


def constant(view: NodeView) -> Result:
    """Constant: becomes a constant of the graph, not a call."""
    where = f"node {view.node.name or view.node.outputs[0].name} (Constant)"
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if not view.has(name):
            continue
        if name != "value":
            kind = torch.float32 if "float" in name else torch.int64
            return view.parameter(torch.tensor(view.attribute(name), dtype=kind))
        tensor = view.tensor(name)
        if tensor is None or tensor.dtype not in NATIVE:
            break
        return view.parameter(to_torch(tensor, where))
    raise Declined("a constant that is sparse, a string or of a type torch does not hold")


def constant_of_shape(view: NodeView) -> Result:
    """ConstantOfShape; the value is a tensor of one element."""
    tensor = view.tensor("value")
    value: float = 0.0
    dtype = "float32"
    if tensor is not None:
        if tensor.dtype not in NATIVE:
            raise Declined(f"makes a tensor of {tensor.dtype.name}")
        value, dtype = to_torch(tensor, view.where).reshape(-1)[0].item(), dtype_name(tensor.dtype)
    shape = view.required(0, "input")
    return view.call("constant_of_shape", shape, value=value, dtype=dtype)


def dropout(view: NodeView) -> Result:
    """Dropout in inference: x and a mask of true.

    Raises:
        ModelError: ``CIMC-M10``: it is active, or may become so when run.
    """
    x = view.required(0, "data")
    mode = view.operand(2) if view.version >= 12 else None
    if mode is not None:
        training, ratio = view.value(2), view.value(1)
        inactive = view.operand(1) is not None and ratio is not None and float(ratio) == 0
        if not inactive and (training is None or bool(training)):
            what = "active" if training is not None else "switched by an input"
            raise view.error(
                "CIMC-M10",
                f"Dropout is {what}: its output is random",
                hint="exporting the model in evaluation mode (model.eval())",
            )
    y = view.call("identity", x)
    if not view.wants(1):
        return y
    dtype = "bool" if view.version >= 10 else (view.dtype(0) or "float32")
    return y, view.call("constant_of_shape", view.call("shape", x), value=1.0, dtype=dtype)


def space_and_depth(view: NodeView) -> Result:
    """DepthToSpace and SpaceToDepth."""
    if view.rank(0) not in (None, 4):
        raise Declined("not an image")
    return direct(view)


IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "Squeeze"): squeeze,
    ("", "Unsqueeze"): unsqueeze,
    ("", "Split"): split,
    ("", "Slice"): slice_,
    ("", "Pad"): pad,
    ("", "Clip"): clip,
    ("", "Cast"): cast,
    ("", "CastLike"): cast_like,
    ("", "Constant"): constant,
    ("", "ConstantOfShape"): constant_of_shape,
    ("", "Dropout"): dropout,
    ("", "DepthToSpace"): space_and_depth,
    ("", "SpaceToDepth"): space_and_depth,
}
