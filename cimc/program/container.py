"""One safetensors file: element types, the place of each tensor, the header.

The format: 8 bytes little-endian length of the header, the header (JSON, padded with spaces to a
multiple of 8), the tensors back to back.  Only one byte string is accepted for a given content:
tensors ordered by element type, then by name, as the safetensors library orders them; so every
tensor is aligned to its element size.  No metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

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
    """Return the length and the header of a file.

    Raises:
        ProgramError: ``CIMC-P26``, a name is not Unicode text, or there are too many tensors.
    """
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
