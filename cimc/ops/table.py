"""The finite set of operators the IR may call."""

from __future__ import annotations

from typing import Final

from cimc.ops import (
    activation,
    arithmetic,
    convolution,
    exotic,
    indexing,
    layout,
    logic,
    normalization,
    pooling,
    product,
    reduction,
    unary,
)
from cimc.ops.opaque import opaque
from cimc.ops.operator import Operator

__all__ = ["OPERATORS", "Operator"]

#: Every operator by name.
OPERATORS: Final[dict[str, Operator]] = {
    **convolution.OPERATORS,
    **product.OPERATORS,
    **activation.OPERATORS,
    **arithmetic.OPERATORS,
    **unary.OPERATORS,
    **logic.OPERATORS,
    **reduction.OPERATORS,
    **normalization.OPERATORS,
    **pooling.OPERATORS,
    **layout.OPERATORS,
    **indexing.OPERATORS,
    "opaque": Operator("opaque", opaque, outputs=None),
    **exotic.EXOTIC,
}
