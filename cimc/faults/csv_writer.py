"""Write a fault map as CSV: one line a cell, what is known of the chip in comments."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

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

    def write(content: bytes) -> None:
        file.write(content)
        digest.update(content)

    write("".join(f"# {line}\n" for line in _comments(fault_map)).encode())
    own = bool((fault_map.cells[:, 3] == AT_CONDUCTANCE).any())
    write(b"array,row,column,state" + (b",conductance_uS\n" if own else b"\n"))
    for start in range(0, len(fault_map.cells), _LINES):
        part = slice(start, start + _LINES)
        write(_lines(fault_map.cells[part], fault_map.conductance_us[part] if own else None))
    return digest.hexdigest()


def _lines(cells: npt.NDArray[np.int32], own_us: npt.NDArray[np.float32] | None) -> bytes:
    """Return the lines of some cells, made for all of them at once."""
    lines = _texts(cells[:, 0])
    for column in (1, 2, 3):
        lines = np.strings.add(np.strings.add(lines, b","), _texts(cells[:, column]))
    if own_us is not None:
        values = np.where(cells[:, 3] == AT_CONDUCTANCE, own_us.astype("S24"), b"")
        lines = np.strings.add(np.strings.add(lines, b","), values)
    # Texts of one array are padded to one length with zeros.
    return np.strings.add(lines, b"\n").tobytes().replace(b"\0", b"")


def _texts(numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.bytes_]:
    """Return numbers as text; there are few different ones."""
    different, index = np.unique(numbers, return_inverse=True)
    return different.astype("S11")[index]


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
