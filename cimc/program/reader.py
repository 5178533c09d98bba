"""Read a device program, trusting nothing in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cimc.errors import ProgramError
from cimc.program import container, decode, encode, files, manifest, yamltext
from cimc.program.check import check
from cimc.program.container import BlobRecord
from cimc.program.directory import MAX_MANIFEST, names_in, opened, read_small, read_sums
from cimc.program.model import DeviceProgram


def read(path: str | Path, *, verify: bool = True) -> DeviceProgram:
    """Read the program in a directory.

    Everything is checked before it is used: the list of files, every checksum, sizes and bounds,
    then the meaning.  Large tensors stay in the file, memory-mapped, until they are touched.

    Args:
        path: The directory.
        verify: Compare checksums; without it only structure and meaning are checked.

    Raises:
        ProgramError: ``CIMC-P01``..``CIMC-P24``, naming the file and what in it is wrong.
    """
    try:
        return _read(Path(path), verify)
    except ProgramError as error:
        error.where = f"{path}: {error.where}" if str(path) not in error.where else error.where
        raise
    except Exception as error:  # the promise is one kind of error for any content
        raise ProgramError(
            "CIMC-P39", f"cannot be read: {type(error).__name__}: {error}", where=str(path)
        ) from error


def _read(path: Path, verify: bool) -> DeviceProgram:
    names = names_in(path)
    sums, digest = read_sums(path, names)
    text = read_small(path / files.MANIFEST, MAX_MANIFEST)
    if verify:
        _compare(files.MANIFEST, sums[files.MANIFEST], _sha256(text))
    record = manifest.validated(
        yamltext.parse(_utf8(text), where=files.MANIFEST), where=files.MANIFEST
    )
    blobs = names - {files.SUMS, files.MANIFEST}
    if blobs != record.files.keys():
        raise ProgramError(
            "CIMC-P03", f"files are {sorted(blobs)}, the manifest lists {sorted(record.files)}"
        )
    tensors: dict[str, Mapping[str, Tensor]] = {}
    ranges: Mapping[str, tuple[float, float]] | None = None
    for name in sorted(blobs):
        tensors[name], found = _read_blob(path / name, record.files[name], verify)
        if name == files.PROGRAM and found is not None:
            ranges = found.ranges
        if verify:
            _compare(name, sums[name], record.files[name].sha256)
    program = decode.program(record, tensors, digest)
    check(program, ranges=ranges)
    _check_summary(program, record)
    return program


def _read_blob(
    path: Path, record: manifest.FileRecord, verify: bool
) -> tuple[dict[str, Tensor], BlobRecord | None]:
    """Map one blob; compare it with what the manifest says of it."""
    where = path.name
    with opened(path) as (file, size):
        if size != record.bytes:
            raise ProgramError(
                "CIMC-P04", f"{size} bytes, the manifest says {record.bytes}", where=where
            )
        entries, head = container.read_header(file, size, where=where)
        found = {name: (e.dtype, list(e.shape)) for name, e in entries.items()}
        listed = {name: (t[0], t[1]) for name, t in record.tensors.items()}
        if list(found.items()) != list(listed.items()):
            raise ProgramError(
                "CIMC-P10", "the manifest lists other tensors than the file holds", where=where
            )
        scanned = container.scan(file, entries, head) if verify else None
        if scanned is not None:
            _compare(where, record.sha256, scanned.sha256)
            for name, tensor in scanned.tensors.items():
                _compare(f"{where}: {name[:200]}", record.tensors[name][2], tensor.sha256)
        return container.views(file, entries, head, where=where), scanned


def _compare(where: str, listed: str, found: str) -> None:
    if listed != found:
        raise ProgramError(
            "CIMC-P04",
            f"sha256 is {found[:16]}..., listed is {listed[:16]}...: the file has changed",
            where=where,
            hint="compiling again, or copying the program again",
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProgramError(
            "CIMC-P06", f"not UTF-8 text (byte {error.start})", where=files.MANIFEST
        ) from error


def _check_summary(program: DeviceProgram, record: manifest.Manifest) -> None:
    """What the manifest says twice, for people, must agree with the tables."""
    derived = encode.arrays_data(program)
    if record.arrays.model_dump() != derived:
        raise ProgramError(
            "CIMC-P21",
            f"should be {yamltext.flow(derived)}",
            where=f"{files.MANIFEST}: arrays",
        )
