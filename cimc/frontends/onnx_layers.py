"""Import of reductions, softmax, normalizations and pooling, old forms included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cimc.frontends.onnx_direct import direct, given, operator_of
from cimc.frontends.onnx_layout import axes_operand
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result
from cimc.ops.table import OPERATORS

#: Softmax and its like worked on a matrix before this opset.
_SOFTMAX_PER_AXIS = 13
_ALL_REDUCTIONS = (
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
)


def reduction(view: NodeView) -> Result:
    """Return any reduction; axes became an operand in opset 13 (sum) or 18 (the others)."""
    spec = operator_of(view)
    attributes = given(view, spec, "axes")
    return view.same(spec, view.required(0, "data"), axes_operand(view, 1), **attributes)


def softmax(view: NodeView) -> Result:
    """Softmax, LogSoftmax, Hardmax; before opset 13 over all axes from ``axis`` on together."""
    name = operator_of(view).name
    x = view.required(0, "input")
    if view.version >= _SOFTMAX_PER_AXIS:
        return view.call(name, x, axis=view.attribute("axis", -1))
    axis, rank = view.attribute("axis", 1), view.rank(0)
    if rank is not None and rank > 0 and axis in (-1, rank - 1):
        return view.call(name, x, axis=-1)
    flat = view.call("flatten", x, axis=axis)
    return view.call(
        "reshape", view.call(name, flat, axis=-1), view.call("shape", x), allowzero=True
    )


def batch_normalization(view: NodeView) -> Result:
    """BatchNormalization with given statistics.

    Raises:
        ModelError: ``CIMC-M09``: it normalizes by the statistics of the batch.
    """
    used = [k for k in range(1, len(view.node.outputs)) if view.wants(k)]
    training = bool(view.attribute("training_mode", 0)) if view.version >= 14 else bool(used)
    if training:
        raise view.error(
            "CIMC-M09",
            "BatchNormalization in training mode: it normalizes by the statistics of the batch",
            hint="exporting the model in evaluation mode (model.eval())",
        )
    if view.version < 9 and not view.attribute("spatial", 1):
        raise Declined("statistics of each pixel (spatial=0)")
    operands = [
        view.required(k, name) for k, name in enumerate(("X", "scale", "B", "mean", "var"))
    ]
    return view.call("batch_normalization", *operands, epsilon=view.attribute("epsilon", 1e-5))


def layer_normalization(view: NodeView) -> Result:
    """LayerNormalization with one to three outputs."""
    attributes = {
        "axis": view.attribute("axis", -1),
        "epsilon": view.attribute("epsilon", 1e-5),
    }
    _float32_statistics(view)
    if not (view.wants(1) or view.wants(2)):
        return view.call("layer_normalization", *view.operands, **attributes)
    call = view.call("layer_normalization_statistics", *view.operands, **attributes)
    return view.unpack(call, len(view.node.outputs))


def _float32_statistics(view: NodeView) -> None:
    """Decline statistics in half or double precision of another input type."""
    if view.attribute("stash_type", 1) != 1:
        raise Declined("statistics in another type than float32")


def stashed(view: NodeView) -> Result:
    """RMSNormalization and GroupNormalization."""
    spec = operator_of(view)
    _float32_statistics(view)
    return view.same(spec, *view.operands, **given(view, spec, "stash_type"))


def _require_clear_same(view: NodeView, kernel: Sequence[int | None] | None) -> None:
    """Decline SAME padding where windows leave out more than one element.

    The padding would be negative there: the standard, its reference and onnxruntime's kernels
    disagree on which elements are left out.
    """
    if view.attribute("auto_pad", "NOTSET") not in ("SAME_UPPER", "SAME_LOWER"):
        return
    strides = view.ints("strides") or []
    dilations = view.ints("dilations") or [1] * len(strides)
    if min(strides, default=1) < 1 or len(dilations) != len(strides):
        raise view.error("CIMC-M13", f"strides {strides} and dilations {dilations}")
    shape = view.shape(0)
    for axis, (stride, dilation) in enumerate(zip(strides, dilations, strict=True)):
        size = kernel[axis] if kernel is not None and axis < len(kernel) else None
        reach = 1 if size is None else dilation * (size - 1) + 1
        length = shape[axis + 2] if shape is not None and axis + 2 < len(shape) else None
        needed = reach - stride
        if length is not None and view.node.op_type != "ConvTranspose":
            needed = (-(-length // stride) - 1) * stride + reach - length
        if needed < (0 if view.node.op_type == "ConvTranspose" else -1):
            raise Declined("auto_pad SAME with strides larger than the kernel")


def convolution(view: NodeView) -> Result:
    """Conv and ConvTranspose."""
    shape = view.shape(1)
    _require_clear_same(view, None if shape is None else shape[2:])
    if shape is not None and not 3 <= len(shape) <= 5:
        raise Declined(f"a convolution over {len(shape) - 2} axes")
    return direct(view)


def pooling(view: NodeView) -> Result:
    """MaxPool, AveragePool and LpPool."""
    spec = operator_of(view)
    rank = view.rank(0)
    if rank is not None and not 3 <= rank <= 5:
        raise Declined(f"pooling of a tensor with {rank} axes")
    if not view.has("kernel_shape"):
        raise view.error("CIMC-M13", "attribute 'kernel_shape' is missing")
    _require_clear_same(view, view.ints("kernel_shape"))
    if view.attribute("ceil_mode", 0) and view.attribute("auto_pad", "NOTSET") == "VALID":
        raise Declined("ceil_mode with auto_pad VALID, which the standard leaves open")
    if spec.name == "max_pool" and view.wants(1):
        both = OPERATORS["max_pool_indices"]
        return view.same(both, *view.operands, **given(view, both))
    return view.same(spec, *view.operands, **given(view, spec, "storage_order"))


IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    **{("", name): reduction for name in _ALL_REDUCTIONS},
    ("", "Softmax"): softmax,
    ("", "LogSoftmax"): softmax,
    ("", "Hardmax"): softmax,
    ("", "BatchNormalization"): batch_normalization,
    ("", "LayerNormalization"): layer_normalization,
    ("", "RMSNormalization"): stashed,
    ("", "GroupNormalization"): stashed,
    ("", "Conv"): convolution,
    ("", "ConvTranspose"): convolution,
    ("", "MaxPool"): pooling,
    ("", "AveragePool"): pooling,
    ("", "LpPool"): pooling,
}
