"""Write a fault map as CSV: one line a cell, what is known of the chip in comments."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import numpy as np

from cimc.errors import FaultMapError
from cimc.faults.fault_map import AT_CONDUCTANCE, FaultMap
from cimc.faults.ranges import write_ranges

#: Lines made at a time [-].
_LINES = 1 << 16


def write_csv(fault_map: FaultMap, file: BinaryIO) -> str:
    """Write a map to an open file; return the sha256 of what was written.

    Raises:
        FaultMapError: ``CIMC-F10``, it has gains, which CSV cannot hold.
    """
    if fault_map.gain_arrays is not None:
        raise FaultMapError(
            "CIMC-F10",
            "a CSV file cannot hold the gains of cells",
            where=f"fault map of chip '{fault_map.chip}'",
            hint="a .safetensors file",
        )
    digest = hashlib.sha256()

    def write(text: str) -> None:
        content = text.encode()
        file.write(content)
        digest.update(content)

    write("".join(f"# {line}\n" for line in _comments(fault_map)))
    own = bool((fault_map.cells[:, 3] == AT_CONDUCTANCE).any())
    write("array,row,column,state" + (",conductance_uS\n" if own else "\n"))
    for start in range(0, len(fault_map.cells), _LINES):
        part = slice(start, start + _LINES)
        lines = [",".join(map(str, cell)) for cell in fault_map.cells[part].tolist()]
        if own:
            values = fault_map.conductance_us[part]
            given = fault_map.cells[part, 3] == AT_CONDUCTANCE
            lines = [
                f"{line},{np.format_float_positional(v) if g else ''}"
                for line, v, g in zip(lines, values, given.tolist(), strict=True)
            ]
        write("".join(f"{line}\n" for line in lines))
    return digest.hexdigest()


def _comments(fault_map: FaultMap) -> list[str]:
    lines = [f"chip: {fault_map.chip}"]
    if fault_map.target:
        lines.append(f"target: {fault_map.target}")
    lines.append(f"arrays: {write_ranges(fault_map.arrays)}")
    for name in ("array_rows", "array_columns", "temperature_k", "time_s"):
        value = getattr(fault_map, name)
        if value is not None:
            lines.append(f"{name}: {value!r}")
    return lines
