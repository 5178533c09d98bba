"""How the cells of a weight lie on the arrays of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cimc.ir.layer import Layout

if TYPE_CHECKING:
    from cimc.targets.schema import Target


def layout_of(target: Target) -> Layout:
    """Return how the cells of a tile lie."""
    slices = 1 if target.slices is None else target.slices.count
    return _layout(target.encoding, slices, target.pair.placement)


def layout_of_plain(target: Mapping[str, Any]) -> Layout:
    """Return the same from a target as plain data, complete (what a program holds)."""
    slices = target.get("slices") or {"count": 1}
    placement = target.get("pair", {}).get("placement", "")
    return _layout(str(target["encoding"]), int(slices["count"]), str(placement))


def _layout(encoding: str, slices: int, placement: str) -> Layout:
    if encoding == "differential-pair":
        return Layout(1, arrays=2) if placement == "twin-arrays" else Layout(2)
    if encoding == "bit-sliced":
        return Layout(slices)
    return Layout(1, extra=1) if encoding == "offset-column" else Layout(1)
