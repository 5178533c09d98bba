"""What holds of every fault map, whatever chip or program it is for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import FaultMapError
from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MIN, FaultMap
from cimc.faults.order import steps

#: Longest chip id and target name [characters].
MAX_NAME: Final = 128
#: Most word or bit lines of an array: cells of one array are numbered in 64 bits [-].
MAX_LINES: Final = 1 << 30


def require_valid(fault_map: FaultMap, *, where: str = "") -> None:
    """Check everything that can be checked without the target.

    Args:
        fault_map: What to check.
        where: What to call it in messages; '' for its chip.

    Raises:
        FaultMapError: ``CIMC-F02`` an array has the wrong type, shape or order, or a figure is
            out of range; ``CIMC-F04`` a cell is listed twice; ``CIMC-F05`` a state or its
            conductance is wrong; ``CIMC-F06`` the chip id is; ``CIMC-F10`` gains are.
    """
    where = where or f"fault map of chip {shown(fault_map.chip)}"
    require_chip_id(fault_map.chip, where)
    if fault_map.target and not _is_name(fault_map.target):
        raise _broken(f"{shown(fault_map.target)} is no target name", where)
    _require_figures(fault_map, where)
    _require_numbers(fault_map.arrays, "numbers of the tested arrays", where)
    _require_cells(fault_map, where)
    _require_gains(fault_map, where)


def shown(name: object) -> str:
    """Return a name in quotes, shortened, for messages."""
    text = repr(str(name))
    return text if len(text) <= MAX_NAME else text[:60] + "...'"


def _is_name(name: object) -> bool:
    """Whether it is printable, no longer than allowed and without blanks at the ends."""
    good = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    return good and name == str(name).strip()


def require_chip_id(chip: object, where: str = "") -> None:
    """Check the id of a chip: printable characters, at least one, no blanks at the ends.

    Raises:
        FaultMapError: ``CIMC-F06``.
    """
    if not _is_name(chip):
        what = f"{shown(chip)} is no chip id" if chip else "the chip has no id"
        raise FaultMapError(
            "CIMC-F06",
            what,
            where=where,
            hint=f"1 to {MAX_NAME} printable characters; in a CSV file the line '# chip: ID'",
        )


def _require_figures(fault_map: FaultMap, where: str) -> None:
    for name in ("array_rows", "array_columns"):
        value: Any = getattr(fault_map, name)
        if value is not None and not (type(value) is int and 1 <= value <= MAX_LINES):
            raise _broken(f"{name} is {value!r}, not a whole number from 1 to {MAX_LINES}", where)
    for name in ("temperature_k", "time_s"):
        value = getattr(fault_map, name)
        if value is not None and not (isinstance(value, float) and 0.0 <= value < np.inf):
            raise _broken(f"{name} is {value!r}, not a finite number of 0 or more", where)


def _require_numbers(numbers: npt.NDArray[Any], what: str, where: str) -> None:
    """The numbers of arrays are int32, ascending, none twice, none negative."""
    if numbers.dtype != np.int32 or numbers.ndim != 1:
        raise _broken(f"{what}: {numbers.dtype} {list(numbers.shape)}, not int32 (k,)", where)
    if len(numbers) and (numbers[0] < 0 or (np.diff(numbers) <= 0).any()):
        raise _broken(f"{what} are negative or not ascending", where)


def _require_cells(fault_map: FaultMap, where: str) -> None:
    cells, values = fault_map.cells, fault_map.conductance_us
    if cells.dtype != np.int32 or cells.ndim != 2 or cells.shape[1] != 4:
        raise _broken(f"cells are {cells.dtype} {list(cells.shape)}, not int32 (n, 4)", where)
    if values.dtype != np.float32 or values.shape != (len(cells),):
        raise _broken(
            f"conductances are {values.dtype} {list(values.shape)}, not float32 ({len(cells)},)",
            where,
        )
    wrong = np.flatnonzero((cells[:, :3] < 0).any(axis=1))
    if wrong.size:
        raise FaultMapError("CIMC-F08", "there is no such cell", where=at(cells, wrong[0], where))
    require_states(cells, values, where)
    _require_order(cells, where)
    if not np.isin(cells[first_of_each(cells[:, 0]), 0], fault_map.arrays).all():
        number = np.setdiff1d(cells[:, 0], fault_map.arrays)[0]
        raise _broken(f"array {number} has faults but is not among the tested arrays", where)


def require_states(
    cells: npt.NDArray[np.int32], values: npt.NDArray[np.float32], where: str
) -> None:
    """Check the states of cells, and the conductances of those stuck at one of their own.

    Raises:
        FaultMapError: ``CIMC-F05``.
    """
    state = cells[:, 3]
    wrong = np.flatnonzero((state < AT_G_MIN) | (state > AT_CONDUCTANCE))
    if wrong.size:
        raise FaultMapError(
            "CIMC-F05",
            f"there is no state {state[wrong[0]]}",
            where=at(cells, wrong[0], where),
            hint="1 stuck at G_min, 2 stuck at G_max, 3 stuck at its conductance",
        )
    own = state == AT_CONDUCTANCE
    wrong = np.flatnonzero(np.where(own, ~np.isfinite(values) | (values < 0), values != 0))
    if wrong.size:
        value, place = values[wrong[0]], at(cells, wrong[0], where)
        if own[wrong[0]]:
            raise FaultMapError("CIMC-F05", f"{value:g} uS is no conductance", where=place)
        raise FaultMapError(
            "CIMC-F05",
            f"a cell in state {state[wrong[0]]} has a conductance of its own, {value:g} uS",
            where=place,
            hint="state 3 for cells stuck at a conductance, none given for the others",
        )


def _require_order(cells: npt.NDArray[np.int32], where: str) -> None:
    """Sorted by array, row and column, no cell twice."""
    step = steps(cells)
    if (step == 0).any():
        raise twice(cells[np.flatnonzero(step == 0)[0]], where)
    if (step < 0).any():
        raise _broken("cells are not sorted by array, row and column", where)


def twice(cell: npt.NDArray[np.int32], where: str) -> FaultMapError:
    """Return the error of a cell that is listed twice."""
    place = f"{where}: array {cell[0]}, row {cell[1]}, column {cell[2]}"
    return FaultMapError(
        "CIMC-F04", "the cell is listed twice", where=place, hint="one line for each faulty cell"
    )


def first_of_each(sorted_numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return where each run of equal numbers starts."""
    if not len(sorted_numbers):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.diff(sorted_numbers, prepend=sorted_numbers[0] - 1))


