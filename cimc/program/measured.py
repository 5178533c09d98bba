"""Conductances read back from a chip, and the cells of a program they are: ``--measured``.

The inverse of :mod:`cimc.program.arrays`: physical matrices, one an array, become the planes of
layers that the executor computes with.  This is type C of [GDQ §4.4]: a network as it was
programmed, with the conductances that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.program.arrays import MAX_CELLS, occupancy
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import Block, blocks, numbers, planes_of

Matrix = npt.NDArray[np.float32]

#: Arrays a message names.
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Readback:
    """What a tester read from one chip.

    Attributes:
        name: Where it comes from, for messages and reports.
        chip: Id of the chip; '' when the file does not say.
        arrays: By number of the array, float32 ``(rows, columns)`` [uS]; NaN where no cell was
            read.
    """

    name: str
    chip: str
    arrays: Mapping[int, Matrix]


def shapes(program: DeviceProgram) -> dict[int, tuple[int, int]]:
    """Return rows and columns of every array in use, as its read-back must have them."""
    found = occupancy(program)
    sizes = zip(found.rows.tolist(), found.columns.tolist(), strict=True)
    return dict(zip(found.numbers.tolist(), sizes, strict=True))


def check(program: DeviceProgram, readback: Readback) -> None:
    """Check that a read-back is of this program's arrays.

    Raises:
        ProgramError: CIMC-P71 arrays are missing or unknown, CIMC-P72 a matrix has another shape,
            CIMC-P73 a conductance is negative or infinite, CIMC-P74 it is of another chip, or
            the program has no conductances.
    """
    _require_conductances(program, readback)
    wanted = shapes(program)
    missing = [k for k in wanted if k not in readback.arrays]
    unknown = sorted(readback.arrays.keys() - wanted.keys())
    ends = f"array_{min(wanted, default=0)}", f"array_{max(wanted, default=0)}"
    named = " to ".join(dict.fromkeys(ends))
    for what, some in (("lacks", missing), ("holds the unknown", unknown)):
        if some:
            listed = ", ".join(f"array_{k}" for k in some[:_LISTED])
            more = f" and {len(some) - _LISTED} more" if len(some) > _LISTED else ""
            raise ProgramError(
                "CIMC-P71",
                f"the read-back {what} {listed}{more}",
                where=readback.name,
                hint=f"{named}, one matrix each",
            )
    for number, matrix in readback.arrays.items():
        if matrix.shape != wanted[number]:
            raise ProgramError(
                "CIMC-P72",
                f"array {number} has {_size(wanted[number])} cells, its read-back "
                f"{_size(matrix.shape)}",
                where=readback.name,
                hint=f"'cimc inspect PROGRAM --array {number} -o G.csv' shows the layout",
            )
        _require_conductance(matrix, number, readback.name)


def _require_conductances(program: DeviceProgram, readback: Readback) -> None:
    if any(layer.encoding == "signed" for layer in program.layers.values()):
        raise ProgramError(
            "CIMC-P74",
            "the target computes with signed weights, not with conductances",
            where=readback.name,
            hint="a program compiled for an analog target",
        )
    mapped = "" if program.faults is None else program.faults.chip
    if mapped and readback.chip and readback.chip != mapped:
        raise ProgramError(
            "CIMC-P74",
            f"the read-back is of chip '{readback.chip}', the program of chip '{mapped}'",
            where=readback.name,
            hint="the program compiled for that chip",
        )


def _require_conductance(matrix: Matrix, number: int, name: str) -> None:
    wrong = np.isinf(matrix) | (matrix < 0)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ProgramError(
            "CIMC-P73",
            f"{matrix[row, column]:g} uS is no conductance",
            where=f"array {number}, row {row}, column {column} of {readback_name(name)}",
            hint="conductances [uS], 0 or more; nan where no cell was read",
        )


def readback_name(name: str) -> str:
    """Return what to call a read-back in a message."""
    return name or "the read-back"


def planes(program: DeviceProgram, readback: Readback) -> dict[str, tuple[Tensor, ...]]:
    """Return the conductance of every cell of every layer, plane by plane [uS].

    Args:
        program: What the chip was programmed with.
        readback: What was measured.

    Returns:
        By layer name, one float32 tensor a plane, in the shape of the planes of its cells.

    Raises:
        ProgramError: CIMC-P71..P74, see :func:`check`; CIMC-P73, a cell that is used was not
            read.
    """
    check(program, readback)
    return {
        name: tuple(_plane(layer, k, readback) for k in range(planes_of(layer)))
        for name, layer in program.layers.items()
    }


def _plane(layer: ProgramLayer, number: int, readback: Readback) -> Tensor:
    out = np.empty(tuple(layer.cells.planes[number].shape), np.float32)
    for block in blocks(layer, number):
        cells = readback.arrays[block.array][block.place]
        if np.isnan(cells).any():
            raise _not_read(layer, block, cells, readback)
        out[block.cells] = cells
    return torch.from_numpy(out)


def _not_read(
    layer: ProgramLayer, block: Block, cells: Matrix, readback: Readback
) -> ProgramError:
    row, column = (int(i) for i in np.argwhere(np.isnan(cells))[0])
    row, column = numbers(block.word_lines)[row], numbers(block.bit_lines)[column]
    return ProgramError(
        "CIMC-P73",
        f"a cell of layer '{layer.name}' was not read",
        where=f"array {block.array}, row {row}, column {column} of {readback_name(readback.name)}",
        hint="reading every cell in use; only idle cells may be nan",
    )


def cells(program: DeviceProgram) -> int:
    """Return the cells of all arrays of a program, the bound on what a read-back may hold.

    Raises:
        ProgramError: CIMC-P72, an array is too large to be one matrix.
    """
    sizes = [rows * columns for rows, columns in shapes(program).values()]
    if max(sizes, default=0) > MAX_CELLS:
        raise ProgramError("CIMC-P72", f"an array of {max(sizes)} cells is too large")
    return sum(sizes)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no axes"
