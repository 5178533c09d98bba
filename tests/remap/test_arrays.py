"""The exchange of arrays: against all permutations, and only to arrays that may be used."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from cimc.faults.fault_map import FaultMap
from cimc.ir.layer import CrossbarLayer
from cimc.remap import arrays
from cimc.remap.arrays import exchange_arrays, renumbered
from cimc.remap.physical import ChipFaults
from cimc.remap.settings import RemapSettings
from cimc.targets import Target
from tests.remap.placed import damage, device, placed, uses_of

SETTINGS = RemapSettings()


def chip(target: Target, rates: list[float], seed: int = 0) -> FaultMap:
    """Return a chip whose tested arrays have these shares of stuck cells."""
    rng = np.random.default_rng(seed)
    rate = np.array(rates)[:, None, None]
    places = np.argwhere(
        rng.random((len(rates), target.array.rows or 0, target.array.columns or 0)) < rate
    )
    state = rng.integers(1, 3, (len(places), 1))
    return FaultMap(
        "c",
        target.name,
        np.arange(len(rates), dtype=np.int32),
        np.concatenate([places, state], 1).astype(np.int32),
        np.zeros(len(places), np.float32),
    )


def exchanged(
    layers: list[CrossbarLayer], weights: list[torch.Tensor], found: FaultMap, target: Target
) -> dict[int, int]:
    return exchange_arrays(
        {one.name: one for one in layers},
        {one.name: wanted for one, wanted in zip(layers, weights, strict=True)},
        {one.name: torch.ones(1, one.geometry.rows) for one in layers},
        ChipFaults(found, target),
        target,
        SETTINGS,
    )


def test_the_best_arrays_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_POWER", 1.0)  # nothing is permuted afterwards
    target = device("pair", {"array.rows": 24, "array.columns": 24})
    pairs = [placed(target, 24, 12, name=f"l{k}", first_array=k, seed=k) for k in range(3)]
    layers = [one for one, _ in pairs]
    weights = [wanted * scale for (_, wanted), scale in zip(pairs, (0.5, 1.0, 1.5), strict=True)]
    found = chip(target, [0.3, 0.1, 0.2, 0.02])
    mapping = exchanged(layers, weights, found, target)
    faults, ones = ChipFaults(found, target), torch.ones(1, 24)

    def lost(places: tuple[int, ...]) -> float:
        moved = dict(enumerate(places))
        return sum(
            damage(renumbered(one, moved), faults, wanted, ones, target)
            for one, wanted in zip(layers, weights, strict=True)
        )

    got = lost(tuple(mapping[k] for k in range(3)))
    every = sorted(lost(places) for places in permutations(range(4), 3))
    assert got <= 1.15 * every[0]  # it is an estimate
    assert got < 0.7 * lost((0, 1, 2))
    assert every[len(every) // 2] > 1.3 * got


def test_a_dead_array_is_left_for_a_spare_one() -> None:
    target = device("pair", {"chip.spare_arrays": 2})
    layer, wanted = placed(target, 24, 6)
    found = chip(target, [0.0, 1.0, 0.0, 0.0, 0.3])
    mapping = exchanged([layer], [wanted], found, target)
    assert sorted(mapping) == [0, 1, 2]
    assert sorted(mapping.values()) == [0, 2, 3]
    moved = renumbered(layer, mapping)
    assert damage(moved, ChipFaults(found, target), wanted, torch.ones(1, 24), target) == 0.0
    assert uses_of([moved], target).max() == 1


def test_arrays_that_were_not_tested_are_not_taken() -> None:
    target = device()
    layer, wanted = placed(target, 8, 6)
    found = chip(target, [0.5, 0.2])
    assert exchanged([layer], [wanted], found, target) == {0: 1}
    cells = found.cells[found.cells[:, 0] == 0]
    lone = replace(
        found,
        arrays=np.array([0], np.int32),
        cells=cells,
        conductance_us=np.zeros(len(cells), np.float32),
    )
    assert exchanged([layer], [wanted], lone, target) == {0: 0}


def test_twins_move_two_by_two() -> None:
    target = device("twin")
    layer, wanted = placed(target, 8, 12)
    found = chip(target, [0.3, 0.4, 0.0, 0.6, 0.1, 0.1, 0.0])
    mapping = exchanged([layer], [wanted], found, target)
    assert mapping == {0: 4, 1: 5}  # not 1 and 2, and not 6, whose twin was not tested
    moved = renumbered(layer, mapping)
    assert uses_of([moved], target)[4:6].sum() == 2 * 8 * 12


def test_nothing_moves_without_faults_or_for_next_to_nothing() -> None:
    target = device()
    layer, wanted = placed(target, 16, 6)
    same = {0: 0, 1: 1}
    assert exchanged([layer], [wanted], chip(target, [0.0] * 4), target) == same
    one = chip(target, [0.2]).cells
    every = np.concatenate([one + np.array([k, 0, 0, 0], np.int32) for k in range(4)])
    found = replace(
        chip(target, [0.0] * 4), cells=every, conductance_us=np.zeros(len(every), np.float32)
    )
    assert exchanged([layer], [wanted], found, target) == same


def test_a_chip_without_end_uses_the_arrays_it_has() -> None:
    target = device("pair", {"chip.cores": None, "chip.arrays_per_core": None})
    layer, wanted = placed(target, 16, 6)
    wanted[:, 8:] *= 0.1
    mapping = exchanged([layer], [wanted], chip(target, [0.5, 0.1, 0.0, 0.0]), target)
    assert mapping == {0: 1, 1: 0}