def _require_gains(fault_map: FaultMap, where: str) -> None:
    numbers = fault_map.gain_arrays
    gains = {n: getattr(fault_map, n) for n in ("gain_lrs", "gain_hrs")}
    if numbers is None:
        if any(g is not None for g in gains.values()):
            raise _gain("there are gains, but not of which arrays", where)
        return
    _require_numbers(numbers, "numbers of the arrays with gains", where)
    if not np.isin(numbers, fault_map.arrays).all():
        raise _gain("an array with gains is not among the tested arrays", where)
    if all(g is None for g in gains.values()):
        raise _gain("arrays with gains are listed, but there are no gains", where)
    size = (fault_map.array_rows, fault_map.array_columns)
    shapes = set()
    for name, gain in gains.items():
        if gain is None:
            continue
        shapes.add(gain.shape)
        if gain.dtype != np.float32 or gain.ndim != 3 or len(gain) != len(numbers):
            raise _gain(
                f"{name} is {gain.dtype} {list(gain.shape)}, "
                f"not float32 ({len(numbers)}, rows, columns)",
                where,
            )
        if any(s is not None and s != g for s, g in zip(size, gain.shape[1:], strict=True)):
            raise _gain(
                f"{name} is of arrays of {gain.shape[1]} x {gain.shape[2]} cells, "
                f"the map of arrays of {size[0]} x {size[1]}",
                where,
            )
        _require_factors(name, gain, numbers, where)
    if len(shapes) > 1:
        raise _gain(f"gain_lrs and gain_hrs have the shapes {sorted(shapes)}", where)


def _require_factors(
    name: str, gain: npt.NDArray[np.float32], numbers: npt.NDArray[np.int32], where: str
) -> None:
    """Every factor is finite and not negative; array by array, for gains can be large."""
    for number, values in zip(numbers.tolist(), gain, strict=True):
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise FaultMapError(
                "CIMC-F10",
                f"{name} {values[row, column]:g} is no factor of a conductance",
                where=f"{where}: array {number}, row {row}, column {column}",
                hint="finite factors of 0 or more, 1 for a cell like the mean",
            )


def at(cells: npt.NDArray[np.int32], index: int | np.integer[Any], where: str) -> str:
    """Return which cell a message is about."""
    array, row, column, _ = cells[index].tolist()
    return f"{where}: array {array}, row {row}, column {column}"


def _gain(message: str, where: str) -> FaultMapError:
    return FaultMapError("CIMC-F10", message, where=where)


def _broken(message: str, where: str) -> FaultMapError:
    return FaultMapError("CIMC-F02", f"not a valid fault map: {message}", where=where)
