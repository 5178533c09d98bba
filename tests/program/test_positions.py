"""Places of cells against the physical view of a program, which is worked out on its own."""

from __future__ import annotations

import numpy as np
import pytest

from cimc.program.arrays import conductance_us
from cimc.program.positions import blocks, positions
from tests.program.factories import KINDS, mlp, plane_us

ENCODINGS = KINDS


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_cell_is_found_on_its_array(encoding: str) -> None:
    program = mlp(encoding)
    arrays = [conductance_us(program, k) for k in range(program.arrays)]
    seen = [np.zeros(array.shape, int) for array in arrays]
    for layer in program.layers.values():
        for plane, where in enumerate(positions(layer)):
            assert {where.array.dtype, where.bit_line.dtype} == {np.dtype(np.int32)}
            for k in np.unique(where.array):
                here = where.array == k
                place = where.word_line[here], where.bit_line[here]
                np.testing.assert_array_equal(arrays[k][place], plane_us(layer, plane)[here])
                np.add.at(seen[k], place, 1)
    assert max(count.max() for count in seen) == 1  # no two cells at one place
    cells = sum(p.numel() for layer in program.layers.values() for p in layer.cells.planes)
    assert sum(count.sum() for count in seen) == cells


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_blocks_slice_the_same_cells(encoding: str) -> None:
    program = mlp(encoding)
    for layer in program.layers.values():
        for plane in range(len(layer.cells.planes)):
            for block in blocks(layer, plane):
                on_array = conductance_us(program, block.array)[block.word_lines, block.bit_lines]
                np.testing.assert_array_equal(on_array, plane_us(layer, plane)[block.cells])
