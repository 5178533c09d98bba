"""Spare lines and arrays from the target to the program of a chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cimc.executor import Executor
from cimc.faults.fault_map import FaultMap
from cimc.pipeline import compile_model
from cimc.pipeline.recompile import recompile
from cimc.program import read
from cimc.program.model import DeviceProgram
from cimc.program.positions import positions
from cimc.targets import Target
from tests.pipeline.test_layouts import network, samples, target

__all__ = ["network"]

SPARES: dict[str, object] = {
    "array.spare_rows": 2,
    "array.spare_columns": 4,
    "chip.cores": 1,
    "chip.arrays_per_core": 64,
    "chip.spare_arrays": 4,
}


def broken(device: Target, used: list[int]) -> FaultMap:
    """Return a chip: a pair of arrays in use dead; of all others two word lines and a place."""
    assert device.arrays is not None
    bad = np.zeros((device.arrays, device.array.rows or 0, device.array.columns or 0), bool)
    bad[:, [0, 3]] = True
    width = 4 if device.encoding == "bit-sliced" else 2
    bad[:, :, width : 2 * width] = True
    bad[used[0] : used[0] + 2] = True
    places = np.argwhere(bad)
    state = 1 + places.sum(1, keepdims=True) % 2
    return FaultMap(
        "chip",
        device.name,
        np.arange(device.arrays, dtype=np.int32),
        np.concatenate([places, state], 1).astype(np.int32),
        np.zeros(len(places), np.float32),
    )


def places(program: DeviceProgram) -> list[tuple[int, int, int]]:
    """Return array, word line and bit line of every cell in use."""
    found: list[tuple[int, int, int]] = []
    for layer in program.layers.values():
        for where in positions(layer):
            lines = (where.array, where.word_line, where.bit_line)
            found += zip(*(each.ravel().tolist() for each in lines), strict=True)
    return found


@pytest.mark.parametrize("layout", ["pair", "twin", "sliced"])
def test_with_spares_hardly_any_cell_in_use_is_faulty(
    network: Path, layout: str, tmp_path: Path
) -> None:
    device = target(layout, **SPARES)
    compile_model(str(network), target=device, output=tmp_path / "net.cim", data=samples(48, 1))
    program = read(tmp_path / "net.cim")
    used = sorted({int(a) for layer in program.layers.values() for a in layer.tiles[:, 6]})
    chip = broken(device, used)
    report = recompile(program, chip, output=tmp_path / "chip.cim").report
    made = read(tmp_path / "chip.cim")
    faulty = {tuple(cell) for cell in chip.cells[:, :3].tolist()}
    before, after = places(program), places(made)
    assert len(set(after)) == len(after) == report.cells  # no cell twice
    assert not {array for array, _, _ in after} & {used[0], used[0] + 1}  # the dead ones
    # Some are left where they cost nothing, or where others are in the way.
    assert len(faulty & set(after)) == report.faulty_cells < 0.2 * len(faulty & set(before))
    wanted, got = (
        Executor(p, mode="ideal").run(samples(32, 9)).outputs["y"] for p in (program, made)
    )
    assert ((got - wanted) ** 2).mean() < 0.03 * wanted.var()
