"""Importers of operators that choose, place or mark elements, and of bit operators."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from cimc.frontends.onnx_direct import direct, given
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result, dtype_name
from cimc.ops.dtypes import DTYPES
from cimc.ops.operator import Operator
from cimc.ops.table import OPERATORS

#: Types torch stores but does not sort, scatter or gather.
_WIDE = frozenset({"uint16", "uint32", "uint64"})


def narrow(view: NodeView) -> Result:
    """Import an operator directly unless torch has no kernel for an element type."""
    for index in range(len(view.operands)):
        if view.dtype(index) in _WIDE:
            raise Declined(f"works on element type {view.dtype(index)}")
    return direct(view)


def top_k(view: NodeView) -> Result:
    """Import ``TopK``; before opset 10 k is an attribute."""
    if view.version >= 10:
        return narrow(view)
    k = view.constant([int(view.attribute("k", 0))], "k")
    axis = view.attribute("axis", -1)
    return view.unpack(view.call("top_k", view.required(0, "X"), k, axis=axis), 2)


def one_hot(view: NodeView) -> Result:
    """Import ``OneHot``; its values decide the type of the result, any type will do."""
    if view.dtype(2) in _WIDE:
        raise Declined(f"works on element type {view.dtype(2)}")
    return direct(view)


def scatter(view: NodeView) -> Result:
    """Import ``ScatterElements`` and ``Scatter``, its name before opset 11."""
    if any(view.dtype(index) in _WIDE for index in (0, 2)):
        raise Declined("works on unsigned integers wider than 8 bit")
    if view.dtype(0) == "bool" and view.attribute("reduction", "none") != "none":
        raise Declined("reduces truth values")
    attributes = given(view, OPERATORS["scatter_elements"])
    return view.call("scatter_elements", *view.operands, **attributes)


def scatter_nd(view: NodeView) -> Result:
    """Import ``ScatterND``."""
    if view.dtype(0) in _WIDE:
        raise Declined(f"works on element type {view.dtype(0)}")
    if view.dtype(0) == "bool" and view.attribute("reduction", "none") != "none":
        raise Declined("reduces truth values")
    return direct(view)


def typed(view: NodeView, spec: Operator, attribute: str) -> Result:
    """Import an operator one of whose attributes is an ONNX type number."""
    attributes = given(view, spec, attribute)
    number = view.attribute(attribute, 0)
    if number:
        name = dtype_name(ir.DataType(number))
        if name not in DTYPES:
            raise Declined(f"works on element type {name}")
        attributes[attribute] = name
    return view.same(spec, *view.operands, **attributes)


def eye_like(view: NodeView) -> Result:
    """Import ``EyeLike``."""
    return typed(view, OPERATORS["eye_like"], "dtype")


def bit_cast(view: NodeView) -> Result:
    """Import ``BitCast``."""
    if view.dtype(0) == "bool" or ir.DataType(view.attribute("to", 1)) == ir.DataType.BOOL:
        raise Declined("reads the bits of truth values")
    return typed(view, OPERATORS["bit_cast"], "to")


_NARROW = ("NonZero", "TensorScatter", "CumSum", "CumProd", "Einsum", "Det")
_DIRECT = (
    *("Compress", "ReverseSequence", "Trilu", "CenterCropPad"),
    *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"),
)

#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "TopK"): top_k,
    ("", "OneHot"): one_hot,
    ("", "Scatter"): scatter,
    ("", "ScatterElements"): scatter,
    ("", "ScatterND"): scatter_nd,
    ("", "EyeLike"): eye_like,
    ("", "BitCast"): bit_cast,
    **{("", name): narrow for name in _NARROW},
    **{("", name): direct for name in _DIRECT},
}
