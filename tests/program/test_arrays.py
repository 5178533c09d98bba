from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import read, write
from cimc.program.arrays import conductance_us, occupancy, placements
from cimc.program.utilization import cell_utilization, layer_utilization
from tests.program.factories import mlp

CASES = [
    ("differential-pair", 16),
    ("differential-pair", None),
    ("offset-column", 5),
    ("offset-column", None),
    ("twin-arrays", 16),
    ("bit-sliced", 2),
    ("sliced-conductances", None),
    ("own-states", 16),
    ("signed", None),
]


def cell(layer, plane, group, row, column):
    """The conductance of one cell, the slow way."""
    value = layer.cells.planes[plane][group, row, column]
    states = layer.cells.states_us
    if states is not None and states.ndim == 2:
        states = states[group * layer.geometry.columns + column]
    return float(value) if states is None else float(states[int(value)])


@pytest.mark.parametrize(("encoding", "states"), CASES)
def test_every_cell_is_where_the_tile_table_says(encoding, states):
    program = mlp(encoding, states=states)
    idle = 0.0 if encoding == "signed" else 2.1
    arrays = [conductance_us(program, k) for k in range(program.arrays)]
    expected = [np.full_like(a, idle) for a in arrays]
    for layer in program.layers.values():
        starts = sorted({int(t[4]) for t in layer.tiles})
        for g, _, row, rows, column, columns, array, top, left in layer.tiles.tolist():
            for r in range(rows):
                line = expected[array][top + r]
                for c in range(columns):
                    first, *more = [
                        cell(layer, k, g, row + r, column + c)
                        for k in range(
                            1 if encoding == "offset-column" else len(layer.cells.planes)
                        )
                    ]
                    if encoding == "twin-arrays":
                        line[left + c] = first
                        expected[array + 1][top + r, left + c] = more[0]
                    else:
                        at = left + c * (1 + len(more))
                        line[at : at + 1 + len(more)] = [first, *more]
                if encoding == "offset-column":
                    line[left + columns] = cell(layer, 1, g, row + r, starts.index(column))
    for got, want in zip(arrays, expected, strict=True):
        assert got.dtype == np.float32
        assert np.array_equal(got, want)
        if encoding != "signed":
            assert got.shape == (32, 14 if encoding in ("offset-column", "twin-arrays") else 24)


def test_cells_are_at_their_physical_place_when_tiles_share_an_array():
    program = mlp()
    conv = program.layers["conv"]
    fc2 = program.layers["fc2"]
    # 18 x 10 cells of conv at (14, 14) of the array that holds 20 x 20 ... of fc2: moved below.
    tiles = np.array(fc2.tiles)
    place = conv.tiles.copy()
    place[0, 6:] = (0, 14, 14)
    tiles[0, 6:] = (1, 0, 0)
    fc1 = np.array(program.layers["fc1"].tiles)
    fc1[:, 6] = np.arange(len(fc1)) + 2
    layers = dict(program.layers)
    layers["conv"] = replace(conv, tiles=place)
    layers["fc2"] = replace(fc2, tiles=tiles)
    layers["fc1"] = replace(layers["fc1"], tiles=fc1)
    moved = replace(program, layers=layers)
    matrix = conductance_us(moved, 0)
    original = conductance_us(program, 0)
    assert np.array_equal(matrix[14:, 14:], original[:18, :10])
    assert (matrix[:14] == np.float32(2.1)).all()


@pytest.mark.parametrize("array", [-1, 8, 10**12])
def test_no_such_array(array):
    with pytest.raises(ProgramError, match="no array") as caught:
        conductance_us(mlp(), array)
    assert caught.value.code == "CIMC-P27"


def test_too_large_for_a_matrix(monkeypatch):
    monkeypatch.setattr("cimc.program.arrays.MAX_CELLS", 10)
    with pytest.raises(ProgramError, match="too large"):
        conductance_us(mlp("signed"), 0)


def test_occupancy_and_utilization():
    program = mlp()
    full = occupancy(program)
    # conv 18 x 5; fc1 in rows 32 + 32 + 16 by columns 12 + 8; fc2 20 x 10; two cells a weight
    assert full.tiles.tolist() == [1] * 8
    assert full.cells.tolist() == [180, 768, 512, 768, 512, 384, 256, 400]
    assert set(full.rows.tolist()) == {32}
    assert set(full.columns.tolist()) == {24}
    assert cell_utilization(program) == pytest.approx(3780 / (8 * 768))
    taken = layer_utilization(program)
    assert (taken["fc1"].weights, taken["fc1"].tiles, taken["fc1"].arrays) == (1600, 6, 6)
    assert taken["fc2"].utilization == pytest.approx(400 / 768)
    assert cell_utilization(mlp("signed")) == 1.0


def test_a_program_without_layers(tmp_path):
    program = mlp(extras=False)
    relu = replace(program.operations[1], inputs=("%x",))
    program = replace(
        program,
        operations=(relu,),
        constants={},
        layers={},
        arrays=0,
        results=("%r",),
    )
    write(program, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    assert cell_utilization(again) == 0.0
    assert occupancy(again).cells.tolist() == []
    with pytest.raises(ProgramError, match="no array 0"):
        placements(again, 0)


def test_views_of_a_read_program_are_those_of_the_written_one(stored):
    program, again = mlp(), read(stored)
    for k in range(program.arrays):
        assert np.array_equal(conductance_us(program, k), conductance_us(again, k))


def test_conductances_are_those_of_the_paper():
    """[GDQ §4.4]: dG = [-10.36, -0.57, 4.52, 15.75] uS over G_min = 2.1 uS."""
    program = mlp(states=None)
    layer = program.layers["conv"]
    plus, minus = (torch.full_like(p, 2.1) for p in layer.cells.planes)
    plus[0, 0, :4] = torch.tensor([2.1, 2.1, 6.62, 17.85])
    minus[0, 0, :4] = torch.tensor([12.46, 2.67, 2.1, 2.1])
    layers = {**program.layers}
    layers["conv"] = replace(layer, cells=replace(layer.cells, planes=(plus, minus)))
    row = conductance_us(replace(program, layers=layers), 0)[0, :8]
    assert row.tolist() == pytest.approx([2.1, 12.46, 2.1, 2.67, 6.62, 2.1, 17.85, 2.1])
