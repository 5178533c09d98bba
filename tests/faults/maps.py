"""Fault maps made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cimc.faults import AT_CONDUCTANCE, FaultMap
from cimc.targets import Target, load_target


def made(
    cells: Sequence[Sequence[int]] = (),
    *,
    own_us: Sequence[float] = (),
    arrays: Sequence[int] | None = None,
    chip: str = "W3-17",
    target: str = "rram",
    **others: Any,
) -> FaultMap:
    """Return a map; conductances are of the cells in state 3, in their order."""
    table = np.array(cells, np.int32).reshape(-1, 4)
    values = np.zeros(len(table), np.float32)
    values[table[:, 3] == AT_CONDUCTANCE] = own_us
    tested = np.unique(table[:, 0]) if arrays is None else np.array(arrays, np.int32)
    return FaultMap(chip, target, tested.astype(np.int32), table, values, **others)


def full(**changes: Any) -> FaultMap:
    """Everything a map can hold: all states, gains of two arrays of 3 x 4 cells."""
    draw = np.random.default_rng(5)
    given: dict[str, Any] = {
        "arrays": (0, 1, 2, 5),
        "array_rows": 3,
        "array_columns": 4,
        "gain_arrays": np.array([1, 5], np.int32),
        "gain_lrs": draw.uniform(0.5, 1.5, (2, 3, 4)).astype(np.float32),
        "gain_hrs": draw.uniform(0.5, 1.5, (2, 3, 4)).astype(np.float32),
        "temperature_k": 300.0,
        "time_s": 3600.0,
    }
    cells = [(0, 0, 3, 1), (0, 1, 0, 2), (2, 2, 3, 3), (5, 0, 0, 3), (5, 0, 1, 1)]
    return made(cells, own_us=(7.25, 0.1), **(given | changes))


def same(one: FaultMap, other: FaultMap) -> bool:
    """Whether two maps say the same, their digests aside."""
    for name in FaultMap.__slots__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            if not (isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)):
                return False
        elif name != "sha256" and a != b:
            return False
    return True


def chip_of(arrays: int = 4, rows: int = 64, columns: int = 64, **changes: object) -> Target:
    """A small chip of the rram device."""
    return load_target("rram").changed(
        {
            "chip.cores": 1,
            "chip.arrays_per_core": arrays,
            "array.rows": rows,
            "array.columns": columns,
            **changes,
        }
    )
