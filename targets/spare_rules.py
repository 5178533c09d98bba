"""Rules of spare lines and arrays.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cimc.targets.layout import layout_of
from cimc.targets.problems import Path

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Path, message and offending value of each violation.
Found = Iterator[tuple[Path, str, object]]


def spare_lines_are_of_an_array(target: Target) -> Found:
    """array.spare_rows and spare_columns leave a word line, and the bit lines of a weight."""
    array = target.array
    layout = layout_of(target)
    for key, spare, total, needed in (
        ("spare_rows", array.spare_rows, array.rows, 1),
        ("spare_columns", array.spare_columns, array.columns, layout.bit_lines + layout.extra),
    ):
        if spare and total is None:
            yield ("array", key), "needs arrays with a number of rows and columns", spare
        elif spare and total is not None and total >= needed > total - spare:
            message = f"should be at most {total - needed}: {needed} of {total} are needed"
            yield ("array", key), message, spare


def spare_arrays_are_of_a_chip(target: Target) -> Found:
    """chip.spare_arrays leave an array (two where pairs lie in twin arrays)."""
    spare, arrays = target.chip.spare_arrays, target.arrays
    path, needed = ("chip", "spare_arrays"), layout_of(target).arrays
    if spare and arrays is None:
        yield path, "needs a chip with a number of arrays", spare
    elif spare and arrays is not None and arrays >= needed > arrays - spare:
        yield path, f"should be at most {arrays - needed} of {arrays} arrays", spare


RULES: Final = (spare_lines_are_of_an_array, spare_arrays_are_of_a_chip)
