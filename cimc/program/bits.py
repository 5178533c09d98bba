"""Pack state indices into bits, and back.

Each row of a plane is one little-endian bit string: state ``j`` of the row sits in bits
``[j * bits, (j + 1) * bits)``, least significant bit first, and the row is padded with zero bits
to whole bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.errors import ProgramError

#: States packed at a time [-]; bounds the working memory.
BLOCK: Final = 1 << 21

Bytes = npt.NDArray[np.uint8]


def bits_of(states: int) -> int:
    """Return the bits of a state index, ``max(1, ceil(log2(states)))``, for 1..256 states."""
    return max(1, (states - 1).bit_length())


def packed_bytes(columns: int, bits: int) -> int:
    """Return the bytes of one packed row."""
    return (columns * bits + 7) // 8


def pack(states: npt.NDArray[Any], bits: int) -> Bytes:
    """Pack state indices.

    Args:
        states: uint8 ``(n, columns)``, each below ``2**bits``.
        bits: Bits a state, 1..8.

    Returns:
        uint8 ``(n, packed_bytes(columns, bits))``.
    """
    rows, columns = states.shape
    if bits == 8:
        return np.ascontiguousarray(states, dtype=np.uint8)
    words = -(-columns // 8)
    padded = np.zeros((rows, words, 8), np.uint8)
    padded.reshape(rows, words * 8)[:, :columns] = states
    # Eight states fill exactly `bits` bytes: gather them in one 64-bit word.
    word = np.zeros((rows, words), np.dtype("<u8"))
    for k in range(8):
        word |= padded[:, :, k].astype("<u8") << np.uint64(k * bits)
    octets = word.view(np.uint8).reshape(rows, words, 8)[:, :, :bits]
    return octets.reshape(rows, words * bits)[:, : packed_bytes(columns, bits)]


def blocks(plane: npt.NDArray[Any], bits: int) -> Iterator[Bytes]:
    """Yield the packed rows of a plane ``(groups, rows, columns)``, some rows at a time."""
    columns = plane.shape[2]
    step = max(1, BLOCK // max(1, columns))
    for group in plane:
        for start in range(0, len(group), step):
            yield np.ascontiguousarray(pack(group[start : start + step], bits))


def unpack(packed: Bytes, columns: int, bits: int, *, where: str) -> Bytes:
    """Undo :func:`pack` for any leading axes.

    Args:
        packed: uint8 ``(..., packed_bytes(columns, bits))``.
        columns: States a row.
        bits: Bits a state.
        where: Named in the error.

    Returns:
        uint8 ``(..., columns)``.

    Raises:
        ProgramError: ``CIMC-P19``, a padding bit is not zero.
    """
    used = columns * bits % 8
    if used and (packed[..., -1] >> used).any():
        raise ProgramError("CIMC-P19", "padding bits of a packed row are not zero", where=where)
    flat = packed.reshape(-1, packed.shape[-1])
    out = np.empty((len(flat), columns), np.uint8)
    step = max(1, BLOCK // columns)
    for start in range(0, len(flat), step):
        out[start : start + step] = _unpack(flat[start : start + step], columns, bits)
    return out.reshape(*packed.shape[:-1], columns)


def _unpack(packed: Bytes, columns: int, bits: int) -> Bytes:
    if bits == 8:
        return packed
    rows, words = len(packed), -(-columns // 8)
    octets = np.zeros((rows, words * bits), np.uint8)
    octets[:, : packed.shape[1]] = packed
    word = np.zeros((rows, words, 8), np.uint8)
    word[:, :, :bits] = octets.reshape(rows, words, bits)
    wide = word.view("<u8").reshape(rows, words)
    mask = np.uint64((1 << bits) - 1)
    out = np.empty((rows, words, 8), np.uint8)
    for k in range(8):
        out[:, :, k] = (wide >> np.uint64(k * bits)) & mask
    return out.reshape(rows, words * 8)[:, :columns]
