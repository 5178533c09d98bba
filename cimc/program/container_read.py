"""Read a safetensors file that may be hostile: its header, its hashes, its tensors as views."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.program import container
from cimc.program.container import (
    DTYPES,
    MAX_AXES,
    MAX_HEADER,
    MAX_TENSORS,
    BlobRecord,
    Bytes,
    Entry,
    encode_header,
    layout,
)
from cimc.program.tally import Tally


def read_header(file: BinaryIO, size: int, *, where: str) -> tuple[dict[str, Entry], bytes]:
    """Read and check the header of a file of ``size`` bytes; return its entries and its bytes.

    Raises:
        ProgramError: ``CIMC-P09``, the file is not one :func:`write` could have written.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        raise _broken(f"header of {length} bytes in a file of {size}", where)
    text = file.read(length)
    try:
        entries = _entries(json.loads(text), where)
        canonical = encode_header(entries)
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        raise _broken("header is not readable", where) from error
    head = length.to_bytes(8, "little") + text
    if canonical != head:
        raise _broken("header is not in canonical form", where)
    end = max((e.stop for e in entries.values()), default=0)
    if len(head) + end != size:
        raise _broken(f"tensors take {end} bytes, the file holds {size - len(head)}", where)
    return entries, head


def _entries(data: Any, where: str) -> dict[str, Entry]:
    """Check types, bounds and order of a parsed header; offsets follow from them."""
    if not isinstance(data, dict) or len(data) > MAX_TENSORS:
        raise _broken(f"header is not a mapping of at most {MAX_TENSORS} tensors", where)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, entry in data.items():
        at = f"{where}: tensor {name[:80]!r}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise _broken("a tensor has exactly dtype, shape and data_offsets", at)
        dtype, shape = entry["dtype"], entry["shape"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise _broken(f"element type {str(dtype)[:20]!r} is not supported", at)
        if not isinstance(shape, list) or len(shape) > MAX_AXES:
            raise _broken(f"a shape is a list of at most {MAX_AXES} sizes", at)
        if not all(type(s) is int and 0 <= s < 1 << 48 for s in shape):
            raise _broken("a size is an integer, 0 or more and less than 2**48", at)
        shapes[name] = (dtype, tuple(shape))
    entries = layout(shapes)
    for name, e in entries.items():
        if data[name]["data_offsets"] != [e.start, e.stop]:
            raise _broken(
                "bytes overlap, leave a hole or do not fit the shape",
                f"{where}: tensor {name[:80]!r}",
            )
    return entries


def _broken(message: str, where: str) -> ProgramError:
    return ProgramError("CIMC-P09", f"not a valid safetensors file: {message}", where=where)


def scan(file: BinaryIO, entries: Mapping[str, Entry], head: bytes) -> BlobRecord:
    """Hash the rest of a file, after its header, tensor by tensor and with bounded memory."""
    tally = Tally(head)
    buffer = np.empty(container.CHUNK, np.uint8)
    for name, entry in entries.items():
        tally.begin(entry)
        left = entry.stop - entry.start
        while left:
            part = buffer[: min(left, len(buffer))]
            _fill(file, part)
            tally.add(part)
            left -= part.size
        tally.end(name, entry)
    return tally.record()


def _fill(file: BinaryIO, part: Bytes) -> None:
    done = 0
    view = part.data
    while done < len(view):
        count = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise ProgramError("CIMC-P09", "the file ends early", where=str(file.name))
        done += count


def views(
    file: BinaryIO, entries: Mapping[str, Entry], head: bytes, *, where: str
) -> dict[str, Tensor]:
    """Return the tensors of a file as views of a private memory map: pages are read when touched.

    Raises:
        ProgramError: ``CIMC-P09``, a boolean is neither 0 nor 1.
    """
    end = len(head) + max((e.stop for e in entries.values()), default=0)
    # Copy-on-write: torch wants writable memory, the file must never change.
    memory = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_COPY)
    tensors = {name: _view(memory, entry, len(head)) for name, entry in entries.items()}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bool and tensor.numel() and tensor.view(torch.uint8).max() > 1:
            raise _broken("a boolean is neither 0 nor 1", f"{where}: tensor {name[:80]!r}")
    return tensors


def _view(memory: mmap.mmap, entry: Entry, base: int) -> Tensor:
    dtype, count = DTYPES[entry.dtype], math.prod(entry.shape)
    if count == 0:
        return torch.empty(entry.shape, dtype=dtype)
    flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=base + entry.start)
    return flat.reshape(entry.shape)
