"""No cell in two tiles, whatever the lines, against painting the cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program import check_lines
from cimc.program.check import check
from cimc.program.check_lines import check_cells_used_once, mapped_arrays
from cimc.program.model import DeviceProgram
from cimc.program.positions import blocks, numbers, planes_of
from tests.program.factories import KINDS, mlp, with_maps

LINES = st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True)
TILES = st.lists(st.tuples(LINES, LINES), min_size=1, max_size=5)


def overlap(tiles: list[tuple[list[int], list[int]]]) -> bool:
    """The definition: paint the cells."""
    painted = np.zeros((7, 7), int)
    for words, bits in tiles:
        for word in words:
            for bit in bits:
                painted[word, bit] += 1
    return bool((painted > 1).any())


@pytest.mark.parametrize("way", ["_check_apart", "_check_sorted"])
@given(tiles=TILES)
def test_an_overlap_is_found_exactly_when_painting_finds_one(way, tiles):
    table = [("w", k, np.array(w), np.array(b)) for k, (w, b) in enumerate(tiles)]
    if not overlap(tiles):
        getattr(check_lines, way)(3, table)
        return
    with pytest.raises(ProgramError, match="overlap") as caught:
        getattr(check_lines, way)(3, table)
    assert caught.value.code == "CIMC-P21"
    assert "array 3" in caught.value.where


@pytest.mark.parametrize("far", [False, True])
def test_the_cell_and_the_tile_are_named(far, monkeypatch):
    if far:
        monkeypatch.setattr(check_lines, "_PAINTED", 0)
    tiles = [("v", 0, np.array([5, 2]), np.array([7])), ("w", 4, np.array([2]), np.array([8, 7]))]
    with pytest.raises(ProgramError, match="word line 2, bit line 7") as caught:
        check_lines._check_apart(0, tiles)
    assert caught.value.where == "array 0, layer 'w', tile 4"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "signed"])
def test_every_cell_of_a_tile_counts(kind):
    """The lines of a tile cross at its cells in all planes: G-, offsets and slices too."""
    program = with_maps(mlp(kind))
    for layer in program.layers.values():
        planes = range(planes_of(layer))
        for number in range(len(layer.tiles)):
            _, _, words, bits = check_lines._tile(layer, number)
            found = {(w, b) for w in words.tolist() for b in bits.tolist()}
            used = set()
            for block in (b for plane in planes for b in blocks(layer, plane, [number])):
                for word in numbers(block.word_lines).tolist():
                    used |= {(word, bit) for bit in numbers(block.bit_lines).tolist()}
            assert found == used
    arrays = {b.array for x in program.layers.values() for k in planes for b in blocks(x, k)}
    assert mapped_arrays(program).tolist() == sorted(arrays)


def sharing(bit_lines: list[int] | None) -> DeviceProgram:
    """Two layers on one array: 10 pairs from bit line 4 in order, and 5 pairs somewhere."""
    program = mlp()
    conv, fc2 = program.layers["conv"], program.layers["fc2"]
    array = int(conv.tiles[0, 6])
    assert program.arrays == 8
    assert len(conv.tiles) == len(fc2.tiles) == 1
    tiles = np.array([[0, 0, 0, 20, 0, 10, array, 0, 4]], np.int32)
    lines = None if bit_lines is None else np.array(bit_lines, np.int32)
    layers = {"conv": replace(conv, bit_lines=lines), "fc2": replace(fc2, tiles=tiles)}
    return replace(program, arrays=7, layers={**program.layers, **layers})


@pytest.mark.parametrize(
    ("bit_lines", "message"),
    [
        (None, "two tiles overlap"),
        ([0, 2, 4, 6, 8], "overlap at word line 0, bit line 4"),
        ([0, 2, 1, 6, 8], "bit line 1 holds two columns"),
        ([0, 2, 23, 6, 8], "bit line 23 of 24"),
    ],
)
def test_layers_with_and_without_maps_share_an_array(bit_lines, message):
    with pytest.raises(ProgramError, match=message) as caught:
        check(sharing(bit_lines))
    assert caught.value.code == "CIMC-P21"


def test_rows_between_those_of_another_layer_may_be_used():
    """12 rows of one tile and 18 of another, in turns, on the same bit lines."""
    program = sharing([0, 2, 4, 6, 8])
    conv, fc2 = program.layers["conv"], program.layers["fc2"]
    odd = np.array([*range(1, 24, 2), *range(24, 32)], np.int32)
    words = np.setdiff1d(np.arange(32), odd).astype(np.int32)
    assert len(words) == 12
    # Six rows too many for this array: two of them on word lines of the other tile.
    lines = np.concatenate([words, odd[:6]])
    apart = np.array([0, 2, 4, 6, 8], np.int32)
    layers = {
        "conv": replace(conv, word_lines=lines, bit_lines=apart),
        "fc2": replace(fc2, word_lines=odd),
    }
    check_cells_used_once(with_layers(program, layers, rows=12), np.array([0]))
    with pytest.raises(ProgramError, match="overlap at word line 1, bit line 4"):
        check_cells_used_once(with_layers(program, layers), np.array([0]))


def with_layers(program: DeviceProgram, layers: dict[str, Any], rows: int = 0) -> DeviceProgram:
    """Put layers into a program, the tile of ``conv`` of so many rows only (0: all)."""
    if rows:
        tiles = layers["conv"].tiles.copy()
        tiles[0, 3] = rows
        lines = layers["conv"].word_lines[:rows]
        layers = {**layers, "conv": replace(layers["conv"], tiles=tiles, word_lines=lines)}
    return replace(program, layers={**program.layers, **layers})
