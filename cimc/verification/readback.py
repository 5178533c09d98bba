"""Read files of measured conductances that nobody vouches for.

Three forms, one float32 matrix ``(rows, columns)`` [uS] for each array of the program:
``.safetensors`` and ``.npz`` with tensors ``array_<number>`` (the id of the chip as metadata
``chip``, in an ``.npz`` as a text array ``chip``), and a folder of ``array_<number>.csv`` as
``cimc inspect --array`` writes them.  Sizes are checked before anything is loaded.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError, ProgramError
from cimc.program import measured
from cimc.program.measured import Matrix, Readback
from cimc.program.model import DeviceProgram
from cimc.verification.npz import read_npz

_NAME = re.compile(r"array_(0|[1-9][0-9]{0,8})")
_CHIP = "chip"
_CHIP_LENGTH = 200
#: Room for headers beside the numbers of a file, and for the longest decimal of a cell [byte].
_SLACK, _DECIMAL = 1 << 20, 32
_TYPES = ("float32", "float64")


def read_readback(path: str | Path, program: DeviceProgram) -> Readback:
    """Return what a file holds, checked against a program.

    Args:
        path: A ``.safetensors`` or ``.npz`` file, or a folder of CSV files.
        program: What the chip was programmed with.

    Raises:
        ProgramError: CIMC-P70 the file cannot be read, CIMC-P71 arrays are missing or unknown,
            CIMC-P72 a matrix has another shape or type, CIMC-P73 a value is no conductance,
            CIMC-P74 it is of another chip, or there are no conductances.
    """
    place = Path(path)
    limit = measured.cells(program)
    if place.is_dir():
        chip, tensors = "", _csv(place, limit)
    elif place.suffix.lower() == ".npz":
        chip, tensors = _npz(place, limit)
    else:
        chip, tensors = _safetensors(place, limit)
    arrays = {_number(name, place): _matrix(name, t, place) for name, t in tensors.items()}
    readback = Readback(str(path), chip, arrays)
    measured.check(program, readback)
    return readback


def _csv(folder: Path, limit: int) -> dict[str, npt.NDArray[Any]]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv")
    _require_size(sum(p.stat().st_size for p in found), limit * _DECIMAL, folder)
    tensors = {}
    for path in found:
        _number(path.stem, folder)  # before it is read
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an empty file
                tensors[path.stem] = np.loadtxt(
                    path, np.float32, delimiter=",", ndmin=2, comments=None, encoding="ascii"
                )
        except (ValueError, OSError, UserWarning) as error:
            raise _unreadable(path, str(error)) from error
    return tensors


def _npz(path: Path, limit: int) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    try:
        arrays = read_npz(path, limit=limit * 8 + _SLACK)
    except ModelError as error:
        raise _unreadable(path, str(error.args[0])) from error
    return _chip_text(arrays.pop(_CHIP, ""), path), arrays


def _safetensors(path: Path, limit: int) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        _require_size(path.stat().st_size, limit * 8, path)
        # The library checks the header, the bounds and the size of the file on opening.
        with safe_open(path, "numpy") as file:
            chip = _chip_text((file.metadata() or {}).get(_CHIP, ""), path)
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            for name, kind in kinds.items():
                if kind not in ("F32", "F64"):
                    raise _wrong_type(name, kind, path)
            return chip, {name: file.get_tensor(name) for name in kinds}
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except SafetensorError as error:
        raise _unreadable(path, f"not a safetensors file: {error}") from error


def _chip_text(value: Any, path: Path) -> str:
    if isinstance(value, np.ndarray):
        value = str(value) if value.ndim == 0 and value.dtype.kind == "U" else None
    if not isinstance(value, str) or len(value) > _CHIP_LENGTH or not value.isprintable():
        raise _unreadable(path, "the id of the chip is no short text")
    return value


def _number(name: str, path: Path) -> int:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ProgramError(
            "CIMC-P71",
            f"the read-back holds the unknown {name[:80]!r}",
            where=str(path),
            hint="matrices named array_0, array_1, ...",
        )
    return int(match[1])


def _matrix(name: str, array: npt.NDArray[Any], path: Path) -> Matrix:
    if array.dtype.name not in _TYPES:
        raise _wrong_type(name, array.dtype.name, path)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _wrong_type(name: str, kind: str, path: Path) -> ProgramError:
    return ProgramError(
        "CIMC-P72",
        f"'{name[:80]}' holds {kind}",
        where=str(path),
        hint="float32, one number a cell [uS]",
    )


def _require_size(size: int, limit: int, path: Path) -> None:
    if size > limit + _SLACK:
        raise _unreadable(path, f"{size} bytes are more than the arrays of the program take")


def _unreadable(path: Path, why: str) -> ProgramError:
    return ProgramError(
        "CIMC-P70",
        f"cannot read the measured conductances: {' '.join(why.split())[:300]}",
        where=str(path),
        hint="a .safetensors or .npz file with array_0, array_1, ..., or a folder of CSV files",
    )
