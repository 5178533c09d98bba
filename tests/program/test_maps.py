"""Programs whose rows and columns lie on other lines: what is written, and what a tester loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cimc.program import read, write
from cimc.program.arrays import conductance_us, placements
from cimc.program.model import DeviceProgram
from cimc.program.positions import blocks, map_offsets, positions, tile_lines
from tests.program.factories import KINDS, mlp, plane_us, renumbered, target, with_gains, with_maps

MAPPED = tuple(kind for kind in KINDS if kind != "signed")


def painted(program: DeviceProgram, array: int) -> np.ndarray:
    """The matrix of an array, cell by cell as the format's page has it; NaN where none is."""
    size = program.target["array"]
    out = np.full((size["rows"], size["columns"]), np.nan, np.float32)
    for layer in program.layers.values():
        assert layer.word_lines is not None
        assert layer.bit_lines is not None
        offset = layer.encoding == "offset-column"
        word = bit = 0
        values = [plane_us(layer, k) for k in range(len(layer.cells.planes))]
        first_columns = sorted({int(tile[4]) for tile in layer.tiles})
        for g, _, row, rows, column, columns, number, _, _ in layer.tiles.tolist():
            for r in range(rows):
                line = layer.word_lines[word + r]
                for c in range(columns):
                    at = layer.bit_lines[bit + c]
                    for k, value in enumerate(values[:1] if offset else values):
                        on = number + k if layer.twin else number
                        if on == array:
                            assert np.isnan(out[line, at + (0 if layer.twin else k)])
                            here = at + (0 if layer.twin else k)
                            out[line, here] = value[g, row + r, column + c]
                if offset and number == array:
                    tile = first_columns.index(column)
                    out[line, layer.bit_lines[bit + columns]] = values[1][g, row + r, tile]
            word += rows
            bit += columns + offset
    return out


@pytest.mark.parametrize("kind", MAPPED)
def test_a_tester_loads_each_cell_where_the_map_says(kind: str) -> None:
    program = with_maps(mlp(kind))
    idle_us = np.float32(target(kind).cell.g_min_us)
    for array in range(program.arrays):
        wanted = painted(program, array)
        np.testing.assert_array_equal(
            conductance_us(program, array), np.where(np.isnan(wanted), idle_us, wanted)
        )


@pytest.mark.parametrize("kind", MAPPED)
def test_positions_and_blocks_agree_with_what_a_tester_loads(kind: str) -> None:
    program = with_maps(mlp(kind), 1)
    arrays = [conductance_us(program, k) for k in range(program.arrays)]
    for layer in program.layers.values():
        for plane, where in enumerate(positions(layer)):
            values = plane_us(layer, plane)
            for block in blocks(layer, plane):
                np.testing.assert_array_equal(
                    arrays[block.array][block.place], values[block.cells]
                )
            for k, matrix in enumerate(arrays):
                here = where.array == k
                place = where.word_line[here], where.bit_line[here]
                np.testing.assert_array_equal(matrix[place], values[here])


@pytest.mark.parametrize("which", ["word_lines", "bit_lines"])
@pytest.mark.parametrize("kind", MAPPED)
def test_a_map_of_lines_in_order_is_no_map(kind: str, which: str) -> None:
    program = mlp(kind)
    for name, layer in program.layers.items():
        word, bit = zip(*(tile_lines(layer, k) for k in range(len(layer.tiles))), strict=True)
        lines = np.concatenate(word if which == "word_lines" else bit)
        assert lines.dtype == np.int32
        assert len(lines) == map_offsets(layer)[which == "bit_lines"][-1]
        mapped = replace(layer, **{which: lines})
        for plane, (one, other) in enumerate(
            zip(positions(layer), positions(mapped), strict=True)
        ):
            np.testing.assert_array_equal(one.word_line, other.word_line, f"{name} {plane}")
            np.testing.assert_array_equal(one.bit_line, other.bit_line, f"{name} {plane}")
        for k in range(len(layer.tiles)):
            for one, other in zip(tile_lines(layer, k), tile_lines(mapped, k), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", MAPPED)
def test_what_is_written_is_read(kind: str, tmp_path: Path) -> None:
    program = with_gains(with_maps(mlp(kind), 2), [0, 3])
    data = program.calibration
    assert data is not None
    constants = {"bias": torch.linspace(-1, 1, 5)}
    program = replace(program, calibration=replace(data, constants=constants))
    digest = write(program, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    for name, layer in program.layers.items():
        same(layer.word_lines, again.layers[name].word_lines)
        same(layer.bit_lines, again.layers[name].bit_lines)
    assert again.faults is not None
    assert program.faults is not None
    for field in ("cells", "conductance_us", "gain_arrays", "gain_lrs", "gain_hrs"):
        same(getattr(program.faults, field), getattr(again.faults, field))
    assert again.calibration is not None
    assert torch.equal(again.calibration.constants["bias"], constants["bias"])
    assert write(again, tmp_path / "q.cim") == digest


def same(one: Any, other: Any) -> None:
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype


@pytest.mark.parametrize("which", ["gain_lrs", "gain_hrs"])
def test_one_end_state_may_be_known_alone(which: str, tmp_path: Path) -> None:
    program = with_gains(mlp(), [1])
    assert program.faults is not None
    program = replace(program, faults=replace(program.faults, **{which: None}))
    write(program, tmp_path / "p.cim")
    found = read(tmp_path / "p.cim").faults
    assert found is not None
    assert getattr(found, which) is None
    assert found.gain_arrays is not None


def test_arrays_may_have_any_number_of_the_chip(tmp_path: Path) -> None:
    """The matrices are those of the same program, under other numbers."""
    program = mlp()
    numbers = np.random.default_rng(0).permutation(24)[: program.arrays]
    moved = renumbered(program, numbers.tolist())
    write(moved, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    assert again.arrays == program.arrays
    for array, number in enumerate(numbers.tolist()):
        np.testing.assert_array_equal(
            conductance_us(program, array), conductance_us(again, number)
        )


def test_tiles_on_an_array_tell_their_lines() -> None:
    program = with_maps(mlp())
    (tile,) = placements(program, 1)
    layer = program.layers[tile.layer]
    assert tile.word_lines is not None
    assert tile.bit_lines is not None
    word, bit = tile_lines(layer, tile.tile)
    assert (tile.word_lines, tile.bit_lines) == (tuple(word), tuple(bit))
    (plain,) = placements(mlp(), 1)
    assert (plain.word_lines, plain.bit_lines) == (None, None)
