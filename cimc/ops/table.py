"""The finite set of operators the IR may call."""

from __future__ import annotations

from typing import Final

from cimc.ops import convolution, exotic
from cimc.ops.opaque import opaque
from cimc.ops.operator import Operator

__all__ = ["OPERATORS", "Operator"]

#: Every operator by name.
OPERATORS: Final[dict[str, Operator]] = {
    **convolution.OPERATORS,
    "opaque": Operator("opaque", opaque, outputs=None),
    **exotic.EXOTIC,
}
