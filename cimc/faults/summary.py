"""A fault map in figures: cells per state, rates per array, broken lines, spread of gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MAX, AT_G_MIN, FaultMap
from cimc.faults.ranges import write_ranges

#: Arrays, and lines, that are listed.
WORST: Final = 10
LINES: Final = 1000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of a map.

    Attributes:
        map: The map.
        counts: Cells of each tested array in states 1, 2 and 3, int64 ``(k, 3)``.
        array_cells: Cells of an array [-]; None: unknown.
        rows: Word lines whose cells are all faulty, int32 ``(n, 2)``: array and row.
        columns: Bit lines, likewise.
        sigma_lrs: Standard deviation of the factors of the highest state; None: not measured.
        sigma_hrs: The same of the lowest state.
    """

    map: FaultMap
    counts: Counts
    array_cells: int | None
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    sigma_lrs: float | None
    sigma_hrs: float | None

    @property
    def faulty(self) -> int:
        """Faulty cells [-]."""
        return len(self.map.cells)

    @property
    def cells(self) -> int | None:
        """Cells that were tested [-]; None: unknown."""
        return None if self.array_cells is None else self.array_cells * len(self.map.arrays)

    @property
    def rate(self) -> float | None:
        """Share of faulty cells [-]; None: unknown, or nothing was tested."""
        return self.faulty / self.cells if self.cells else None

    @property
    def worst(self) -> Counts:
        """Indices of the arrays with most faulty cells, int64, the worst first; none without."""
        total = self.counts.sum(axis=1)
        order: Counts = np.argsort(-total, kind="stable")[:WORST]
        found: Counts = order[total[order] > 0]
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        found, totals = self.map, self.counts.sum(axis=1)
        own = found.conductance_us[found.cells[:, 3] == AT_CONDUCTANCE]
        states = self.counts.sum(axis=0).tolist()
        return {
            "chip": found.chip,
            "target": found.target or None,
            "sha256": found.sha256 or None,
            "temperature_k": found.temperature_k,
            "time_s": found.time_s,
            "array_rows": found.array_rows,
            "array_columns": found.array_columns,
            "arrays": len(found.arrays),
            "tested_arrays": write_ranges(found.arrays),
            "cells": self.cells,
            "faulty_cells": self.faulty,
            "rate": self.rate,
            "at_g_min": states[0],
            "at_g_max": states[1],
            "at_conductance": states[2],
            "conductance_us": _range(own),
            "array_faulty_cells": _range(totals),
            "worst_arrays": [
                {
                    "array": int(found.arrays[i]),
                    "faulty_cells": int(totals[i]),
                    "rate": None if not self.array_cells else int(totals[i]) / self.array_cells,
                }
                for i in self.worst
            ],
            "broken_rows": len(self.rows),
            "broken_columns": len(self.columns),
            "broken_lines": [
                {"array": array, kind: line}
                for kind, lines in (("row", self.rows), ("column", self.columns))
                for array, line in lines[:LINES].tolist()
            ],
            "gain_arrays": 0 if found.gain_arrays is None else len(found.gain_arrays),
            "sigma_lrs": self.sigma_lrs,
            "sigma_hrs": self.sigma_hrs,
        }


def summarize(fault_map: FaultMap) -> Summary:
    """Return a map in figures."""
    cells = fault_map.cells
    index = np.searchsorted(fault_map.arrays, cells[:, 0])
    key = index * 3 + (cells[:, 3] - AT_G_MIN)
    counts = np.bincount(key, minlength=3 * len(fault_map.arrays)).reshape(-1, 3)
    size = (fault_map.array_rows, fault_map.array_columns)
    known = None if size[0] is None or size[1] is None else size[0] * size[1]
    return Summary(
        fault_map,
        counts.astype(np.int64),
        known,
        _broken(cells, 1, size[1]),
        _broken(cells, 2, size[0]),
        _sigma(fault_map.gain_lrs),
        _sigma(fault_map.gain_hrs),
    )


def _broken(cells: npt.NDArray[np.int32], which: int, length: int | None) -> npt.NDArray[np.int32]:
    """Return the lines all of whose cells are faulty: array and number, int32 ``(n, 2)``."""
    if length is None or not len(cells):
        return np.zeros((0, 2), np.int32)
    wide = int(cells[:, which].max()) + 1
    key = cells[:, 0].astype(np.int64) * wide + cells[:, which]
    if which == 2:  # rows are in order already
        key.sort()
    starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    full = np.diff(np.append(starts, len(key))) == length
    return np.stack(np.divmod(key[starts[full]], wide), axis=1).astype(np.int32)


def _sigma(gain: npt.NDArray[np.float32] | None) -> float | None:
    """Return the standard deviation of all factors, array by array: they may fill the memory."""
    if gain is None or not gain.size:
        return None
    means = np.array([g.mean(dtype=np.float64) for g in gain])
    squares = np.array([np.einsum("ij,ij->", g, g, dtype=np.float64) / g.size for g in gain])
    return float(np.sqrt(max(0.0, squares.mean() - means.mean() ** 2)))


def _range(values: npt.NDArray[Any]) -> dict[str, float] | None:
    if not len(values):
        return None
    return {
        "min": float(values.min()), "median": float(np.median(values)), "max": float(values.max()),
    }  # fmt: skip


#: States in the order of :attr:`Summary.counts`, in words.
STATE_NAMES: Final = {
    AT_G_MIN: "stuck at G_min",
    AT_G_MAX: "stuck at G_max",
    AT_CONDUCTANCE: "stuck at a conductance",
}
