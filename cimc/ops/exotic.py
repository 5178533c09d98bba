"""Operators of rarer networks: detection heads, recurrence, attention, signal processing."""

from __future__ import annotations

from typing import Final

from cimc.ops.operator import Operator

#: Operators by name.
EXOTIC: Final[dict[str, Operator]] = {}
