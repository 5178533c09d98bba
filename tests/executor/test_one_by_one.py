"""Groups driven one after the other where cells between them are faulty, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cimc.executor import Executor
from cimc.executor.one_by_one import made_for, notes
from cimc.executor.packing import packed
from cimc.executor.physics import physics_of
from cimc.program import read, write
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.program.positions import tile_lines
from tests.executor.test_maps import permuted
from tests.executor.test_packing import GROUPS, SIZE, device, grouped, run, samples
from tests.program.factories import mlp, with_gains


def record(*cells: tuple[int, ...]) -> FaultRecord:
    table = np.array(sorted(cells), np.int32).reshape(-1, 4)
    return FaultRecord("a", table, np.full(len(table), 2.0, np.float32))


def place(
    program: DeviceProgram, rows_of: int, columns_of: int, plane: int = 0
) -> tuple[int, ...]:
    """Where the rows of one group cross the columns of another of its block."""
    layer = program.layers["w"]
    word, bit = tile_lines(layer, rows_of)[0][1], tile_lines(layer, columns_of)[1]
    offset = layer.encoding == "offset-column"
    line = bit[plane] if offset else bit[0] + plane
    return int(layer.tiles[rows_of, 6]), int(word), int(line)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("plane", [0, 1])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_a_stuck_cell_between_groups(encoding: str, plane: int, mapped: bool) -> None:
    program = grouped(device(encoding=encoding), GROUPS, encoding)
    program = permuted(program) if mapped else program
    for rows_of, columns_of, state, apart in (
        (0, 2, 2, True),
        (6, 5, 2, True),
        (0, 2, 1, False),  # at G_min, as idle cells are
        (0, 2, 3, False),  # so is this one: 2 uS
        (2, 2, 2, False),  # a cell with a weight
        (5, 5, 2, False),
    ):
        cell = (*place(program, rows_of, columns_of, plane), state)
        made = made_for(program, record(cell))
        assert made.layers["w"].one_by_one == apart, (rows_of, columns_of, state)
        assert len(notes(made)) == apart
        assert made.faults is not None
        assert bool(packed(made, physics_of(made, "ideal")).layers) != apart


def test_a_stuck_cell_elsewhere_is_nothing_to_the_groups() -> None:
    program = grouped(device())
    top = (0, 0, 5, 2)  # no group drives this word line
    beyond = (1, 3, 9, 2)  # block 1 has two groups only
    assert not made_for(program, record(top, beyond)).layers["w"].one_by_one
    assert SIZE + 2 == GROUPS


def test_no_input_reaches_another_group() -> None:
    """Together the stuck cell is a weight between groups; one after the other it is none."""
    program = grouped(device())
    faults = record((*place(program, 0, 2), 2), (*place(program, 1, 1), 2))
    made, ignored = made_for(program, faults), replace(program, faults=faults)
    x = samples(4)
    alone = x.copy()
    alone[:, 2] = 0.0
    assert abs(run(ignored, alone, mode="ideal")[:, 2]).min() > 0.01
    for mode in ("ideal", "noise-free", "chip"):
        assert not run(made, alone, mode=mode)[:, 2].any()
    only = np.zeros((0, 4), np.int32)
    healthy = replace(program, faults=FaultRecord("a", only, np.zeros(0, np.float32)))
    y, exact = run(made, x, mode="ideal"), run(healthy, x, mode="ideal")
    others = [0, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(y[:, others], exact[:, others], rtol=1e-5, atol=1e-6)
    assert abs(y[:, 1] - exact[:, 1]).max() > 0.01


def test_measured_end_states_between_groups() -> None:
    program = grouped(device())
    faults = with_gains(program, [1]).faults
    assert faults is not None
    assert made_for(program, faults).layers["w"].one_by_one
    elsewhere = replace(faults, gain_arrays=np.array([7], np.int32))
    assert not made_for(program, elsewhere).layers["w"].one_by_one


def test_another_chip_is_another_decision() -> None:
    program = grouped(device())
    made = made_for(program, record((*place(program, 0, 2), 2)))
    assert made.layers["w"].one_by_one
    assert not made_for(made, record((*place(program, 0, 0), 2))).layers["w"].one_by_one


def test_it_is_written_and_read(tmp_path: Path) -> None:
    program = mlp()
    layer = replace(program.layers["conv"], one_by_one=True)
    program = replace(program, layers={**program.layers, "conv": layer})
    write(program, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    assert [x.one_by_one for x in again.layers.values()] == [True, False, False]
    x = {"x": np.ones((1, 2, 6, 6), np.float32)}
    np.testing.assert_array_equal(
        Executor(again, "ideal").run(x).outputs["y"], Executor(mlp(), "ideal").run(x).outputs["y"]
    )
