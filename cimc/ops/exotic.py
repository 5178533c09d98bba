"""Operators of rarer networks: detection heads, recurrence, attention, signal processing."""

from __future__ import annotations

from typing import Final

from cimc.ops import attention, linear_attention, recurrent, resize
from cimc.ops.operator import Operator

#: Operators by name.
EXOTIC: Final[dict[str, Operator]] = {
    **recurrent.OPERATORS,
    **attention.OPERATORS,
    **linear_attention.OPERATORS,
    **resize.OPERATORS,
}
