"""Importers of attention operators."""

from __future__ import annotations

from typing import Any, Final

import onnx_ir as ir

from cimc.frontends.onnx_direct import direct, given
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result, dtype_name
from cimc.ops.attention import OPERATORS


def attention(view: NodeView) -> Result:
    """Import ``Attention``; its softmax precision is an ONNX type number."""
    attributes: dict[str, Any] = given(view, OPERATORS["attention"], "softmax_precision")
    precision = view.attribute("softmax_precision", 0)
    if precision:
        attributes["softmax_precision"] = dtype_name(ir.DataType(precision))
    if view.attribute("qk_matmul_output_mode", 0) not in (0, 1, 2, 3):
        raise Declined("unknown attribute value 'qk_matmul_output_mode'")
    return view.same(OPERATORS["attention"], *view.operands, **attributes)


_DIRECT = ("RotaryEmbedding", "LinearAttention", "CausalConvWithState", "SwiGLU")

#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "Attention"): attention,
    **{("", name): direct for name in _DIRECT},
}
