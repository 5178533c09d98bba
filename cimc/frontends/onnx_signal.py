"""Importers of signal processing, quantization and loss operators."""

from __future__ import annotations

from typing import Any, Final

import onnx_ir as ir

from cimc.frontends.onnx_direct import direct, given
from cimc.frontends.onnx_elements import typed
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result, dtype_name
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator
from cimc.ops.quantization import QUANTIZED
from cimc.ops.table import OPERATORS


def dft(view: NodeView) -> Result:
    """Import ``DFT``; before opset 20 the axis is an attribute, 1 by default."""
    attributes = given(view, OPERATORS["dft"], "axis")
    x, length, axis = view.required(0, "input"), view.operand(1), view.operand(2)
    if view.version < 20:
        axis = view.constant([view.attribute("axis", 1)], "axis")
    return view.call("dft", x, length, axis, **attributes)


def generator(view: NodeView) -> Result:
    """Import a window or ``MelWeightMatrix``, whose output type is a number."""
    spec = _GENERATORS[view.node.op_type]
    return typed(view, spec, "output_datatype")


def quantize(view: NodeView) -> Result:
    """Import ``QuantizeLinear`` to integers of 8 or 16 bit."""
    attributes = given(view, OPERATORS["quantize_linear"], "output_dtype", "precision")
    kind = view.dtype(2)
    for name in ("output_dtype", "precision"):
        number = view.attribute(name, 0)
        if number:
            attributes[name] = dtype_name(ir.DataType(number))
            kind = kind or (attributes[name] if name == "output_dtype" else None)
    if (kind or "uint8") not in QUANTIZED or attributes.get("precision", "float32") not in DTYPES:
        raise Declined(f"works on element type {kind}")
    return view.call("quantize_linear", *view.operands, **attributes)


def dequantize(view: NodeView) -> Result:
    """Import ``DequantizeLinear`` of integers."""
    attributes: dict[str, Any] = given(view, OPERATORS["dequantize_linear"], "output_dtype")
    number = view.attribute("output_dtype", 0)
    if number:
        attributes["output_dtype"] = dtype_name(ir.DataType(number))
    return view.call("dequantize_linear", *view.operands, **attributes)


_GENERATORS: Final[dict[str, Operator]] = {
    str(OPERATORS[name].onnx): OPERATORS[name]
    for name in ("hann_window", "hamming_window", "blackman_window", "mel_weight_matrix")
}
_DIRECT = (
    *("STFT", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearMatMul"),
    *("QLinearConv", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
)

#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "DFT"): dft,
    ("", "QuantizeLinear"): quantize,
    ("", "DequantizeLinear"): dequantize,
    **{("", name): generator for name in _GENERATORS},
    **{("", name): direct for name in _DIRECT},
}
