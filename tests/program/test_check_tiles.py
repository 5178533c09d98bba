from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program.check import check
from cimc.program.check_tiles import _check_overlaps
from tests.program.factories import KINDS, mlp

rectangles = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 7),
        st.integers(1, 4),
        st.integers(0, 7),
        st.integers(1, 4),
    ),
    max_size=7,
)


def overlap(tiles: list[tuple[int, ...]]) -> bool:
    """The definition: paint the cells."""
    painted = np.zeros((2, 12, 12), int)
    for array, top, rows, left, columns in tiles:
        painted[array, top : top + rows, left : left + columns] += 1
    return bool((painted > 1).any())


@given(rectangles)
def test_sweep_finds_an_overlap_exactly_when_painting_does(tiles):
    place = [(a, t, t + r, x, x + c) for a, t, r, x, c in tiles]
    table = np.array(place, np.int64).reshape(-1, 5)
    if not overlap(tiles):
        _check_overlaps(table)
        return
    with pytest.raises(ProgramError, match="overlap"):
        _check_overlaps(table)


def test_tiles_may_touch_on_every_side():
    """Nine squares of 2 x 2 side by side, in any order."""
    squares = [(0, 2 * i, 2 * i + 2, 2 * j, 2 * j + 2) for i in range(3) for j in range(3)]
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(9)
        _check_overlaps(np.array(squares, np.int64)[order])
        wider = np.array(squares, np.int64)
        wider[4, 2 + seed % 2 * 2] += 1
        with pytest.raises(ProgramError, match="overlap"):
            _check_overlaps(wider[order])


@pytest.mark.parametrize("encoding", KINDS)
def test_order_of_tiles_does_not_matter(encoding):
    program = mlp(encoding)
    layer = program.layers["fc1"]
    turned = replace(layer, tiles=np.ascontiguousarray(layer.tiles[::-1]))
    check(replace(program, layers={**program.layers, "fc1": turned}))


@given(st.data())
def test_any_single_change_of_a_table_that_matters_is_refused(data):
    """Only the place may change, and only to another free place."""
    program = mlp()
    layer = program.layers["fc1"]
    tiles = layer.tiles.copy()
    row = data.draw(st.integers(0, len(tiles) - 1))
    column = data.draw(st.integers(0, 5))
    value = data.draw(st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 40))
    if tiles[row, column] == value:
        return
    tiles[row, column] = value
    changed = replace(program, layers={**program.layers, "fc1": replace(layer, tiles=tiles)})
    with pytest.raises(ProgramError) as caught:
        check(changed)
    assert caught.value.code == "CIMC-P20"


def test_a_tile_too_many_and_one_too_few():
    program = mlp()
    layer = program.layers["fc1"]
    for tiles in (
        layer.tiles[1:],
        layer.tiles[:-2],
        np.concatenate([layer.tiles, layer.tiles[:1]]),
    ):
        changed = {**program.layers, "fc1": replace(layer, tiles=tiles)}
        with pytest.raises(ProgramError) as caught:
            check(replace(program, layers=changed))
        assert caught.value.code == "CIMC-P20"
