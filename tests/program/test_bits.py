from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program import bits


def naive(states: np.ndarray, width: int) -> bytes:
    """The definition: one little-endian bit string a row."""
    out = b""
    for row in states:
        number = sum(int(s) << (k * width) for k, s in enumerate(row))
        out += number.to_bytes(bits.packed_bytes(len(row), width), "little")
    return out


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_pack_is_the_definition_and_unpack_undoes_it(width, rows, columns, seed):
    states = np.random.default_rng(seed).integers(0, 1 << width, (rows, columns), dtype=np.uint8)
    packed = bits.pack(states, width)
    assert packed.tobytes() == naive(states, width)
    assert np.array_equal(bits.unpack(packed, columns, width, where=""), states)


@pytest.mark.parametrize(
    ("states", "expected"), [(1, 1), (2, 1), (3, 2), (16, 4), (17, 5), (256, 8)]
)
def test_bits_of(states, expected):
    assert bits.bits_of(states) == expected


def test_blocks_are_the_rows_in_order_whatever_their_number(monkeypatch):
    plane = np.random.default_rng(0).integers(0, 8, (2, 7, 11), dtype=np.uint8)
    whole = np.concatenate(list(bits.blocks(plane, 3)))
    monkeypatch.setattr(bits, "BLOCK", 25)
    parts = list(bits.blocks(plane, 3))
    assert len(parts) > 2
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.tobytes() == naive(plane.reshape(-1, 11), 3)
    packed = whole.reshape(2, 7, -1)
    assert np.array_equal(bits.unpack(packed, 11, 3, where=""), plane)


def test_padding_bits_must_be_zero():
    packed = bits.pack(np.zeros((2, 3), np.uint8), 3)
    packed[1, -1] |= 0x80
    with pytest.raises(ProgramError, match="padding") as caught:
        bits.unpack(packed, 3, 3, where="w")
    assert caught.value.code == "CIMC-P19"
