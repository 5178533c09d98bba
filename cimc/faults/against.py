"""Does a fault map belong to this target, this program, this chip?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cimc.errors import FaultMapError, UsageError
from cimc.faults.extent import extent_of, no_such_array, target_of, used_arrays
from cimc.faults.fault_map import AT_CONDUCTANCE, FaultMap
from cimc.faults.ranges import write_ranges
from cimc.faults.reader import load_fault_map
from cimc.faults.sampling import require_conductances
from cimc.faults.validity import at, require_valid, shown
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.targets import Target

#: Largest conductance of a stuck cell, as a multiple of G_max: a short conducts more than any
#: state, but nanosiemens taken for microsiemens are a thousand times too many.
MOST_OF_G_MAX: Final = 100.0

#: Characters of a list of arrays in a message.
_LISTED: Final = 60


def checked(
    fault_map: FaultMap, subject: Target | DeviceProgram
) -> tuple[FaultMap, tuple[str, ...]]:
    """Check that a map is of a chip of this target, and fits this program.

    Arrays that a program does not use are checked and kept: its tiles may be moved there.

    Args:
        fault_map: The map.
        subject: A target, or a program and with it its target.

    Returns:
        The map, with the target's name and array size filled in where it did not say, and what
        the user should know.

    Raises:
        FaultMapError: ``CIMC-F02..F06`` the map is not valid; ``CIMC-F07`` it is of another
            target; ``CIMC-F08`` there is no such array, row or column; ``CIMC-F09`` arrays have
            another size; ``CIMC-F10`` gains have; ``CIMC-F12`` a conductance is out of range;
            ``CIMC-F14`` the target has no conductances.
    """
    where = f"fault map of chip {shown(fault_map.chip)}"
    require_valid(fault_map, where=where)
    target = target_of(subject)
    require_conductances(target)
    warnings = _require_target(fault_map, target, where)
    _require_size(fault_map, target, where)
    _require_places(fault_map, target, where)
    _require_gains(fault_map, subject, target, where)
    warnings += _require_range(fault_map, target, where)
    if isinstance(subject, DeviceProgram):
        warnings += _not_described(fault_map, subject)
    size = target.array
    known = replace(
        fault_map, target=target.name, array_rows=size.rows, array_columns=size.columns
    )
    return known, tuple(warnings)


def require_same_chip(
    fault_map: FaultMap, program: DeviceProgram, *, any_chip: bool = False
) -> None:
    """Refuse the map of another chip than the one a program was compiled for.

    Args:
        fault_map: The map.
        program: Compiled for one chip, or for any.
        any_chip: The user wants to know what the program does on another chip.

    Raises:
        FaultMapError: ``CIMC-F11``.
    """
    made_for = None if program.faults is None else program.faults.chip
    if made_for is not None and made_for != fault_map.chip and not any_chip:
        raise FaultMapError(
            "CIMC-F11",
            f"the fault map is of chip {shown(fault_map.chip)}, the program of chip "
            f"{shown(made_for)}",
            hint="the program recompiled for that chip, or --any-chip to see what this one does",
        )


def require_map_for_any_chip(fault_map: FaultMap | str | Path | None, any_chip: bool) -> None:
    """Refuse ``--any-chip`` where no fault map is given.

    Raises:
        UsageError: ``CIMC-U06``.
    """
    if any_chip and fault_map is None:
        raise UsageError(
            "CIMC-U06", "--any-chip is given without a fault map", hint="--fault-map F"
        )


def laid_over(
    program: DeviceProgram, fault_map: FaultMap | str | Path, *, any_chip: bool = False
) -> tuple[DeviceProgram, tuple[str, ...]]:
    """Return a program as it is on a chip with these faults; its cells are not changed.

    Args:
        program: What was written to the chip.
        fault_map: A map, or its file.
        any_chip: Let a program for one chip run on another.

    Returns:
        The program with the faults in place of its own, and what the user should know.

    Raises:
        FaultMapError: See :func:`cimc.faults.load_fault_map`, :func:`checked`,
            :func:`require_same_chip`.
    """
    given = fault_map if isinstance(fault_map, FaultMap) else load_fault_map(fault_map)
    known, warnings = checked(given, program)
    require_same_chip(known, program, any_chip=any_chip)
    return replace(program, faults=known.record()), warnings


def same_faults(one: FaultRecord | None, other: FaultRecord | None) -> bool:
    """Return whether cells are alike on two chips, whatever they are called."""
    if one is None or other is None:
        return one is other
    names = ("cells", "conductance_us", "gain_arrays", "gain_lrs", "gain_hrs")
    pairs = [(getattr(one, n), getattr(other, n)) for n in names]
    return all(
        a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs
    )


def _require_target(fault_map: FaultMap, target: Target, where: str) -> list[str]:
    if not fault_map.target:
        return [
            f"{where} does not say of which target the chip is; '{target.name}' is taken for it"
        ]
    if fault_map.target != target.name:
        raise FaultMapError(
            "CIMC-F07",
            f"the fault map is of a chip of target {shown(fault_map.target)}, not of "
            f"'{target.name}'",
            where=where,
        )
    return []


def _require_size(fault_map: FaultMap, target: Target, where: str) -> None:
    size = target.array
    pairs = ((fault_map.array_rows, size.rows), (fault_map.array_columns, size.columns))
    if any(said is not None and said != real for said, real in pairs):
        said, real = (" x ".join(str(p[i] or "any number") for p in pairs) for i in (0, 1))
        raise FaultMapError(
            "CIMC-F09",
            f"the fault map is of arrays of {said} cells, target '{target.name}' has arrays of "
            f"{real}",
            where=where,
        )


def _require_places(fault_map: FaultMap, target: Target, where: str) -> None:
    """Every array, row and column exists."""
    arrays, cells = fault_map.arrays, fault_map.cells
    if target.arrays is not None and len(arrays) and arrays[-1] >= target.arrays:
        raise no_such_array(int(arrays[-1]), target, where=where)
    for index, what, limit in ((1, "row", target.array.rows), (2, "column", target.array.columns)):
        if limit is None:
            continue
        wrong = np.flatnonzero(cells[:, index] >= limit)
        if wrong.size:
            raise FaultMapError(
                "CIMC-F08",
                f"there is no {what} {cells[wrong[0], index]}: an array of target "
                f"'{target.name}' has {limit}",
                where=at(cells, wrong[0], where),
                hint=f"{what}s counted from 0",
            )


def _require_gains(
    fault_map: FaultMap, subject: Target | DeviceProgram, target: Target, where: str
) -> None:
    """There is a factor for every cell of an array with gains."""
    numbers = fault_map.gain_arrays
    gain = fault_map.gain_lrs if fault_map.gain_lrs is not None else fault_map.gain_hrs
    if numbers is None or gain is None:
        return
    size = (target.array.rows, target.array.columns)
    wrong = any(n is not None and n != g for n, g in zip(size, gain.shape[1:], strict=True))
    wanted = " x ".join("any" if n is None else str(n) for n in size)
    if not wrong and None in size and isinstance(subject, DeviceProgram):
        extent = extent_of(subject)
        used = np.isin(extent.arrays, numbers)
        most = [int(n[used].max(initial=0)) for n in (extent.rows, extent.columns)]
        wrong = any(g < n for g, n in zip(gain.shape[1:], most, strict=True))
        wanted = f"at least {most[0]} x {most[1]}"
    if wrong:
        raise FaultMapError(
            "CIMC-F10",
            f"gains are of arrays of {gain.shape[1]} x {gain.shape[2]} cells, not of {wanted}",
            where=where,
        )


def _require_range(fault_map: FaultMap, target: Target, where: str) -> list[str]:
    """No conductance is far from what cells of the target can have."""
    own = fault_map.cells[:, 3] == AT_CONDUCTANCE
    if not own.any():
        return []
    values, g_max = fault_map.conductance_us, target.cell.g_max_us
    wrong = np.flatnonzero(own & (values > MOST_OF_G_MAX * g_max))
    if wrong.size:
        raise FaultMapError(
            "CIMC-F12",
            f"{values[wrong[0]]:g} uS is more than {MOST_OF_G_MAX:g} times the highest "
            f"conductance of the target's cells, {g_max:g} uS",
            where=at(fault_map.cells, wrong[0], where),
            hint="conductances in uS",
        )
    largest = float(values[own].max())
    if 0 < largest < g_max / 1e4:
        return [
            f"{where}: no stuck cell conducts more than {largest:g} uS where states reach "
            f"{g_max:g} uS; conductances are taken in uS"
        ]
    return []


def _not_described(fault_map: FaultMap, program: DeviceProgram) -> list[str]:
    missing = np.setdiff1d(used_arrays(program), fault_map.arrays)
    if not missing.size:
        return []
    return [
        f"fault map of chip {shown(fault_map.chip)} does not describe {count_of(missing)} the "
        f"program uses ({listed(missing)}); their cells count as healthy"
    ]


def count_of(arrays: npt.NDArray[np.int32]) -> str:
    """Return a number of arrays in words."""
    return "1 array" if len(arrays) == 1 else f"{len(arrays)} arrays"


def listed(arrays: npt.NDArray[np.int32]) -> str:
    """Return numbers of arrays, shortened."""
    text = write_ranges(arrays)
    return text if len(text) <= _LISTED else text[:_LISTED].rpartition(",")[0] + ", ..."
