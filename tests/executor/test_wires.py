"""Wires in the executor against Kirchhoff's equations of the whole physical array."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cimc.device.ir_drop import Wires, transfer_us
from cimc.device.nodal import Nodal
from cimc.executor import Executor
from cimc.executor.physics import physics_of
from cimc.executor.wires import WiredArrays, same_cells, through_wires
from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS
from cimc.program.arrays import conductance_us
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.executor.programs import layer, one_layer, quarters, target

ROWS, COLUMNS = 24, 20
WIRES = {"word_line": "30 ohm", "bit_line": "20 ohm", "driver": "400 ohm", "sense": "250 ohm"}
OHMS = Wires(30.0, 20.0, 400.0, 250.0)
ONLY = frozenset({"ir-drop"})


def wired(**changes: object) -> Target:
    """A device with small arrays and resistive wires."""
    size = {"array__rows": ROWS, "array__columns": COLUMNS}
    return target(wires=WIRES, **size, **changes)


def with_tiles(program: DeviceProgram, **tables: list[list[int]]) -> DeviceProgram:
    """Put the tiles of layers elsewhere."""
    layers = dict(program.layers)
    for name, rows in tables.items():
        table = np.array(rows, dtype=np.int32).reshape(-1, len(TILE_FIELDS))
        layers[name] = replace(layers[name], tiles=table)
    arrays = 1 + max(int(one.tiles[:, 6].max()) for one in layers.values())
    return replace(program, layers=layers, arrays=arrays)


def currents_us(
    program: DeviceProgram, array: int, first: int, x: npt.NDArray[Any], wires: Wires = OHMS
) -> npt.NDArray[np.float64]:
    """Return the currents of all bit lines of a whole array, other word lines switched off."""
    g_us = np.zeros((ROWS, COLUMNS))
    driven = slice(first, first + x.shape[1])
    g_us[driven] = conductance_us(program, array)[driven]
    inputs = np.zeros((len(x), ROWS))
    inputs[:, driven] = x
    return Nodal(g_us, wires).currents(inputs)


def test_a_tile_is_read_as_its_array_is_wired() -> None:
    weight = quarters((9, 6), 0)
    program = one_layer("matmul", weight, Geometry("matrix", 1, 9, 6), ("n", 9), device=wired())
    x = np.random.default_rng(0).uniform(-1, 1, (5, 9)).astype(np.float32)
    lines = currents_us(program, 0, 1, x)[:, 2:14]
    expected = (lines[:, 0::2] - lines[:, 1::2]) * float(program.layers["w"].cells.gain)
    y = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())
    ideal = Executor(program, "ideal").run({"x": x}).outputs["y"]
    assert abs(y - ideal).max() > 0.01 * abs(ideal).max()


def test_row_tiles_of_one_array_are_read_one_after_the_other() -> None:
    weight = quarters((15, 6), 1)
    program = one_layer(
        "matmul", weight, Geometry("matrix", 1, 15, 6), ("n", 15), rows=8, device=wired()
    )
    tiles = [[0, 0, 0, 8, 0, 6, 0, 2, 4], [0, 1, 8, 7, 0, 6, 0, 14, 1]]
    program = with_tiles(program, w=tiles)
    x = np.random.default_rng(1).uniform(-1, 1, (4, 15)).astype(np.float32)
    upper = currents_us(program, 0, 2, x[:, :8])[:, 4:16]
    lower = currents_us(program, 0, 14, x[:, 8:])[:, 1:13]
    both = upper + lower
    expected = (both[:, 0::2] - both[:, 1::2]) * float(program.layers["w"].cells.gain)
    y = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())


def test_cells_of_other_layers_on_the_same_word_lines_load_them() -> None:
    weight = quarters((9, 3), 2)
    alone = one_layer("matmul", weight, Geometry("matrix", 1, 9, 3), ("n", 9), device=wired())
    alone = with_tiles(alone, w=[[0, 0, 0, 9, 0, 3, 0, 1, 0]])
    other = layer(quarters((7, 4), 3), Geometry("matrix", 1, 7, 4), (), name="v")
    shared = replace(alone, layers={**alone.layers, "v": other})
    shared = with_tiles(shared, v=[[0, 0, 0, 7, 0, 4, 0, 1, 8]])
    x = np.random.default_rng(2).uniform(-1, 1, (4, 9)).astype(np.float32)
    results = []
    for program in (alone, shared):
        lines = currents_us(program, 0, 1, x)[:, :6]
        expected = (lines[:, 0::2] - lines[:, 1::2]) * float(program.layers["w"].cells.gain)
        y = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
        np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())
        results.append(y)
    assert abs(results[0] - results[1]).max() > 1e-4


def test_offset_cells_are_behind_wires_too() -> None:
    device = wired(encoding="offset-column")
    weight = quarters((9, 6), 4)
    program = one_layer(
        "matmul", weight, Geometry("matrix", 1, 9, 6), ("n", 9),
        device=device, encoding="offset-column",
    )  # fmt: skip
    x = np.random.default_rng(3).uniform(-1, 1, (4, 9)).astype(np.float32)
    lines = currents_us(program, 0, 1, x)[:, 2:9]
    expected = (lines[:, :6] - lines[:, 6:]) * float(program.layers["w"].cells.gain)
    y = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())


def test_wires_without_resistance_change_nothing() -> None:
    weight = quarters((9, 6), 5)
    geometry = Geometry("matrix", 1, 9, 6)
    device = wired().changed({"wires.word_line": "0 ohm", "wires.bit_line": "0 ohm",
                              "wires.driver": "0 ohm", "wires.sense": "0 ohm"})  # fmt: skip
    program = one_layer("matmul", weight, geometry, ("n", 9), device=device)
    x = np.random.default_rng(4).uniform(-1, 1, (4, 9)).astype(np.float32)
    a, b = (Executor(program, mode).run({"x": x}).outputs["y"] for mode in ("chip", "ideal"))
    np.testing.assert_array_equal(a, b)


def test_chips_with_the_same_cells_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []
    from cimc.executor import wires as module

    real = module.transfer_us
    monkeypatch.setattr(module, "transfer_us", lambda *a: solved.append(1) or real(*a))
    weight, geometry = quarters((9, 6), 6), Geometry("matrix", 1, 9, 6)
    program = one_layer("matmul", weight, geometry, ("n", 9), device=wired())
    chip = Executor(program, effects=ONLY)
    chip.chip(1)
    assert len(solved) == 1
    noisy = wired(noise__programming={"sigma": "0.2 uS"})
    chip = Executor(one_layer("matmul", weight, geometry, ("n", 9), device=noisy))
    chip.chip(1)
    assert len(solved) == 3


def test_what_no_layer_needs_is_forgotten() -> None:
    program = one_layer(
        "matmul", quarters((15, 6), 7), Geometry("matrix", 1, 15, 6), ("n", 15), rows=8,
        device=wired(),
    )  # fmt: skip
    physics = physics_of(program, "chip", ONLY)
    assert same_cells(physics)
    arrays = WiredArrays(program, physics.target, lambda n: program.layers[n].cells.planes)
    arrays.effective("w")
    assert (arrays._planes, arrays._arrays, arrays._solved) == ({}, {}, {})


def test_fluctuations_shrink_with_what_cells_contribute() -> None:
    cells, seen = (torch.tensor([[4.0, 0.0]]),), (torch.tensor([[3.0, 0.1]]),)
    found = through_wires((torch.tensor([[0.16, 0.0]]),), cells, seen)
    assert found is not None
    torch.testing.assert_close(found[0], torch.tensor([[0.09, 0.0]]))
    assert through_wires(None, cells, seen) is None


def test_fluctuations_behind_wires_are_right_to_first_order_in_the_drop() -> None:
    """2,000 reads with every cell drawn; the spread of a column has an error of 1.6 %.

    Of all 40 columns together 0.25 %: the bounds are those of the approximation, not of chance.
    """
    draw = torch.Generator().manual_seed(0)
    g_us = 2.0 + 16.0 * torch.rand(30, 40, generator=draw, dtype=torch.float64)
    u, sigma = torch.rand(30, generator=draw, dtype=torch.float64), 0.02
    wires = Wires(13.0, 13.0)
    cells, seen = (g_us,), (transfer_us(g_us, wires),)
    drop = 1.0 - float((u @ seen[0]).sum() / (u @ g_us).sum())
    assert 0.08 < drop < 0.12
    modelled = through_wires((sigma**2 * g_us.square(),), cells, seen)
    assert modelled is not None
    noise = torch.randn((2000, 30, 40), generator=draw, dtype=torch.float64)
    reads = u @ transfer_us(g_us * (1.0 + sigma * noise), wires)
    ratio = float((u.square() @ modelled[0]).sum() / reads.var(0).sum()) ** 0.5
    ideal = float((u.square() @ (sigma**2 * g_us.square())).sum() / reads.var(0).sum()) ** 0.5
    assert 1.0 < ratio < 1.06
    assert ideal > 1.1
