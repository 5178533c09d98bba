"""The fault maps of a fleet: which chips there are, found without reading the maps whole."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import torch

from cimc.errors import CimcError, FaultMapError, UsageError
from cimc.faults import metadata
from cimc.faults.validity import require_chip_id
from cimc.program import container_read

SUFFIXES: Final = (".safetensors", ".csv")
#: Characters of a chip id that stay as they are in the name of its program; longest such name.
_PLAIN: Final = "-_."
_LONGEST: Final = 160
#: Longest text about a chip that is read [bytes].
_MOST: Final = metadata.MAX_BYTES

_CHIP: Final = re.compile(rb"^(?:\xef\xbb\xbf)?#[ \t]*chip[ \t]*:[ \t]*(.*?)[ \t\r]*$", re.M)


@dataclass(frozen=True, slots=True)
class Found:
    """A fault map in the directory.

    Attributes:
        chip: Id of the chip; the name of the file when it cannot be read.
        path: The file.
        readable: Whether it said what chip it is of.
        size: Of the file [bytes].
        mtime_ns: When it was changed last [ns].
    """

    chip: str
    path: Path
    readable: bool
    size: int
    mtime_ns: int

    @property
    def program(self) -> str:
        """Name of the program of this chip."""
        return program_name(self.chip)


def find_maps(directory: str | Path) -> list[Found]:
    """Return the fault maps of a directory, sorted by file name.

    Only what says which chip a map is of is read.  A file that says nothing is a chip that cannot
    be compiled, not an error: it stands under the name of the file.

    Raises:
        UsageError: CIMC-U07 the directory cannot be read, CIMC-U76 there are no fault maps, or
            two are of one chip.
    """
    folder = Path(directory)
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        found = [_found(path) for path in paths if not path.name.startswith(".")]
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            "CIMC-U07", f"cannot read or write: {why}", where=str(error.filename or folder)
        ) from error
    if not found:
        raise UsageError(
            "CIMC-U76",
            "there are no fault maps (*.safetensors, *.csv)",
            where=str(folder),
            hint="'cimc faults sample', or another --fault-maps",
        )
    seen: dict[str, Found] = {}
    for one in found:
        # Programs are files: names that differ in case only are one name on some systems.
        other = seen.setdefault(one.program.casefold(), one)
        if other is not one:
            raise UsageError(
                "CIMC-U76",
                f"two fault maps are of chip {one.chip!r}: {other.path.name} and {one.path.name}",
                where=str(folder),
                hint="removing one, or correcting the chip id in it",
            )
    return found


def _found(path: Path) -> Found:
    status = path.stat()
    try:
        chip, readable = chip_of(path), True
    except (CimcError, OSError):
        chip, readable = path.name, False
    return Found(chip, path, readable, status.st_size, status.st_mtime_ns)


def chip_of(path: Path) -> str:
    """Return the id of the chip a fault map is of, from as little of the file as it takes.

    A CSV file that does not say is of the chip it is named after.

    Raises:
        CimcError: It is not a fault map.
        OSError: It cannot be read.
    """
    if path.suffix.lower() == ".csv":
        said = _CHIP.search(path.read_bytes())
        chip = path.stem if said is None else said[1].decode(errors="replace")
    else:
        with path.open("rb") as file:
            entries, _ = container_read.read_header(file, path.stat().st_size, where=str(path))
            entry = entries.get("metadata")
            if entry is None or entry.dtype != "U8" or entry.stop - entry.start > _MOST:
                raise FaultMapError("CIMC-F02", "not a valid fault map", where=str(path))
            file.seek(entry.start, 1)
            text = bytearray(file.read(entry.stop - entry.start))
        chip = metadata.decode(torch.frombuffer(text, dtype=torch.uint8), where=str(path)).chip
    require_chip_id(chip, str(path))
    return chip


def program_name(chip: str) -> str:
    """Return the name of a chip's program: its id, what no file name should hold as ``%XX``."""
    name = quote(chip, safe=_PLAIN)
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 20]}-{hashlib.sha256(chip.encode()).hexdigest()[:16]}"
    return name + ".cim"
