"""Write a device program: all of it, or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from cimc.errors import ProgramError
from cimc.program import container_write, encode, files, manifest, yamltext
from cimc.program.check import check
from cimc.program.container import BlobRecord
from cimc.program.directory import MAX_MANIFEST, sums_text
from cimc.program.model import DeviceProgram
from cimc.program.replace import replaced_directory

#: Levels of the manifest written in block style, by key; what is deeper takes one line.
_BLOCK_LEVELS: Final = {"provenance": 4, "target": 4, "files": 3}
#: Keys that begin a line in the records of a list, by the key of the list.
_BREAKS: Final = {"layers": ("geometry", "uses")}


def write(program: DeviceProgram, path: str | Path) -> str:
    """Write a program as a directory; return its sha256.

    The same program gives the same bytes.  Large tensors are streamed; they are not copied.  The
    directory appears under its name when it is complete; a program that is there already stays
    until then.

    Raises:
        ProgramError: ``CIMC-P10``..``CIMC-P24`` the program is not valid, ``CIMC-P25`` the path
            holds something that is not a program or cannot be written, ``CIMC-P26`` a value
            cannot be stored.
    """
    with replaced_directory(Path(path)) as temporary:
        blobs = {files.PROGRAM: encode.program_tensors(program)}
        if program.golden is not None and encode.can_be_replayed(program.golden):
            blobs[files.GOLDEN] = encode.golden_tensors(program.golden)
        if program.calibration is not None:
            blobs[files.CALIBRATION] = encode.calibration_tensors(program.calibration)
        # Hashing and writing leave the interpreter alone: the large files side by side.
        with ThreadPoolExecutor(len(blobs)) as pool:
            written = {n: pool.submit(_write_blob, temporary / n, t) for n, t in blobs.items()}
        records = {name: future.result() for name, future in written.items()}
        check(program, ranges=records[files.PROGRAM].ranges)
        text = manifest_text(program, records).encode()
        if len(text) > MAX_MANIFEST:
            raise ProgramError("CIMC-P26", f"a manifest of {len(text)} bytes is too large")
        _write_file(temporary / files.MANIFEST, text)
        sums = {name: record.sha256 for name, record in records.items()}
        sums[files.MANIFEST] = hashlib.sha256(text).hexdigest()
        listing = sums_text(sums).encode()
        _write_file(temporary / files.SUMS, listing)
    return hashlib.sha256(listing).hexdigest()


def manifest_text(program: DeviceProgram, records: dict[str, BlobRecord]) -> str:
    """Return the content of ``program.yaml``."""
    data = encode.manifest_data(program, records)
    manifest.validated(data, where=files.MANIFEST)
    return manifest_lines(data)


def manifest_lines(data: Mapping[str, Any]) -> str:
    """Return plain data as the text of a manifest."""
    lines = ["# Device program of cimc; docs/program-format.md describes it.  Not to be edited."]
    for key, value in data.items():
        if key in _BREAKS and value:
            lines.append(f"{key}:")
            lines += (line for item in value for line in yamltext.folded(item, _BREAKS[key]))
        else:
            lines += yamltext.block({key: value}, deep=_BLOCK_LEVELS.get(key, 1))
    return "\n".join(lines) + "\n"


def _write_blob(path: Path, sources: dict[str, container_write.Source]) -> BlobRecord:
    with path.open("xb") as file:
        record = container_write.write(file, sources)
        _sync(file.fileno())
    return record


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        _sync(file.fileno())


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
