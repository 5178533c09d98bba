"""Read a fault map that may be hostile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from torch import Tensor

from cimc.errors import FaultMapError, ProgramError
from cimc.faults import metadata
from cimc.faults.csv_reader import read_csv
from cimc.faults.fault_map import FaultMap
from cimc.faults.order import in_order
from cimc.faults.validity import require_valid, shown
from cimc.program import container_read

#: Largest file that is read [byte].
SIZE_LIMIT: Final = 64 << 30
#: Element type and number of axes of each tensor, and whether a file must have it.
_TENSORS: Final = {
    "metadata": ("U8", 1, True),
    "arrays": ("I32", 1, True),
    "cells": ("I32", 2, True),
    "conductance_us": ("F32", 1, False),
    "gain_arrays": ("I32", 1, False),
    "gain_lrs": ("F32", 3, False),
    "gain_hrs": ("F32", 3, False),
}


def load_fault_map(path: str | Path, *, chip: str | None = None) -> FaultMap:
    """Read a fault map and check everything in it.

    Nothing is unpickled; sizes are checked before anything is allocated.  Gains stay in the file
    until they are touched.

    Args:
        path: A ``.safetensors`` file of :func:`save_fault_map`, or a CSV file.
        chip: Id of the chip where a CSV file does not say; another than the file says is refused.

    Raises:
        FaultMapError: ``CIMC-F01`` the file cannot be read; ``CIMC-F02`` it is not a fault map;
            ``CIMC-F03`` a line of a CSV file is wrong; ``CIMC-F04`` a cell is listed twice;
            ``CIMC-F05`` a state or conductance is wrong; ``CIMC-F06`` there is no chip id;
            ``CIMC-F08`` a number of a cell is negative; ``CIMC-F10`` gains are wrong;
            ``CIMC-F11`` the file is of another chip than ``chip``.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > SIZE_LIMIT:
                raise _unreadable(path, f"{size} bytes are more than the {SIZE_LIMIT} read")
            if path.suffix.lower() == ".csv":
                found = read_csv(file, size, chip, where=str(path))
            else:
                found = _read(file, size, where=str(path))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if chip is not None and found.chip != chip:
        raise FaultMapError(
            "CIMC-F11",
            f"the fault map is of chip {shown(found.chip)}, not of {shown(chip)}",
            where=str(path),
        )
    require_valid(found, where=str(path))
    return found


def _unreadable(path: Path, why: str) -> FaultMapError:
    return FaultMapError("CIMC-F01", f"cannot read the fault map: {why}", where=str(path))


def _read(file: BinaryIO, size: int, *, where: str) -> FaultMap:
    """Read a safetensors file."""
    try:
        entries, head = container_read.read_header(file, size, where=where)
        for name, entry in entries.items():
            known = _TENSORS.get(name)
            if known is None:
                raise _broken(f"there is no tensor {name[:80]!r} in a fault map", where)
            if (entry.dtype, len(entry.shape)) != known[:2]:
                raise _broken(f"tensor {name!r} is {entry.dtype} {list(entry.shape)}", where)
        missing = [n for n, (_, _, needed) in _TENSORS.items() if needed and n not in entries]
        if missing:
            raise _broken(f"tensor {missing[0]!r} is missing", where)
        digest = container_read.scan(file, entries, head).sha256
        tensors = container_read.views(file, entries, head, where=where)
    except ProgramError as error:
        named = where.lower().endswith(".safetensors")
        hint = (
            "writing or copying it again" if named else "a name that ends in .csv for a CSV file"
        )
        raise FaultMapError("CIMC-F02", error.message, where=error.where, hint=hint) from error
    return replace(_fault_map(tensors, where), sha256=digest)


def _fault_map(tensors: Mapping[str, Tensor], where: str) -> FaultMap:
    about = metadata.decode(tensors["metadata"], where=where)
    # Copies: small, and kept in programs long after the file may have gone.  Gains may be large.
    cells = tensors["cells"].numpy().copy()
    if cells.shape[1:] != (4,):
        raise _broken(f"cells are {list(cells.shape)}, not (n, 4)", where)
    values = np.zeros(len(cells), np.float32)
    if "conductance_us" in tensors:
        values = tensors["conductance_us"].numpy().copy()
        if values.shape != (len(cells),):
            raise _broken(f"{len(values)} conductances of {len(cells)} cells", where)
    cells, values = in_order(cells, values)
    gains: dict[str, Any] = {
        n: tensors[n].numpy() for n in ("gain_arrays", "gain_lrs", "gain_hrs") if n in tensors
    }
    return FaultMap(
        about.chip,
        about.target,
        tensors["arrays"].numpy().copy(),
        cells,
        values,
        temperature_k=about.temperature_k,
        time_s=about.time_s,
        array_rows=about.array_rows,
        array_columns=about.array_columns,
        **gains,
    )


def _broken(message: str, where: str) -> FaultMapError:
    return FaultMapError("CIMC-F02", f"not a valid fault map: {message}", where=where)
