"""Write and read one safetensors file in a stream, hashing on the way.

The format: 8 bytes little-endian length of the header, the header (JSON, padded with spaces to a
multiple of 8), the tensors back to back.  Only one byte string is accepted for a given content:
tensors ordered by element type, then by name, as the safetensors library orders them; so every
tensor is aligned to its element size.  No metadata.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ProgramError

#: Element types by their name in the file, in the order of the safetensors library.
DTYPES: Final[Mapping[str, torch.dtype]] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
_RANK = {name: rank for rank, name in enumerate(DTYPES)}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

#: Bounds of what is read [bytes], [-].
MAX_HEADER: Final = 8 << 20
MAX_TENSORS: Final = 100_000
MAX_AXES: Final = 32
#: Bytes moved at a time; a multiple of every element size.
CHUNK: Final = 4 << 20

#: Columns of a transposed view copied at a time [-].
_STRIP: Final = 256

Bytes = npt.NDArray[np.uint8]


def dtype_name(dtype: torch.dtype, *, where: str) -> str:
    """Return the name of an element type in the file.

    Raises:
        ProgramError: ``CIMC-P26``, the type cannot be stored.
    """
    if dtype not in _NAMES:
        raise ProgramError("CIMC-P26", f"element type {dtype} cannot be stored", where=where)
    return _NAMES[dtype]


def item_size(dtype: str) -> int:
    """Return the bytes of one element."""
    return DTYPES[dtype].itemsize


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor to be written: its type and shape, and its bytes a block at a time."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[Bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a stored tensor: element type, shape, sha256 of its bytes (hex)."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """What is known of a file: sha256 (hex), size [bytes], its tensors in file order.

    Attributes:
        sha256: Of the file.
        size: Of the file [bytes].
        tensors: By name.
        ranges: Least and greatest element of each F32 tensor; NaN when it holds one.
    """

    sha256: str
    size: int
    tensors: Mapping[str, Record]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor lies: byte range from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def of_tensor(tensor: Tensor, *, where: str) -> Source:
    """Return a tensor, contiguous or not, as something to write."""
    tensor = tensor.detach()
    return Source(
        dtype_name(tensor.dtype, where=where), tuple(tensor.shape), lambda: _blocks(tensor)
    )


def _blocks(tensor: Tensor) -> Iterator[Bytes]:
    """Yield the bytes of a tensor in C order, about ``CHUNK`` at a time, copying no more."""
    size = tensor.numel() * tensor.itemsize
    if size <= CHUNK or tensor.dim() == 0:
        if size:
            yield _bytes(tensor)
        return
    step = CHUNK * len(tensor) // size
    if step == 0:
        for part in tensor:
            yield from _blocks(part)
        return
    for start in range(0, len(tensor), step):
        yield _bytes(tensor[start : start + step])


def _bytes(part: Tensor) -> Bytes:
    """Return the bytes of a small tensor in C order."""
    if part.dim() > 1 and part.stride(-1) != 1:
        # A transposed view: copying in strips keeps the pages in reach, 2 x faster.
        whole = torch.empty(part.shape, dtype=part.dtype)
        for start in range(0, part.shape[-1], _STRIP):
            strip = slice(start, start + _STRIP)
            whole[..., strip] = part[..., strip]
        part = whole
    return part.contiguous().reshape(-1).view(torch.uint8).numpy()


def layout(shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Entry]:
    """Return the place of each tensor, in file order, given element type and shape by name."""
    entries: dict[str, Entry] = {}
    position = 0
    for name in sorted(shapes, key=lambda n: (-_RANK[shapes[n][0]], n)):
        dtype, shape = shapes[name]
        size = item_size(dtype) * math.prod(shape)
        entries[name] = Entry(dtype, shape, position, position + size)
        position += size
    return entries


def encode_header(entries: Mapping[str, Entry]) -> bytes:
    """Return the length and the header of a file."""
    data = {
        name: {"dtype": e.dtype, "shape": e.shape, "data_offsets": (e.start, e.stop)}
        for name, e in entries.items()
    }
    try:
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ProgramError("CIMC-P26", "a name is not Unicode text") from error
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER or len(entries) > MAX_TENSORS:
        raise ProgramError("CIMC-P26", f"{len(entries)} tensors are too many for one file")
    return len(text).to_bytes(8, "little") + text


class _Digest:
    """sha256 of a tensor and, when it is F32, the range of its elements."""

    def __init__(self, dtype: str) -> None:
        self.sha = hashlib.sha256()
        self.low, self.high = math.inf, -math.inf
        self.ranged = dtype == "F32"

    def update(self, data: Bytes) -> None:
        self.sha.update(data.data)
        if self.ranged and data.size:
            values = data.view(np.dtype("<f4"))
            # np.minimum keeps a NaN that is there already; min() of Python would not.
            self.low = float(np.minimum(self.low, values.min()))
            self.high = float(np.maximum(self.high, values.max()))


def write(file: BinaryIO, sources: Mapping[str, Source]) -> BlobRecord:
    """Write tensors to an open file; return what was written."""
    entries = layout({name: (s.dtype, s.shape) for name, s in sources.items()})
    head = encode_header(entries)
    total = hashlib.sha256(head)
    file.write(head)
    size = len(head)
    tensors: dict[str, Record] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, entry in entries.items():
        digest = _Digest(entry.dtype)
        for data in sources[name].blocks():
            file.write(data.data)
            total.update(data.data)
            digest.update(data)
            size += data.size
        tensors[name] = Record(entry.dtype, entry.shape, digest.sha.hexdigest())
        if digest.ranged:
            ranges[name] = (digest.low, digest.high)
    return BlobRecord(total.hexdigest(), size, tensors, ranges)


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
    total = hashlib.sha256(head)
    buffer = np.empty(CHUNK, np.uint8)
    tensors: dict[str, Record] = {}
    ranges: dict[str, tuple[float, float]] = {}
    size = len(head)
    for name, entry in entries.items():
        digest = _Digest(entry.dtype)
        left = entry.stop - entry.start
        while left:
            part = buffer[: min(left, CHUNK)]
            _fill(file, part)
            total.update(part.data)
            digest.update(part)
            left -= part.size
        size += entry.stop - entry.start
        tensors[name] = Record(entry.dtype, entry.shape, digest.sha.hexdigest())
        if digest.ranged:
            ranges[name] = (digest.low, digest.high)
    return BlobRecord(total.hexdigest(), size, tensors, ranges)


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
