from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import inspection, read
from cimc.program.arrays import conductance_us
from cimc.program.positions import positions
from tests.program.factories import KINDS, mlp, target, with_gains, with_maps


def test_summary(stored):
    program = read(stored)
    found = inspection.summary(program)
    assert found.sha256 == program.sha256
    assert (found.target, found.arrays, found.array_rows, found.array_columns) == (
        "rram",
        8,
        32,
        24,
    )
    assert found.inputs == ("x: float32 batchx2x6x6",)
    assert found.operators == {"gemm": 2, "relu": 2, "conv": 1, "flatten": 1}
    assert (found.layers, found.weights, found.digital_constants) == (3, 90 + 1600 + 200, 15)
    assert (found.golden, found.calibration, found.chip) == (3, 4, "chip-1")
    json.dumps(asdict(found))
    bare = inspection.summary(mlp("signed", extras=False))
    assert (bare.golden, bare.calibration, bare.chip, bare.array_rows) == (None, None, None, None)


def test_layers(stored):
    conv, fc1, _ = inspection.layers(read(stored))
    assert (conv.name, conv.kind, conv.shape, conv.kernel) == ("conv", "conv", (1, 18, 5), (3, 3))
    assert (fc1.row_tiles, fc1.tiles, fc1.arrays, fc1.states) == (3, 6, 6, 16)
    use = conv.uses[0]
    assert (use.operation, use.dac_bits, use.x_max, use.adc_bits) == ("conv", 8, 2.5, 8)
    assert use.adc_range_us == (40.0, 40.0)
    assert inspection.layers(mlp("signed"))[0].uses[0].adc_range_us is None
    json.dumps([asdict(x) for x in inspection.layers(mlp())])


@pytest.mark.parametrize("kind", KINDS)
def test_what_layers_take_adds_up(kind):
    program = mlp(kind, extras=False)
    found = inspection.layers(program)
    wide = {"signed": 1, "bit-sliced": 3, "sliced-conductances": 3}.get(kind, 2)
    for x in found:
        groups, rows, columns = x.shape
        weights, offsets = groups * rows * columns, x.cells - groups * rows * columns
        if kind == "offset-column":
            assert 0 < offsets <= weights
        else:
            assert x.cells == wide * weights
        assert x.slices == (3 if "sliced" in kind else None)
        assert 0 < x.utilization <= 1
    # In these programs no two layers share an array.
    assert sum(x.arrays for x in found) == program.arrays
    total = sum(inspection.array(program, k).cells_used for k in range(program.arrays))
    assert total == sum(x.cells for x in found)


def test_layer_by_its_name_or_that_of_its_parameter():
    program = mlp()
    assert inspection.layer(program, "fc1").name == "fc1"
    assert inspection.layer(program, "fc2.weight").name == "fc2"
    with pytest.raises(ProgramError, match="no crossbar layer 'fc9'") as caught:
        inspection.layer(program, "fc9")
    assert caught.value.code == "CIMC-P28"
    assert "conv, fc1, fc2" in caught.value.hint


def test_array():
    found = inspection.array(mlp(), 1)
    assert (found.rows, found.columns, found.cells_used) == (32, 24, 768)
    assert 2.09 < found.g_low_us < found.g_high_us <= 17.851
    (tile,) = found.tiles
    assert (tile.layer, tile.tile, tile.rows, tile.columns, tile.array_columns) == (
        *("fc1", 0, 32),
        *(12, 24),
    )


@pytest.mark.parametrize("encoding", KINDS)
def test_csv_gives_the_float32_back(tmp_path, encoding):
    program = mlp(encoding)
    path = tmp_path / "g.csv"
    inspection.write_csv(program, 0, path)
    matrix = conductance_us(program, 0)
    again = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
    assert np.array_equal(again, matrix)
    assert [p.name for p in tmp_path.iterdir()] == ["g.csv"]
    if encoding == "differential-pair":
        assert path.read_text().splitlines()[-1] == ",".join(["2.1"] * 24)


def test_csv_that_cannot_be_written(tmp_path):
    with pytest.raises(ProgramError) as caught:
        inspection.write_csv(mlp(), 0, tmp_path / "none" / "g.csv")
    assert caught.value.code == "CIMC-P25"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "signed"])
def test_what_is_known_of_the_chip(kind):
    """Of every second cell of array 0 and 2 stuck, those in use are counted."""
    program = with_gains(with_maps(mlp(kind)), [1, 5])
    rows, columns = target(kind).array.rows, target(kind).array.columns
    place = [(a, r, c, 1) for a in (0, 2) for r in range(rows) for c in range(r % 2, columns, 2)]
    cells = np.array(place, np.int32)
    known = replace(program.faults, cells=cells, conductance_us=np.zeros(len(cells), np.float32))
    program = replace(program, faults=known)
    expected = {
        name: sum(
            int((np.isin(p.array, (0, 2)) & (p.word_line % 2 == p.bit_line % 2)).sum())
            for p in positions(layer)
        )
        for name, layer in program.layers.items()
    }
    assert {x.name: x.faulty_cells for x in inspection.layers(program)} == expected
    found = inspection.summary(program)
    assert found.faulty_cells == sum(expected.values()) > 0
    assert (found.chip, found.measured_arrays, found.mapped_layers) == ("chip-1", 2, 3)
    assert all(x.word_line_map and x.bit_line_map for x in inspection.layers(program))
    bare = inspection.summary(mlp(kind, extras=False))
    assert (bare.faulty_cells, bare.measured_arrays, bare.mapped_layers) == (None, None, 0)
    assert {x.faulty_cells for x in inspection.layers(mlp(kind, extras=False))} == {None}


def test_columns_whose_cells_changed_places():
    program = mlp()
    layer = program.layers["fc1"]
    gain = torch.full((20,), 0.05)
    gain[[3, 7]] *= -1
    for values, count in ((gain, 2), (torch.full((1,), -0.05), 20)):
        cells = replace(layer.cells, gain=values)
        turned = replace(program, layers={**program.layers, "fc1": replace(layer, cells=cells)})
        assert inspection.layers(turned)[1].negative_gains == count
    assert inspection.layers(program)[1].negative_gains == 0
