"""Arrays and lines that a program uses, against where each of its cells lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cimc.faults.extent import extent_of, used_arrays
from cimc.program.model import DeviceProgram
from cimc.program.positions import positions
from tests.program.factories import KINDS, mlp, renumbered, with_maps

ANALOG = [kind for kind in KINDS if kind != "signed"]


def places(program: DeviceProgram) -> np.ndarray:
    """Array, word line and bit line of every cell, one by one."""
    found = [
        np.stack([p.array.ravel(), p.word_line.ravel(), p.bit_line.ravel()], axis=1)
        for layer in program.layers.values()
        for p in positions(layer)
    ]
    return np.concatenate(found)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", ANALOG)
def test_every_cell_lies_on_a_used_array(kind: str, mapped: bool) -> None:
    program = mlp(kind, extras=False)
    if mapped:
        program = with_maps(program)
    cells = places(program)
    assert used_arrays(program).tolist() == np.unique(cells[:, 0]).tolist()
    extent = extent_of(program)
    array = program.target["array"]
    assert set(extent.rows.tolist()) == {array["rows"]}
    assert extent.cells == len(extent.arrays) * array["rows"] * array["columns"]
    # The same cells on arrays without limits: up to the last line in use.
    open_ended = dict(program.target)
    open_ended["array"] = {"rows": None, "columns": None}
    extent = extent_of(replace(program, target=open_ended))
    for i, number in enumerate(extent.arrays):
        here = cells[cells[:, 0] == number]
        assert (extent.rows[i], extent.columns[i]) == tuple(here[:, 1:].max(axis=0) + 1)


def test_arrays_that_were_exchanged() -> None:
    program = mlp("differential-pair", extras=False)
    numbers = [(7 * k + 3) % 24 for k in range(24)]
    found = used_arrays(renumbered(program, numbers))
    assert found.tolist() == sorted(numbers[k] for k in used_arrays(program))
