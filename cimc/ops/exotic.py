"""Operators of rarer networks: detection heads, recurrence, attention, signal processing."""

from __future__ import annotations

from typing import Final

from cimc.ops import (
    algebra,
    attention,
    bits,
    linear_attention,
    recurrent,
    resize,
    scatter,
    selection,
)
from cimc.ops.operator import Operator

#: Operators by name.
EXOTIC: Final[dict[str, Operator]] = {
    **recurrent.OPERATORS,
    **attention.OPERATORS,
    **linear_attention.OPERATORS,
    **resize.OPERATORS,
    **selection.OPERATORS,
    **scatter.OPERATORS,
    **algebra.OPERATORS,
    **bits.OPERATORS,
}
