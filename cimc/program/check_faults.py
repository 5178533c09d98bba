"""Rules of the fault map in a program: faults and gains of cells that exist."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import ProgramError
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.targets import Target

_STATES: Final = (1, 2, 3)


def check_faults(program: DeviceProgram, target: Target) -> None:
    """Apply every rule of this module.

    Raises:
        ProgramError: ``CIMC-P24``.
    """
    faults = program.faults
    if faults is None:
        return
    where = f"fault map of chip '{faults.chip[:80]}'"
    _check_types(faults, where)
    _check_cells(faults, target, where)
    _check_gains(faults, target, where)


def _check_types(faults: FaultRecord, where: str) -> None:
    """The tables have their type and shape; conductances are some."""
    cells, values = faults.cells, faults.conductance_us
    if cells.dtype != np.int32 or cells.ndim != 2 or cells.shape[1] != 4:
        raise ProgramError("CIMC-P24", f"is {cells.dtype} {list(cells.shape)}", where=where)
    if values.dtype != np.float32 or values.shape != (len(cells),):
        raise ProgramError(
            "CIMC-P24", f"conductances are {values.dtype} {list(values.shape)}", where=where
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ProgramError("CIMC-P24", "a conductance is not finite or negative", where=where)


def _check_cells(faults: FaultRecord, target: Target, where: str) -> None:
    """Each fault is a state that exists, of a cell that exists, each once and in order."""
    cells = faults.cells
    for k, limit in enumerate((target.arrays, target.array.rows, target.array.columns)):
        wrong = _outside(cells[:, k], limit)
        if wrong.size:
            raise ProgramError(
                "CIMC-P24", f"cell {cells[wrong[0], :3].tolist()} does not exist", where=where
            )
    if not np.isin(cells[:, 3], _STATES).all():
        raise ProgramError("CIMC-P24", f"a state is none of {_STATES}", where=where)
    first, second = cells[:-1, :3], cells[1:, :3]
    later = second[:, 2] > first[:, 2]
    for k in (1, 0):
        later = (second[:, k] > first[:, k]) | ((second[:, k] == first[:, k]) & later)
    wrong = np.flatnonzero(~later)
    if wrong.size:
        raise ProgramError(
            "CIMC-P24",
            f"cell {second[wrong[0]].tolist()} is listed twice or out of order",
            where=where,
        )


def _check_gains(faults: FaultRecord, target: Target, where: str) -> None:
    """Gains are of arrays that exist, one a cell, finite and not negative."""
    arrays = faults.gain_arrays
    gains = {"gain_lrs": faults.gain_lrs, "gain_hrs": faults.gain_hrs}
    given = {name: gain for name, gain in gains.items() if gain is not None}
    if (arrays is None) != (not given):
        raise ProgramError("CIMC-P24", "gains and their arrays go together", where=where)
    if arrays is None:
        return
    if arrays.dtype != np.int32 or arrays.ndim != 1:
        raise ProgramError(
            "CIMC-P24", f"gain_arrays is {arrays.dtype} {list(arrays.shape)}", where=where
        )
    if _outside(arrays, target.arrays).size or (np.diff(arrays.astype(np.int64)) <= 0).any():
        raise ProgramError(
            "CIMC-P24", "gain_arrays are not numbers of arrays, ascending", where=where
        )
    shape = len(arrays), target.array.rows, target.array.columns
    for name, gain in given.items():
        if gain.dtype != np.float32 or gain.shape != shape:
            raise ProgramError(
                "CIMC-P24",
                f"{name} is {gain.dtype} {list(gain.shape)}, not float32 {list(shape)}",
                where=where,
            )
        _check_factors(gain, arrays, f"{where}, {name}")


def _check_factors(
    gain: npt.NDArray[np.float32], arrays: npt.NDArray[np.int32], where: str
) -> None:
    """No factor is negative, infinite or missing; an array at a time."""
    for number, one in zip(arrays.tolist(), gain, strict=True):
        if one.size and not (one.min() >= 0 and np.isfinite(one.max())):  # NaN fails both
            row, column = (int(i) for i in np.argwhere(~(np.isfinite(one) & (one >= 0)))[0])
            raise ProgramError(
                "CIMC-P24",
                f"{one[row, column]:g} of cell {[number, row, column]} is no gain, finite and "
                "not negative",
                where=where,
            )


def _outside(numbers: npt.NDArray[np.int32], limit: int | None) -> npt.NDArray[Any]:
    """Return where numbers are not below a limit."""
    most = np.iinfo(np.int32).max if limit is None else limit
    return np.flatnonzero((numbers < 0) | (numbers >= most))
