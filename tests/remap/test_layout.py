"""Rows, columns and polarities: against all permutations, and against the faults there are."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.ir.layer import CrossbarLayer
from cimc.remap.damage import TileDamage
from cimc.remap.floor import Floor
from cimc.remap.kinds import kinds_of
from cimc.remap.layout import arrange
from cimc.remap.lines import tiles_of
from cimc.remap.losses import Losses
from cimc.remap.physical import ChipFaults, cell_faults, tile_stuck
from cimc.remap.settings import RemapSettings
from tests.remap.chips import fault_map
from tests.remap.placed import (
    CHANGES,
    column_tiles,
    damage,
    device,
    placed,
    somewhere,
    uses_of,
)

NONE = RemapSettings(rows=False, columns=False, polarity=False)
ROWS = replace(NONE, rows=True)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", CHANGES)
def test_the_sparse_cost_is_the_dense_one(kind: str, own: bool) -> None:
    if own and kind in ("offset", "sliced"):
        pytest.skip("columns of such encodings have no states of their own here")
    target = device(kind, {"array.columns": 16})
    layer, wanted = placed(target, 6, 4, own=own)
    chip = fault_map(target, 16, 0.3, states=(1, 2, 3))
    faults = ChipFaults(chip, target)
    assert layer.cells is not None
    assert layer.encoding is not None
    assert layer.codebook is not None
    (tile,) = tiles_of(layer)
    words = np.arange(8, dtype=np.int32)
    stuck = tile_stuck(tile, len(layer.cells.planes), faults, words, tile.bit_lines)
    importance = torch.rand(1, 6, generator=torch.Generator().manual_seed(1))
    losses = Losses(layer.cells, layer.encoding, target, "states", layer.codebook.levels, wanted)
    place = tile.group, tile.rows, tile.columns
    found = TileDamage.of(
        kinds_of(stuck), losses, importance[0, :, None].numpy(), place, pairs=True
    )
    cost = found.of_rows(found.at(np.arange(8), np.arange(4)))
    for row in range(6):  # the row alone on each word line, the others as they lie
        alone = torch.zeros_like(importance)
        alone[0, row] = importance[0, row]
        for word in range(8):
            lines = tile.word_lines.copy()
            lines[row] = word
            moved = replace(layer, word_lines=lines, bit_lines=tile.bit_lines)
            dense = damage(moved, faults, wanted, alone, target)
            assert cost[row, word] == pytest.approx(dense, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("own", [False, True])
def test_rows_are_as_well_as_any_permutation(own: bool) -> None:
    target = device("pair", {"array.rows": 6})
    layer, wanted = placed(target, 5, 3, own=own)
    importance = torch.tensor([[3.0, 1.0, 0.5, 2.0, 1.0]])
    faults = ChipFaults(fault_map(target, 1, 0.4, seed=3), target)
    (tile,) = tiles_of(layer)
    cost = np.zeros((5, 6))  # rows add up, so it is enough to lay each on each line
    for row in range(5):
        alone = torch.zeros(1, 5)
        alone[0, row] = importance[0, row]
        for word in range(6):
            lines = np.full(5, word, np.int32)
            moved = replace(layer, word_lines=lines, bit_lines=tile.bit_lines)
            cost[row, word] = damage(moved, faults, wanted, alone, target)
    every = [cost[range(5), p].sum() for p in permutations(range(6), 5)]
    found = arrange(layer, wanted, importance, faults, target, ROWS, Floor([layer], target))
    got = damage(found.applied(layer), faults, wanted, importance, target)
    assert got == pytest.approx(min(every), rel=5e-3, abs=1e-3)
    assert found.after == pytest.approx(got, rel=5e-3, abs=1e-3)
    now = damage(layer, faults, wanted, importance, target)
    assert found.before == pytest.approx(now, rel=5e-3, abs=1e-3)
    assert np.median(every) > 2 * min(every)  # it was worth it


def test_columns_and_polarities_are_as_well_as_any() -> None:
    target = device("pair", {"array.columns": 8})
    layer, wanted = placed(target, 6, 3)
    importance = torch.ones(1, 6)
    faults = ChipFaults(fault_map(target, 1, 0.3, seed=5), target)
    (tile,) = tiles_of(layer)
    assert layer.cells is not None
    own = layer.cells

    def lost(places: tuple[int, ...], number: int) -> float:
        bits = 2 * np.array(places, np.int32)
        signs = torch.tensor([-1.0 if number >> k & 1 else 1.0 for k in range(3)])
        cells = replace(own, gain=own.gain * signs)
        laid = replace(layer, word_lines=tile.word_lines, bit_lines=bits, cells=cells)
        return damage(laid, faults, wanted, importance, target)

    places = list(permutations(range(4), 3))
    straight = min(lost(p, 0) for p in places)
    best = min(lost(p, n) for p in places for n in range(8))
    assert best < 0.9 * straight
    still = min(lost((0, 1, 2), n) for n in range(8))
    for what, expected in (
        (replace(NONE, columns=True), straight),
        (replace(NONE, polarity=True), still),
        (replace(NONE, columns=True, polarity=True), best),
    ):
        found = arrange(layer, wanted, importance, faults, target, what, Floor([layer], target))
        got = damage(found.applied(layer), faults, wanted, importance, target)
        assert found.after == pytest.approx(got, rel=5e-3, abs=1e-3)
        assert got == pytest.approx(expected, rel=5e-3, abs=1e-3)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_dead_word_line_costs_nothing_when_there_is_a_spare(kind: str) -> None:
    target = device(kind, {"array.spare_rows": 1})
    layer, wanted = placed(target, 14, 7)
    chip = fault_map(target, 16, 0.0)
    at = np.random.default_rng(0).integers(0, 7, 8).tolist()  # twins: both at the same place
    dead = [(a, r, c) for a in range(16) for c in range(12) for r in (at[a // 2],)]
    cells = np.array([(*where, 1 + k % 2) for k, where in enumerate(dead)], np.int32)
    faults = ChipFaults(
        replace(chip, cells=cells, conductance_us=np.zeros(len(cells), np.float32)), target
    )
    importance = torch.ones(1, 14)
    floor = Floor([layer], target)
    assert damage(layer, faults, wanted, importance, target) > 1.0
    found = arrange(layer, wanted, importance, faults, target, ROWS, floor)
    laid = found.applied(layer)
    assert found.after == 0.0
    assert damage(laid, faults, wanted, importance, target) == 0.0
    assert all(bool(plane.isnan().all()) for plane in cell_faults(laid, faults).stuck_us)
    for tile in tiles_of(laid):
        assert 7 in tile.word_lines.tolist()  # the only other one


def test_a_dead_bit_line_costs_nothing_when_there_is_a_spare() -> None:
    target = device("pair", {"array.spare_columns": 2})
    layer, wanted = placed(target, 8, 5)
    dead = np.array([(0, r, 4, 2) for r in range(8)], np.int32)
    chip = replace(fault_map(target, 16, 0.0), cells=dead, conductance_us=np.zeros(8, np.float32))
    faults, importance = ChipFaults(chip, target), torch.ones(1, 8)
    columns = replace(NONE, columns=True)
    found = arrange(layer, wanted, importance, faults, target, columns, Floor([layer], target))
    assert found.before > 1.0
    assert found.after == 0.0
    (tile,) = tiles_of(found.applied(layer))
    assert sorted(tile.bit_lines.tolist()) == [0, 2, 6, 8, 10]


@pytest.mark.parametrize("spare", [0, 1])
def test_offset_cells_move_to_the_healthiest_bit_line(spare: int) -> None:
    target = device("offset", {"array.spare_columns": spare})
    layer, wanted = placed(target, 8, 11 - spare)
    (tile,) = tiles_of(layer)
    dead = np.array([(0, r, tile.bit_lines[-1], 1 + r % 2) for r in range(8)], np.int32)
    chip = replace(fault_map(target, 16, 0.0), cells=dead, conductance_us=np.zeros(8, np.float32))
    faults, importance = ChipFaults(chip, target), torch.ones(1, 8)
    columns = replace(NONE, columns=True)
    found = arrange(layer, wanted, importance, faults, target, columns, Floor([layer], target))
    laid = found.applied(layer)
    (moved,) = tiles_of(laid)
    assert moved.bit_lines[-1] != tile.bit_lines[-1]
    after = damage(laid, faults, wanted, importance, target)
    assert after == pytest.approx(found.after, rel=1e-2, abs=1e-3)
    if spare:
        assert after == 0.0
    else:  # one column is lost instead of all
        assert after < 0.6 * damage(layer, faults, wanted, importance, target)
        assert sorted(moved.bit_lines.tolist()) == list(range(12))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(CHANGES)),
    st.integers(0, 10_000),
    st.sampled_from([0.02, 0.2, 0.6]),
    st.integers(1, 3),
)
def test_cells_are_never_shared_and_nothing_gets_worse(
    kind: str, seed: int, rate: float, groups: int
) -> None:
    target = device(kind, {"array.rows": 16, "array.columns": 24})
    rng = np.random.default_rng(seed)
    layers: list[CrossbarLayer] = []
    weights = []
    for number in range(3):
        rows, columns = int(rng.integers(1, 9)), int(rng.integers(1, 4))
        one, wanted = placed(
            target, rows, columns, groups=groups if number else 1,
            name=f"l{number}", seed=seed + number,
        )  # fmt: skip
        layers.append(somewhere(one, layers, target, rng))
        weights.append(wanted)
    faults = ChipFaults(fault_map(target, 16, rate, states=(1, 2, 3), seed=seed), target)
    floor = Floor(layers, target)
    for _ in range(2):
        for number, (one, wanted) in enumerate(zip(layers, weights, strict=True)):
            importance = torch.rand(len(wanted), wanted.shape[1]) + 0.1
            before = damage(one, faults, wanted, importance, target)
            found = arrange(one, wanted, importance, faults, target, RemapSettings(), floor)
            layers[number] = found.applied(one)
            after = damage(layers[number], faults, wanted, importance, target)
            assert after <= before + 1e-3 * (1 + abs(before))
            assert uses_of(layers, target).max() == 1
            for old, new in zip(tiles_of(one), tiles_of(layers[number]), strict=True):
                assert old.array == new.array
                assert len(set(new.word_lines.tolist())) == len(old.word_lines)


def test_groups_that_are_read_together_keep_their_lines_apart() -> None:
    target = device("pair", {"array.rows": 16, "array.columns": 24})
    layer, wanted = placed(target, 4, 2, groups=3)
    assert layer.tiles is not None
    tiles = layer.tiles.copy()
    tiles[:, 6], tiles[:, 7], tiles[:, 8] = 0, [0, 4, 8], [0, 4, 8]
    layer = replace(layer, tiles=tiles)
    faults = ChipFaults(fault_map(target, 16, 0.3), target)
    floor = Floor([layer], target)
    found = arrange(layer, wanted, torch.ones(3, 4), faults, target, RemapSettings(), floor)
    assert found.after < 0.5 * found.before
    laid = list(tiles_of(found.applied(layer)))
    for lines in ([t.word_lines for t in laid], [t.occupied() for t in laid]):
        every = np.concatenate(lines)
        assert len(np.unique(every)) == len(every)


def test_a_chip_without_faults_moves_nothing() -> None:
    target = device()
    layer, wanted = placed(target, 8, 6)
    faults = ChipFaults(fault_map(target, 16, 0.0), target)
    found = arrange(
        layer, wanted, torch.ones(1, 8), faults, target, RemapSettings(), Floor([layer], target)
    )
    assert found.word_lines is None
    assert found.bit_lines is None
    assert bool((found.signs == 1).all())
    assert (found.before, found.after) == (0.0, 0.0)
    assert column_tiles(layer).tolist() == [0] * 6


def test_tiles_that_overlap_are_found() -> None:
    target = device()
    one, _ = placed(target, 4, 3)
    two, _ = placed(target, 4, 3, name="other")
    with pytest.raises(ValueError, match="'other': tiles overlap on array 0"):
        Floor([one, two], target)
