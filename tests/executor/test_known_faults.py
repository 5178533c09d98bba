"""Stuck cells of a fault map are found where the tile table puts them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.known_faults import stuck_cells
from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS
from cimc.program.arrays import conductance_us
from cimc.program.model import DeviceProgram, FaultRecord
from tests.executor.programs import G_MAX, G_MIN, one_layer, quarters, target
from tests.program.factories import KINDS, mlp, with_maps


def grouped(encoding: str = "differential-pair") -> DeviceProgram:
    """Two groups of 6 x 5 in tiles of 4 x 2 cells of weights, each in an array of its own."""
    weight = quarters((10, 6, 1), 0)
    return one_layer(
        "conv", weight, Geometry("conv", 2, 6, 5, (1,)), ["n", 12, 3],
        attributes={"group": 2}, encoding=encoding, rows=4, columns=2,
    )  # fmt: skip


def with_faults(program: DeviceProgram, cells, conductances=None) -> DeviceProgram:
    table = np.array(cells, dtype=np.int32).reshape(-1, 4)
    given = np.zeros(len(table)) if conductances is None else np.array(conductances)
    return replace(program, faults=FaultRecord("chip-1", table, given.astype(np.float32)))


def physical(program: DeviceProgram, plane: int, group: int, row: int, column: int):
    """Array, row and column of one cell, worked out from the tile table."""
    layer = program.layers["w"]
    offset = layer.encoding == "offset-column"
    for tile in layer.tiles:
        t = dict(zip(TILE_FIELDS, tile.tolist(), strict=True))
        inside = 0 <= row - t["row"] < t["rows"] and 0 <= column - t["column"] < t["columns"]
        if t["group"] == group and inside:
            if not offset:
                bit_line = 2 * (column - t["column"]) + plane
            else:
                bit_line = t["columns"] if plane else column - t["column"]
            place = (t["array_row"] + row - t["row"], t["array_column"] + bit_line)
            return t["array"], *place
    raise AssertionError


@pytest.mark.parametrize("plane", [0, 1])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 5, 4), (0, 3, 1), (1, 4, 2), (1, 0, 3)])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_every_cell_is_found(encoding: str, place: tuple[int, int, int], plane: int) -> None:
    program = grouped(encoding)
    array, row, column = physical(program, plane, *place)
    found = stuck_cells(with_faults(program, [[array, row, column, 2]]))["w"]
    assert list(found) == [plane]
    group, line, weight = place
    shape = program.layers["w"].cells.planes[plane].shape
    last = weight // 2 if encoding == "offset-column" and plane else weight
    assert np.unravel_index(found[plane].index.numpy(), shape) == (group, line, last)
    assert found[plane].g_us.tolist() == [G_MAX]


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "signed"])
def test_all_cells_of_all_arrays(kind: str, mapped: bool) -> None:
    """Every place of every array at once: those with a cell are found, with their own value.

    Each place is stuck at a conductance of its own, so that what is found tells where it was; the
    places of cells are those where the physical view of the program shows them.
    """
    program = mlp(kind, extras=False)
    if mapped:
        program = with_maps(program)
    sizes = [conductance_us(program, k).shape for k in range(program.arrays)]
    places = np.concatenate(
        [
            np.stack([np.full(r * c, k), *np.divmod(np.arange(r * c), c)], axis=1)
            for k, (r, c) in enumerate(sizes)
        ]
    )
    own = np.arange(len(places), dtype=np.float32) / len(places) + 3.00017
    cells = np.column_stack([places, np.full(len(places), 3)]).astype(np.int32)
    found = stuck_cells(with_faults(program, cells, own))
    for name, layer in program.layers.items():
        values = [torch.zeros(plane.shape) for plane in layer.cells.planes]
        assert set(found[name]) == set(range(len(values)))
        for plane, stuck in found[name].items():
            values[plane].view(-1)[stuck.index] = stuck.g_us
            assert len(stuck.index.unique()) == values[plane].numel()
        # A program with these conductances shows each at the place it is stuck at.
        layers = dict(program.layers)
        shown = replace(layer.cells, planes=tuple(values), states_us=None)
        layers[name] = replace(layer, cells=shown)
        changed = replace(program, layers=layers)
        begin = 0
        for k, (r, c) in enumerate(sizes):
            matrix = conductance_us(changed, k)
            here = own[begin : begin + r * c].reshape(r, c)
            begin += r * c
            ours = np.isin(matrix, np.concatenate([v.flatten().numpy() for v in values]))
            assert (matrix[ours] == here[ours]).all()


def test_states() -> None:
    program = grouped()
    places = [physical(program, 0, 0, row, 0) for row in range(3)]
    cells = [[*place, state] for place, state in zip(places, (1, 2, 3), strict=True)]
    found = stuck_cells(with_faults(program, cells, [0, 0, 7.5]))["w"][0]
    assert sorted(found.g_us.tolist()) == [G_MIN, 7.5, G_MAX]


def test_places_without_weights_do_not_matter() -> None:
    cells = [[0, 0, 2, 2], [0, 1, 0, 2], [0, 5, 2, 2], [0, 1, 6, 2], [999, 1, 2, 2]]
    assert stuck_cells(with_faults(grouped(), cells)) == {}
    assert stuck_cells(grouped()) == {}


@pytest.mark.parametrize("mode", ["ideal", "noise-free", "chip"])
def test_stuck_in_every_mode_and_nowhere_else(mode: str) -> None:
    """The fault map is this chip's: nothing is drawn at the target's rates besides."""
    program = replace(grouped(), target=target(stuck={"at_g_max": 0.5}).plain())
    place = (1, 2, 3)
    faulty = with_faults(program, [[*physical(program, 0, *place), 2]])
    x = np.ones((1, 12, 3), dtype=np.float32)
    layer = program.layers["w"]
    plus, minus = (plane.clone() for plane in layer.cells.planes)
    plus[place] = G_MAX
    weight = layer.geometry.from_matrix((plus - minus) * layer.cells.gain, (10, 6, 1))
    expected = torch.conv1d(torch.from_numpy(x), weight, groups=2).numpy()
    y = Executor(faulty, mode).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_the_target_of_the_program_is_not_touched() -> None:
    program = grouped()
    before = program.layers["w"].cells.planes[0].clone()
    Executor(with_faults(program, [[*physical(program, 0, 0, 0, 0), 2]]), "ideal")
    assert torch.equal(program.layers["w"].cells.planes[0], before)
