"""Read an ``.npz`` file nobody vouches for.

Sizes are taken from the headers and checked before anything is allocated, nothing is unpickled,
and an array whose header promises more than its file holds is refused.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt
from numpy.lib import format as npy

from cimc.errors import ModelError

Array = npt.NDArray[Any]

#: Largest total size of the arrays of a file [byte].
SIZE_LIMIT = 16 * 2**30
#: Most arrays in a file [-].
ARRAY_LIMIT = 1024
_HEADER_LIMIT = 10_000
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: str | Path, *, limit: int = SIZE_LIMIT) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file by name.

    Args:
        path: The file, as ``numpy.savez`` or ``numpy.savez_compressed`` writes it.
        limit: Largest total size of the arrays, unpacked [byte].

    Raises:
        ModelError: CIMC-M70 not an ``.npz`` file or damaged, CIMC-M75 pickled objects inside,
            CIMC-M76 too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            _check_sizes(archive, members, limit, path)
            return {name: _array(archive, info, path) for name, info in members.items()}
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise _unreadable(path, f"not an .npz file: {error}") from error


def _members(archive: zipfile.ZipFile, path: str | Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > ARRAY_LIMIT:
        raise ModelError(
            "CIMC-M76",
            f"{len(infos)} arrays in one file, at most {ARRAY_LIMIT} are read",
            where=str(path),
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise _unreadable(path, f"not an .npz file: holds {info.filename!r}")
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise _unreadable(path, f"array '{name}' is there twice")
        members[name] = info
    return members


def _check_sizes(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], limit: int, path: str | Path
) -> None:
    total = 0
    for name, info in members.items():
        with archive.open(info) as stream:
            size, header = _declared(stream, name, path)
        if header + size != info.file_size:
            raise _unreadable(path, f"array '{name}' is truncated or has bytes too many")
        total += size
        if total > limit:
            raise ModelError(
                "CIMC-M76",
                f"the arrays take {total / 2**30:.1f} GiB, the limit is {limit / 2**30:.1f} GiB",
                where=f"array '{name}' of {path}",
                hint="fewer samples: a few hundred suffice to calibrate, a few thousand to verify",
            )


def _declared(stream: IO[bytes], name: str, path: str | Path) -> tuple[int, int]:
    """Return the bytes an array needs and the length of its header, from the header alone."""
    try:
        version = npy.read_magic(stream)
        read = _HEADERS[version]
        shape, _, dtype = read(stream, max_header_size=_HEADER_LIMIT)
    except (ValueError, KeyError) as error:
        why = " ".join(str(error).split())
        raise _unreadable(path, f"array '{name}' has a broken header: {why}") from error
    if dtype.hasobject:
        raise ModelError(
            "CIMC-M75",
            f"array '{name}' holds pickled Python objects, which could run code when read",
            where=str(path),
            hint="saving plain numeric arrays (strings: a fixed-width dtype such as 'U16')",
        )
    if any(d < 0 for d in shape):
        raise _unreadable(path, f"array '{name}' has a broken header: shape {shape}")
    return math.prod(shape) * dtype.itemsize, stream.tell()


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | Path) -> Array:
    with archive.open(info) as stream:
        try:
            array: Array = npy.read_array(
                stream, allow_pickle=False, max_header_size=_HEADER_LIMIT
            )
        except ValueError as error:
            raise _unreadable(path, f"array {info.filename!r}: {error}") from error
    return array


def _unreadable(path: str | Path, why: str) -> ModelError:
    return ModelError(
        "CIMC-M70",
        f"cannot read the data file: {why}",
        where=str(path),
        hint="numpy.savez(file, INPUT_NAME=array, labels=labels)",
    )
