"""Operators of rarer networks: detection heads, recurrence, attention, signal processing."""

from __future__ import annotations

from typing import Final

from cimc.ops import recurrent
from cimc.ops.opaque import opaque
from cimc.ops.operator import Operator

#: Operators by name.
EXOTIC: Final[dict[str, Operator]] = {
    "opaque": Operator("opaque", opaque, outputs=None),
    **recurrent.OPERATORS,
}
