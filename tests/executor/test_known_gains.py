"""End states that were measured: the formula of [NM Eq. 12], both states, in every mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.cells import conductances_us, targets_us
from cimc.executor.idle import idle_us
from cimc.executor.known_faults import known_cells
from cimc.executor.packing import packed
from cimc.executor.physics import Physics, physics_of
from cimc.program.arrays import conductance_us
from cimc.program.model import DeviceProgram
from cimc.program.positions import positions
from cimc.targets import Target
from tests.executor.programs import G_MAX, G_MIN
from tests.executor.test_packing import GROUPS, device, grouped, run
from tests.program.factories import KINDS, mlp, with_gains, with_maps

MAPPED = tuple(kind for kind in KINDS if kind != "signed")


def on_chip(program: DeviceProgram) -> dict[int, npt.NDArray[np.float64]]:
    """Every array as the chip has it: the formula, cell by cell, then stuck cells."""
    cell, faults = Target.from_plain(program.target).cell, program.faults
    assert faults is not None
    low, high = cell.g_min_us, cell.g_max_us
    out = {}
    for array in range(program.arrays):
        g = conductance_us(program, array).astype(np.float64)
        if faults.gain_arrays is not None and array in faults.gain_arrays:
            k = faults.gain_arrays.tolist().index(array)
            s = (g - low) / (high - low)
            if faults.gain_hrs is not None:
                g = g + (1 - s) * low * (faults.gain_hrs[k] - 1)
            if faults.gain_lrs is not None:
                g = g + s * high * (faults.gain_lrs[k] - 1)
        for (on, row, column, state), own in zip(
            faults.cells.tolist(), faults.conductance_us.tolist(), strict=True
        ):
            if on == array:
                g[row, column] = (low, high, own)[state - 1]
        out[array] = np.maximum(g, 0.0)
    return out


def seen(program: DeviceProgram, physics: Physics, seed: int = 0) -> dict[str, Any]:
    """The conductances the executor works with, by layer."""
    known = known_cells(program)
    return {
        name: conductances_us(
            layer,
            targets_us(layer.cells, torch.device("cpu")),
            physics,
            seed,
            known.stuck.get(name, {}),
            gains=known.gains_of(layer),
        )
        for name, layer in program.layers.items()
    }


@pytest.mark.parametrize("ends", [("gain_lrs", "gain_hrs"), ("gain_lrs",), ("gain_hrs",)])
@pytest.mark.parametrize("kind", MAPPED)
def test_cells_are_as_the_chip_has_them(kind: str, ends: tuple[str, ...]) -> None:
    program = with_gains(with_maps(mlp(kind)), [0, 1, 4])
    assert program.faults is not None
    rest = {name: None for name in ("gain_lrs", "gain_hrs") if name not in ends}
    program = replace(program, faults=replace(program.faults, **rest))
    wanted = on_chip(program)
    planes = seen(program, physics_of(program, "ideal"))
    for name, layer in program.layers.items():
        for where, plane in zip(positions(layer), planes[name], strict=True):
            cells = zip(where.array.flat, where.word_line.flat, where.bit_line.flat, strict=True)
            expected = [wanted[int(a)][r, c] for a, r, c in cells]
            np.testing.assert_allclose(plane.numpy().ravel(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["ideal", "noise-free", "chip"])
def test_products_are_those_of_a_program_with_these_conductances(mode: str) -> None:
    program = with_gains(mlp(), [0, 2, 3])
    planes = seen(program, physics_of(program, "ideal"))
    layers = {
        name: replace(layer, cells=replace(layer.cells, planes=planes[name], states_us=None))
        for name, layer in program.layers.items()
    }
    same = replace(program, layers=layers, faults=None)
    x = {"x": np.random.default_rng(0).uniform(-1, 1, (3, 2, 6, 6)).astype(np.float32)}
    options: dict[str, Any] = {"effects": {"dac", "adc"}} if mode == "chip" else {}
    one, other = (Executor(p, mode, **options).run(x).outputs["y"] for p in (program, same))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    without = Executor(replace(program, faults=None), mode, **options).run(x).outputs["y"]
    assert abs(one - without).max() > 0.01 * abs(one).max()


def test_known_devices_do_not_vary_and_others_do_as_before() -> None:
    vary = {"noise.device_to_device": {"sigma_lrs": 0.1, "sigma_hrs": 0.2}}
    plain = mlp(extras=False)
    plain = replace(plain, target=Target.from_plain(plain.target).changed(vary).plain())
    program = with_gains(plain, [1])
    physics = physics_of(program, "chip", {"device-to-device"})
    ideal = seen(program, physics_of(program, "ideal"))
    for seed in (0, 1):
        chip, random = (seen(p, physics, seed) for p in (program, plain))
        for name, layer in program.layers.items():
            for k, where in enumerate(positions(layer)):
                known = torch.from_numpy(where.array == 1)
                assert torch.equal(chip[name][k][known], ideal[name][k][known])
                assert torch.equal(chip[name][k][~known], random[name][k][~known])
                assert not torch.equal(random[name][k], ideal[name][k])


def test_idle_cells_have_their_own_lowest_state() -> None:
    program = with_gains(mlp(), [0])
    assert program.faults is not None
    assert program.faults.gain_hrs is not None
    physics = physics_of(program, "chip", set())
    low = physics.target.cell.g_min_us
    known = known_cells(program)
    expected = low * program.faults.gain_hrs[0]
    expected[1, 2] = low  # stuck there
    np.testing.assert_allclose(
        idle_us(physics, 0, 0, torch.device("cpu"), known), expected, rtol=1e-6
    )
    assert float(idle_us(physics, 0, 1, torch.device("cpu"), known)[3, 4]) == 5.0
    assert set(idle_us(physics, 0, 2, torch.device("cpu"), known).unique().tolist()) == {
        np.float32(low)
    }


def test_idle_cells_of_packed_groups_have_theirs() -> None:
    """Group 2 reads nothing, but the idle cells of its bit lines on the other word lines."""
    program = with_gains(grouped(device()), [0])
    assert program.faults is not None
    assert program.faults.gain_hrs is not None
    assert packed(program, physics_of(program, "ideal")).layers
    x = np.ones((1, GROUPS, 2), np.float32)
    x[:, 2] = 0.0
    idle = G_MIN * program.faults.gain_hrs[0]
    rows = [r for r in range(3, 13) if r not in (7, 8)]
    wanted = (idle[rows, 5] - idle[rows, 6]).sum() * float(program.layers["w"].cells.gain)
    assert run(program, x, mode="ideal")[0, 2, 0] == pytest.approx(wanted, rel=1e-4)
    assert abs(wanted) > 1e-3
    assert G_MAX > G_MIN
