"""Read a device program, trusting nothing in it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cimc.errors import ProgramError
from cimc.program import container_read, decode, encode, files, manifest, yamltext
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


@dataclass(frozen=True, slots=True)
class _Blob:
    """A tensor file: its size [bytes], its tensors, and what hashing found (None: not hashed)."""

    size: int
    tensors: dict[str, Tensor]
    listed: dict[str, tuple[str, list[int]]]
    scanned: BlobRecord | None


def _read(path: Path, verify: bool) -> DeviceProgram:
    names = names_in(path)
    sums, digest = read_sums(path, names)
    text = read_small(path / files.MANIFEST, MAX_MANIFEST)
    if verify:
        _compare(files.MANIFEST, sums[files.MANIFEST], hashlib.sha256(text).hexdigest())
    tensors = sorted(names - {files.SUMS, files.MANIFEST})
    # Hashing leaves the interpreter alone: the large files side by side.
    with ThreadPoolExecutor(len(tensors)) as pool:
        found = pool.map(lambda n: _open_blob(path / n, sums[n] if verify else None), tensors)
    blobs = dict(zip(tensors, found, strict=True))
    record = manifest.validated(
        yamltext.parse(_utf8(text), where=files.MANIFEST), where=files.MANIFEST
    )
    if blobs.keys() != record.files.keys():
        raise ProgramError(
            "CIMC-P03",
            f"the files are {', '.join(blobs)}, the manifest lists others",
            where=files.MANIFEST,
        )
    for name, blob in blobs.items():
        _check_listing(name, blob, record.files[name])
    program = decode.program(record, {name: b.tensors for name, b in blobs.items()}, digest)
    scanned = blobs[files.PROGRAM].scanned
    check(program, ranges=None if scanned is None else scanned.ranges)
    _check_summary(program, record)
    return program


def _open_blob(path: Path, digest: str | None) -> _Blob:
    """Map a tensor file; hash it when its sha256 is given."""
    name = path.name
    with opened(path) as (file, size):
        try:
            entries, head = container_read.read_header(file, size, where=name)
        except ProgramError:
            if digest is not None:  # damaged says more to the user than broken
                file.seek(0)
                _compare(name, digest, hashlib.file_digest(file, "sha256").hexdigest())
            raise
        scanned = None if digest is None else container_read.scan(file, entries, head)
        if scanned is not None and digest is not None:
            _compare(name, digest, scanned.sha256)
        tensors = container_read.views(file, entries, head, where=name)
    listed = {n: (e.dtype, list(e.shape)) for n, e in entries.items()}
    return _Blob(size, tensors, listed, scanned)


def _check_listing(name: str, blob: _Blob, record: manifest.FileRecord) -> None:
    """The manifest says of a tensor file what is in it."""
    listed = [(n, (t[0], t[1])) for n, t in record.tensors.items()]
    if listed != list(blob.listed.items()) or record.bytes != blob.size:
        raise ProgramError(
            "CIMC-P10", "the manifest lists other tensors than the file holds", where=name
        )
    if blob.scanned is None:
        return
    _compare(f"{files.MANIFEST}: {name}", record.sha256, blob.scanned.sha256)
    for tensor, found in blob.scanned.tensors.items():
        _compare(f"{name}: {tensor[:200]}", record.tensors[tensor][2], found.sha256)


def _compare(where: str, listed: str, found: str) -> None:
    if listed != found:
        raise ProgramError(
            "CIMC-P04",
            f"sha256 is {found[:16]}..., listed is {listed[:16]}...: the file has changed",
            where=where,
            hint="compiling again, or copying the program again",
        )


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
