"""Faults in logical order against a search cell by cell."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.remap import physical
from cimc.remap.lines import tiles_of
from cimc.remap.physical import ChipFaults, cell_faults, counts
from tests.program.factories import KINDS, mlp, target
from tests.remap.chips import fault_map, shuffled

PHYSICAL = [kind for kind in KINDS if kind != "signed"]


def _place(kind: str, planes: int, line: list[int], column: int, plane: int) -> tuple[int, int]:
    """Return array (from the tile's) and bit line of a cell, from the contract alone."""
    if kind == "twin-arrays":
        return plane, line[column]
    if kind == "offset-column":
        return 0, line[-1] if plane else line[column]
    return 0, line[column] + plane


@pytest.mark.parametrize("kind", PHYSICAL)
@pytest.mark.parametrize("mapped", [False, True])
def test_every_weight_sees_the_faults_of_its_own_cells(kind: str, mapped: bool) -> None:
    program, device = mlp(kind), target(kind)
    chip = fault_map(device, 24, 0.2, states=(1, 2, 3), gains=True)
    level = {1: device.cell.g_min_us, 2: device.cell.g_max_us}
    stuck = {
        tuple(c[:3]): level.get(c[3], us)
        for c, us in zip(chip.cells.tolist(), chip.conductance_us.tolist(), strict=True)
    }
    faults = ChipFaults(chip, device)
    assert chip.gain_lrs is not None
    for layer in program.layers.values():
        own = shuffled(layer) if mapped else layer
        found = cell_faults(own, faults)
        assert found.gain_lrs is not None
        affected = 0
        for tile in tiles_of(own):
            words, lines = tile.word_lines.tolist(), tile.bit_lines.tolist()
            for r in range(len(words)):
                for c in range(tile.columns.stop - tile.columns.start):
                    hit = False
                    for k in range(len(own.cells.planes)):
                        more, bit = _place(kind, len(own.cells.planes), lines, c, k)
                        where = (tile.array + more, words[r], bit)
                        shared = kind == "offset-column" and k == 1
                        column = tile.column_tile if shared else tile.columns.start + c
                        at = (tile.group, tile.rows.start + r, column)
                        value = float(found.stuck_us[k][at])
                        if where in stuck:
                            hit = True
                            assert value == pytest.approx(stuck[where], rel=1e-6)
                        else:
                            assert math.isnan(value)
                        assert found.gain_lrs[k][at] == float(chip.gain_lrs[where])
                    affected += hit
        number = counts(own, found)
        assert number.affected_weights == affected
        assert number.cells == sum(p.numel() for p in own.cells.planes)


def test_healthy_chips_and_unmeasured_gains() -> None:
    program, device = mlp(), target()
    chip = fault_map(device, 24, 0.0)
    layer = next(iter(program.layers.values()))
    found = cell_faults(layer, ChipFaults(chip, device))
    assert found.gain_lrs is None
    assert all(bool(torch.isnan(plane).all()) for plane in found.stuck_us)
    number = counts(layer, found)
    assert (number.faulty_cells, number.affected_weights) == (0, 0)
    layer = max(program.layers.values(), key=lambda one: len(one.tiles))
    measured = np.array([layer.tiles[0, 6]], np.int32)  # the others count as they are
    one = replace(fault_map(device, 24, 0.0, gains=True), gain_arrays=measured)
    lrs = cell_faults(layer, ChipFaults(one, device)).gain_lrs
    assert lrs is not None
    assert bool((lrs[0] == 1).any())
    assert bool((lrs[0] != 1).any())


def test_dense_arrays_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    device = target()
    chip = fault_map(device, 24, 0.1)
    monkeypatch.setattr(physical, "CACHE_BYTES", 3 * 32 * 24 * 4)
    faults = ChipFaults(chip.record(), device)
    first = faults.stuck_us(0)
    assert faults.stuck_us(0) is first
    for array in range(1, 8):
        faults.stuck_us(array)
    assert len(faults._kept) == 3
    np.testing.assert_array_equal(faults.stuck_us(0), first)
    assert sum(faults.count(k) for k in range(24)) == len(chip.cells)


def test_faults_may_lie_anywhere_on_an_array_without_limits() -> None:
    """As far out as a map may say: nothing of that size is allocated."""
    device = target().changed({"array.rows": None, "array.columns": None})
    far = 1 << 29
    cells = np.array([(0, 1, 2, 1), (0, 1, far, 2), (0, far, 2, 2), (1, 0, 0, 1)], np.int32)
    chip = replace(
        fault_map(target(), 2, 0.0), cells=cells, conductance_us=np.zeros(4, np.float32)
    )
    lines = [np.array(some, np.int32) for some in ((far, 0, 1), (2, 3, far, 2))]
    found = ChipFaults(chip, device).stuck_at(0, *lines)
    low, high, none = device.cell.g_min_us, device.cell.g_max_us, np.nan
    wanted = [(high, none, none, high), (none,) * 4, (low, none, high, low)]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))
