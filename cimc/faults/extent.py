"""Which arrays a chip or a program has, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.errors import FaultMapError
from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import DeviceProgram
from cimc.program.positions import Lines, blocks, planes_of
from cimc.targets import Target

_ARRAY = TILE_FIELDS.index("array")


@dataclass(frozen=True, slots=True)
class Extent:
    """Arrays and their sizes.

    Attributes:
        arrays: Their numbers, ascending, int32 ``(k,)``.
        rows: Word lines of each, int64 ``(k,)``; of an unlimited array those in use.
        columns: Bit lines of each, likewise.
    """

    arrays: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    @property
    def cells(self) -> int:
        """Cells of all arrays [-]."""
        return int(self.rows @ self.columns)


def target_of(subject: Target | DeviceProgram) -> Target:
    """Return the target that something is for."""
    if isinstance(subject, Target):
        return subject
    return Target.from_plain(dict(subject.target), name="the program's target")


def extent_of(
    subject: Target | DeviceProgram, numbers: npt.NDArray[np.int32] | None = None
) -> Extent:
    """Return the arrays of a whole chip, those a program uses, or certain ones.

    Args:
        subject: A target, or a program and with it its target.
        numbers: Only these, used or not, ascending.

    Raises:
        FaultMapError: ``CIMC-F08`` there is no such array; ``CIMC-F13`` the target does not limit
            its chips or arrays.
    """
    if isinstance(subject, DeviceProgram) and numbers is None:
        return _of_program(subject)
    target = target_of(subject)
    size = target.array
    if (numbers is None and target.arrays is None) or size.rows is None or size.columns is None:
        what = "arrays" if target.arrays is None else "cells of an array"
        raise FaultMapError(
            "CIMC-F13",
            f"target '{target.name}' does not limit the number of {what}",
            hint="the arrays that a program uses",
        )
    if numbers is None:
        numbers = np.arange(target.arrays or 0, dtype=np.int32)
    if target.arrays is not None and len(numbers) and numbers[-1] >= target.arrays:
        raise no_such_array(int(numbers[-1]), target)
    rows, columns = (np.full(len(numbers), n, np.int64) for n in (size.rows, size.columns))
    return Extent(numbers, rows, columns)


def no_such_array(number: int, target: Target, *, where: str = "") -> FaultMapError:
    """Return the error of an array beyond the last of a chip."""
    return FaultMapError(
        "CIMC-F08",
        f"there is no array {number}: a chip of target '{target.name}' has {target.arrays}",
        where=where,
        hint="arrays counted from 0",
    )


def used_arrays(program: DeviceProgram) -> npt.NDArray[np.int32]:
    """Return the numbers of the arrays that hold weights, ascending, int32 ``(k,)``."""
    found = [np.zeros(0, np.int32)]
    for layer in program.layers.values():
        numbers = layer.tiles[:, _ARRAY]
        found += [numbers, numbers + 1] if layer.twin else [numbers]
    return np.unique(np.concatenate(found)).astype(np.int32)


def _of_program(program: DeviceProgram) -> Extent:
    size = target_of(program).array
    arrays = used_arrays(program)
    rows, columns = (np.full(len(arrays), n or 0, np.int64) for n in (size.rows, size.columns))
    if size.rows is None or size.columns is None:
        used = _lines_in_use(program, arrays)
        rows = used[:, 0] if size.rows is None else rows
        columns = used[:, 1] if size.columns is None else columns
    return Extent(arrays, rows, columns)


def _lines_in_use(program: DeviceProgram, arrays: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return word and bit lines of each array up to the last in use, int64 ``(k, 2)``."""
    out = np.zeros((len(arrays), 2), np.int64)
    index = {number: i for i, number in enumerate(arrays.tolist())}
    for layer in program.layers.values():
        for plane in range(planes_of(layer)):
            for block in blocks(layer, plane):
                place = out[index[block.array]]
                np.maximum(place, [_end(block.word_lines), _end(block.bit_lines)], out=place)
    return out


def _end(lines: Lines) -> int:
    """Return one more than the last of some lines."""
    return int(lines.stop if isinstance(lines, slice) else lines.max() + 1)
