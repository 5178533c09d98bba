"""Operators of rarer networks: detection heads, recurrence, attention, signal processing."""

from __future__ import annotations

from typing import Final

from cimc.ops import (
    algebra,
    attention,
    bits,
    folding,
    linear_attention,
    loss,
    quantization,
    recurrent,
    resize,
    sampling,
    scatter,
    selection,
    signal,
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
    **sampling.OPERATORS,
    **folding.OPERATORS,
    **signal.OPERATORS,
    **quantization.OPERATORS,
    **loss.OPERATORS,
}
