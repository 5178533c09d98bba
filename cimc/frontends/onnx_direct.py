"""Import of the operators whose newest form is that of the table."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from cimc.frontends.onnx_node import Declined, NodeView, Result
from cimc.ops.operator import Operator
from cimc.ops.table import OPERATORS

_BY_ONNX = {(spec.domain, spec.onnx): spec for spec in OPERATORS.values() if spec.onnx}


def direct(view: NodeView) -> Result:
    """Hand operands and attributes over as they are; flags become bool.

    Raises:
        Declined: The node has an attribute that the operator does not know.
    """
    spec = operator_of(view)
    return view.same(spec, *view.operands, **given(view, spec))


def operator_of(view: NodeView) -> Operator:
    """Return the operator that implements the newest form of a node's ONNX operator."""
    return _BY_ONNX[view.domain, view.node.op_type]


def given(view: NodeView, spec: Operator, *skip: str) -> dict[str, Any]:
    """Return the attributes a node gives, as keyword arguments of its operator."""
    known = keywords(spec)
    attributes = {}
    for name in view.node.attributes:
        if name in skip:
            continue
        if name not in known:
            raise Declined(f"attribute {name!r}")
        value = view.attribute(name)
        if isinstance(known[name], bool):
            if value not in (0, 1):
                raise view.error("CIMC-M13", f"attribute {name!r} must be 0 or 1 (got {value})")
            value = bool(value)
        attributes[name] = value
    return attributes


@cache
def keywords(spec: Operator) -> dict[str, Any]:
    """Return the attributes of an operator with their defaults."""
    parameters = inspect.signature(spec.function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
