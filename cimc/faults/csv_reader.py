"""Read a fault map from CSV: ``array,row,column,state[,conductance_uS]``.

Lines that start with ``#`` are comments; those of the form ``# name: value`` with a name of
:data:`NAMES` say what is known of the chip.  All lines are read at once by numpy; only when
something is wrong is the line looked for.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import FaultMapError
from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MIN, FaultMap
from cimc.faults.order import in_order, steps
from cimc.faults.ranges import read_ranges
from cimc.faults.validity import first_of_each, require_chip_id

#: Largest file that is read [byte].
SIZE_LIMIT: Final = 1 << 31
#: What comments can say.
NAMES: Final = (
    "chip", "target", "arrays", "array_rows", "array_columns", "temperature_k", "time_s",
)  # fmt: skip

_HEADER: Final = ("array", "row", "column", "state", "conductance_uS")
_BLANKS: Final = " \t"
_LARGEST: Final = (1 << 31) - 1
#: No value before the end of a line, or before a comment.
_EMPTY: Final = re.compile(r",[ \t]*(?=[\n#]|\Z)")
#: Blanks in a line that holds nothing else, but a comment.
_BLANK: Final = re.compile(r"^[ \t]+(?=[\n#]|\Z)", re.MULTILINE)


def read_csv(file: BinaryIO, size: int, chip: str | None, *, where: str) -> FaultMap:
    """Read a map from an open file.

    Args:
        file: Binary, at its start.
        size: Its length [byte].
        chip: Id of the chip where the file does not say.
        where: Name of the file, for messages.

    Raises:
        FaultMapError: ``CIMC-F01`` too large; ``CIMC-F03`` a line is wrong; ``CIMC-F04`` a cell
            is listed twice; ``CIMC-F06`` no chip id.
    """
    if size > SIZE_LIMIT:
        message = f"cannot read the fault map: {size} bytes of CSV, at most {SIZE_LIMIT} are read"
        raise FaultMapError("CIMC-F01", message, where=where, hint="a .safetensors file")
    content = file.read(size)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _wrong(where, line, 1, "the file is not UTF-8 text") from error
    reader = _Reader(text, where)
    about = reader.comments()
    cells, values = reader.cells()
    named = about.pop("arrays", None)
    arrays = cells[first_of_each(cells[:, 0]), 0].copy() if named is None else named
    reader.require_tested(cells, arrays)
    given = about.pop("chip", chip)
    require_chip_id(given or "", where)
    return FaultMap(
        given or "",
        about.pop("target", ""),
        arrays,
        cells,
        values,
        sha256=hashlib.sha256(content).hexdigest(),
        **about,
    )


class _Reader:
    """One text, and where everything stands in it."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._where = where

    def comments(self) -> dict[str, Any]:
        """Return what the comments say of the chip."""
        found: dict[str, Any] = {}
        for number, line in self._lines():
            name, colon, value = line.lstrip(" \t#").partition(":")
            name, value = name.strip(), value.strip()
            if not line.lstrip().startswith("#") or not colon or name not in NAMES:
                continue
            place = number, line.index(":") + 1 + (line.partition(":")[2] + " ").index(value) + 1
            if name in found:
                raise _wrong(self._where, *place, f"{name} is given twice")
            try:
                found[name] = _CONVERTERS[name](value)
            except ValueError as error:
                raise _wrong(self._where, *place, f"{name}: {error}") from error
        return found

    def cells(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the cells, sorted, and their conductances [uS]."""
        start, width = self._header()
        body = self._text[start:]
        try:
            table = _parsed(body, width)
        except ValueError as error:
            self._find(width)
            raise _wrong(self._where, 1, 1, str(error)) from error
        whole = table[:, :4]
        good = (whole >= 0) & (whole <= _LARGEST) & (whole == np.floor(whole))
        state = whole[:, 3]
        good[:, 3] &= (state >= AT_G_MIN) & (state <= AT_CONDUCTANCE)
        own = state == AT_CONDUCTANCE
        values = table[:, 4] if width == 5 else np.full(len(table), np.nan)
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        right = np.where(own, np.isfinite(single) & (values >= 0), np.isnan(values))
        if not (good.all() and right.all()):
            self._find(width)
            raise _wrong(self._where, 1, 1, "a value is wrong")
        cells = whole.astype(np.int32)
        sorted_cells, single = in_order(cells, np.where(own, single, np.float32(0)))
        self._require_once(sorted_cells, cells)
        return sorted_cells, single

    def require_tested(self, cells: npt.NDArray[np.int32], arrays: npt.NDArray[np.int32]) -> None:
        """The arrays with faults are among those that a comment names."""
        untested = np.setdiff1d(cells[:, 0], arrays)
        if untested.size:
            for number, line in self._data():
                if int(float(line.split(",")[0])) == untested[0]:
                    message = f"array {untested[0]} is not among the tested arrays"
                    raise _wrong(self._where, number, 1, message)

    def _require_once(
        self, cells: npt.NDArray[np.int32], as_written: npt.NDArray[np.int32]
    ) -> None:
        again = np.flatnonzero(steps(cells) == 0)
        if not again.size:
            return
        cell = cells[again[0], :3]
        index = np.flatnonzero((as_written[:, :3] == cell).all(axis=1))[:2].tolist()
        numbers = [number for number, _ in self._data()]
        raise FaultMapError(
            "CIMC-F04",
            f"array {cell[0]}, row {cell[1]}, column {cell[2]} is listed in line "
            f"{numbers[index[0]]} and again",
            where=f"{self._where}:{numbers[index[1]]}:1",
            hint="one line for each faulty cell",
        )

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield number and text of lines before the first cell, and of comments after it."""
        # Comments are rare and cells are many: look for '#' instead of going line by line.
        start = number = 0
        while (mark := self._text.find("#", start)) >= 0:
            begin = self._text.rfind("\n", 0, mark) + 1
            number += self._text.count("\n", start, begin)
            end = self._text.find("\n", mark)
            end = len(self._text) if end < 0 else end
            yield number + 1, self._text[begin:end]
            start = end

    def _header(self) -> tuple[int, int]:
        """Return where the line after the header starts, and the number of columns."""
        start = 0
        for number, line in enumerate(io.StringIO(self._text), start=1):
            start += len(line)
            content = line.partition("#")[0].strip()
            if not content:
                continue
            names = [name.strip() for name in content.split(",")]
            if tuple(names) == _HEADER[: len(names)] and len(names) in (4, 5):
                return start, len(names)
            raise _wrong(
                self._where,
                number,
                1,
                f"{content[:60]!r} is not the header array,row,column,state[,conductance_uS]",
                hint="one line of these names, commas between them, before the cells",
            )
        raise _wrong(self._where, 1, 1, "there is no header array,row,column,state")

    def _data(self) -> Iterator[tuple[int, str]]:
        """Yield number and text of the lines of cells."""
        header = False
        for number, line in enumerate(io.StringIO(self._text), start=1):
            content = line.partition("#")[0].rstrip("\n")
            if content.strip(_BLANKS) and header:
                yield number, content
            header = header or bool(content.strip())

    def _find(self, width: int) -> None:
        """Raise the error of the first line that is wrong."""
        for number, line in self._data():
            fields = line.split(",")
            if len(fields) != width:
                message = f"{len(fields)} values, not {width}"
                raise _wrong(self._where, number, 1, message)
            column = 1
            for name, field in zip(_HEADER, fields, strict=False):
                problem = _problem(name, field.strip(_BLANKS), fields[3].strip(_BLANKS))
                if not problem and width == 4 and name == "state" and int(float(field)) == 3:
                    problem = "state 3 needs the column conductance_uS"
                if problem:
                    blank = len(field) - len(field.lstrip(_BLANKS))
                    raise _wrong(self._where, number, column + blank, problem)
                column += len(field) + 1


def _parsed(body: str, width: int) -> npt.NDArray[np.float64]:
    """Return all lines as one table, float64 ``(n, width)``; NaN for an empty conductance.

    Raises:
        ValueError: A line has another number of values, or a value is no number.
    """
    body = _BLANK.sub("", body)
    if width == 5:
        body = _EMPTY.sub(",nan", body)
    lines = io.StringIO(body)
    if not body.partition("#")[0].strip() and "\n" not in body.strip():
        return np.empty((0, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file without faults
        table = np.loadtxt(lines, delimiter=",", dtype=np.float64, comments="#", ndmin=2)
    if not table.size:
        return np.empty((0, width))
    if table.shape[1] != width:
        raise ValueError(f"{table.shape[1]} values, not {width}")
    return table


def _problem(name: str, field: str, state: str) -> str:
    """Return what is wrong with a value; '' for nothing."""
    if name == "conductance_uS":
        if float(state) != AT_CONDUCTANCE:
            return f"a cell in state {state} has no conductance of its own" if field else ""
        given = _number(field)
        if given is None:
            if not field:
                return "state 3 needs a conductance_uS, and there is none"
            return f"{field[:40]!r} is not a conductance [uS]"
        good = 0.0 <= given <= float(np.finfo(np.float32).max)
        return "" if good else f"{field[:40]} uS is no conductance"
    value = _number(field)
    if value is None or value < 0 or not value.is_integer():
        return f"{name} {field[:40]!r} is not a whole number of 0 or more"
    if name == "state" and not AT_G_MIN <= value <= AT_CONDUCTANCE:
        return f"there is no state {field[:40]} (1 at G_min, 2 at G_max, 3 at its conductance)"
    return "" if value <= _LARGEST else f"{name} {field[:40]} is too large"


def _number(field: str) -> float | None:
    """Return a number that numpy would read too; None for what is none."""
    try:
        return (
            float(field) if field.isascii() and field.isprintable() and "_" not in field else None
        )
    except ValueError:
        return None


def _wrong(where: str, line: int, column: int, message: str, hint: str = "") -> FaultMapError:
    return FaultMapError("CIMC-F03", message, where=f"{where}:{line}:{column}", hint=hint)


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:12]) <= 1 << 30:
        raise ValueError(f"{text[:40]!r} is not a whole number of 1 or more")
    return int(text)


def _figure(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < np.inf:
        raise ValueError(f"{text[:40]!r} is not a number of 0 or more")
    return value


_CONVERTERS: Final[dict[str, Callable[[str], Any]]] = {
    "chip": str, "target": str, "arrays": read_ranges, "array_rows": _lines,
    "array_columns": _lines, "temperature_k": _figure, "time_s": _figure,
}  # fmt: skip
