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


def room_of(target: Target) -> tuple[int | None, int | None, int | None]:
    """Return the word lines and bit lines of an array, and the arrays, that tiles are placed on.

    What the target keeps spare is left out; None: unlimited.
    """
    array, arrays = target.array, target.arrays
    return (
        None if array.rows is None else array.rows - array.spare_rows,
        None if array.columns is None else array.columns - array.spare_columns,
        None if arrays is None else arrays - target.chip.spare_arrays,
    )


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
