"""The files of a program directory: listed, opened and summed without trusting any of them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from cimc.errors import ProgramError
from cimc.program import files

#: Bounds on the size of the files that are read whole [bytes].
MAX_SUMS: Final = 4096
MAX_MANIFEST: Final = 32 << 20

_LINE = re.compile(r"([0-9a-f]{64})  ([a-z.A-Z0-9]+)\n")


def sums_text(sums: Mapping[str, str]) -> str:
    """Return the content of ``SHA256SUMS``: sorted, as ``sha256sum`` prints it."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def names_in(path: Path) -> set[str]:
    """Return the names of the files of a program directory.

    Raises:
        ProgramError: ``CIMC-P01`` not a directory, ``CIMC-P03`` a file is missing, unknown or not
            a regular file.
    """
    names: set[str] = set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name not in files.ALLOWED:
                    raise ProgramError(
                        "CIMC-P03", f"{entry.name!r} is not a file of a program", where=str(path)
                    )
                if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                    raise ProgramError(
                        "CIMC-P03", f"{entry.name!r} is not a regular file", where=str(path)
                    )
                names.add(entry.name)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ProgramError(
            "CIMC-P01",
            f"not a readable program directory: {_reason(error)}",
            where=str(path),
            hint="a directory that 'cimc compile' or 'cimc recompile' wrote",
        ) from error
    missing = sorted(files.REQUIRED - names)
    if missing:
        code = "CIMC-P03" if names else "CIMC-P01"
        raise ProgramError(code, f"{missing[0]!r} is missing", where=str(path))
    return names


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file, never a link; yield it and its size [bytes].

    Raises:
        ProgramError: ``CIMC-P01``, it cannot be opened or read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ProgramError(
            "CIMC-P01", f"cannot be read: {_reason(error)}", where=str(path)
        ) from error


def read_small(path: Path, limit: int) -> bytes:
    """Read a whole file.

    Raises:
        ProgramError: ``CIMC-P05``, it is larger than ``limit`` bytes.
    """
    with opened(path) as (file, size):
        data = file.read(limit + 1) if size <= limit else None
    if data is None or len(data) > limit:
        raise ProgramError("CIMC-P05", f"larger than {limit} bytes ({size})", where=str(path))
    return data


def read_sums(path: Path, names: set[str]) -> tuple[dict[str, str], str]:
    """Read ``SHA256SUMS``; return sha256 by file name, and the digest of the program.

    Args:
        path: The program directory.
        names: Files that are there.

    Raises:
        ProgramError: ``CIMC-P02`` not in the exact form the writer uses, ``CIMC-P03`` it lists
            other files than those that are there.
    """
    where = str(path / files.SUMS)
    data = read_small(path / files.SUMS, MAX_SUMS)
    text = data.decode("ascii", errors="replace")
    sums = {name: digest for digest, name in _LINE.findall(text)}
    if sums_text(sums).encode() != data:
        raise ProgramError("CIMC-P02", "not in the form '<sha256>  <file>', sorted", where=where)
    differ = sorted(sums.keys() ^ (names - {files.SUMS}))
    if differ:
        raise ProgramError("CIMC-P03", f"the listed files differ: {differ[0]!r}", where=where)
    return sums, hashlib.sha256(data).hexdigest()
