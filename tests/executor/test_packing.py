"""Groups packed block-diagonally: what their idle cells add to the currents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from cimc.executor import Executor
from cimc.executor.packing import packed
from cimc.executor.physics import physics_of
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.targets import Target
from tests.executor.programs import G_MAX, G_MIN, one_layer, quarters, target
from tests.executor.test_wires import OHMS, ROWS, currents_us, wired, with_tiles

#: Two rows and one column a group; five groups in an array, seven in all.
SIZE, GROUPS = 5, 7


def device(**changes: object) -> Target:
    return target(array__rows=ROWS, array__columns=20, **changes)


def grouped(
    machine: Target, groups: int = GROUPS, encoding: str = "differential-pair", **options: Any
) -> DeviceProgram:
    """A convolution of two taps whose groups are packed as the placement pass packs them."""
    width = 2
    program = one_layer(
        "conv", quarters((groups, 1, 2), 0), Geometry("conv", groups, 2, 1, (2,)),
        ("n", groups, 2), attributes={"group": groups}, device=machine, encoding=encoding,
        **options,
    )  # fmt: skip
    tiles = []
    for group in range(groups):
        block, inside = divmod(group, SIZE)
        tiles.append([group, 0, 0, 2, 0, 1, block, 3 + 2 * inside, 1 + width * inside])
    return with_tiles(program, w=tiles)


def run(program: DeviceProgram, x: npt.NDArray[Any], seed: int = 0, **options: Any) -> Any:
    return Executor(program, seed=seed, **options).run({"x": x}).outputs["y"]


def samples(count: int, groups: int = GROUPS) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, groups, 2)).astype(np.float32)


@pytest.mark.parametrize("groups", [5, 7, 10])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_wires_join_the_groups_of_a_block(groups: int, encoding: str) -> None:
    """Every array as a whole by Kirchhoff's laws, all word lines of its groups driven."""
    program = grouped(wired(encoding=encoding), groups, encoding)
    x = samples(4, groups)
    expected = []
    for block in range(-(-groups // SIZE)):
        driven = x[:, block * SIZE : (block + 1) * SIZE].reshape(len(x), -1)
        lines = currents_us(program, block, 3, driven, OHMS)
        lines = lines[:, 1 : 1 + 2 * (driven.shape[1] // 2)]
        expected.append(lines[:, 0::2] - lines[:, 1::2])
    gain = float(program.layers["w"].cells.gain)
    y = run(program, x, effects={"ir-drop"})[:, :, 0]
    wanted = np.concatenate(expected, 1) * gain
    np.testing.assert_allclose(y, wanted, rtol=0, atol=3e-6 * abs(wanted).max())


def test_noise_of_idle_cells_reaches_the_bit_lines() -> None:
    """A group without input reads the noise of its idle cells: ``2 sigma^2 sum x^2``.

    G_min is ten sigma from 0, so nothing is clamped.  400 chips, 4 groups: the mean square has a
    relative spread of sqrt(2 / 1600) = 3.5 %; 5 of them are let pass, which a right executor
    exceeds once in 10^6; without idle cells the result is 0.
    """
    sigma = 0.2
    program = grouped(device(noise__programming={"sigma": f"{sigma} uS"}))
    x = np.ones((1, GROUPS, 2), np.float32)
    gain = float(program.layers["w"].cells.gain)
    squares = []
    chip = Executor(program, effects={"programming"})
    for seed in range(400):
        chip = chip.chip(seed)
        for group in (0, 2, 4, 6):
            alone = x.copy()
            alone[:, group] = 0.0
            driven = 2 * ((SIZE if group < SIZE else GROUPS - SIZE) - 1)
            y = chip.run({"x": alone}).outputs["y"][0, group, 0] / gain
            squares.append(y**2 / (2 * sigma**2 * driven))
    assert abs(np.mean(squares) - 1.0) < 5 * np.sqrt(2 / len(squares))


def test_without_anything_that_idle_cells_feel_groups_stay_groups() -> None:
    program = grouped(device(noise__programming={"sigma": "0.2 uS"}), adc_bits=8, dac=Dac(8))
    for mode, effects in (("ideal", None), ("noise-free", None), ("chip", {"dac", "adc"})):
        assert not packed(program, physics_of(program, mode, effects)).layers
    assert packed(program, physics_of(program, "chip")).layers


@pytest.mark.parametrize("kind", ["after-adc", "bit-sliced"])
def test_groups_are_driven_one_by_one_where_idle_cells_would_not_cancel(kind: str) -> None:
    program, base = grouped(device()), device()
    if kind == "after-adc":
        pair = base.pair.model_copy(update={"subtraction": kind})
        machine = base.model_copy(update={"pair": pair})
    else:
        machine = base.model_copy(update={"encoding": kind})
    physics = replace(physics_of(program, "chip"), effects=frozenset({"programming"}))
    assert packed(program, physics).layers
    assert not packed(program, replace(physics, target=machine)).layers


def test_an_idle_cell_stuck_by_the_fault_map_adds_its_current_in_every_mode() -> None:
    program = grouped(device())
    # Word line 3 is the first of group 0; bit line 5 is G+ of group 2.
    cells = np.array([[0, 3, 5, 2]], dtype=np.int32)
    program = replace(program, faults=FaultRecord("a", cells, np.zeros(1, np.float32)))
    x = np.zeros((1, GROUPS, 2), np.float32)
    x[:, 0, 0] = 0.5
    gain = float(program.layers["w"].cells.gain)
    for mode in ("ideal", "noise-free", "chip"):
        y = run(program, x, mode=mode)
        assert y[0, 2, 0] == pytest.approx(0.5 * (G_MAX - G_MIN) * gain)
        assert not y[0, [1, 3, 4, 5, 6], 0].any()


def test_converters_of_columns_stay_with_their_columns() -> None:
    """An incomplete block, ranges a column, noise so small that only exact ties turn."""
    full = torch.linspace(20.0, 80.0, GROUPS).reshape(1, 1, -1)
    plain = grouped(device(), adc_bits=8, dac=Dac(8, policy="static", x_max=1.0))
    noisy = grouped(
        device(noise__programming={"sigma": "1e-7 uS"}), adc_bits=8,
        dac=Dac(8, policy="static", x_max=1.0),
    )  # fmt: skip
    results = []
    for program in (plain, noisy):
        layer = program.layers["w"]
        (use,) = layer.uses
        use = replace(use, adc=Adc(8, full))
        program = replace(program, layers={"w": replace(layer, uses=(use,))})
        results.append(run(program, samples(50), mode="chip"))
    assert results[0].shape == results[1].shape == (50, GROUPS, 1)
    same = np.isclose(results[1], results[0], rtol=0, atol=1e-5)
    assert same.mean() > 0.99
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=0.04)


@pytest.mark.parametrize("converters", [False, True])
def test_transposed_convolutions_with_bias_keep_their_channels(converters: bool) -> None:
    groups, weight = 7, quarters((7, 1, 2, 2), 3)
    options: dict[str, Any] = {"adc_bits": 14, "dac": Dac(14)} if converters else {}
    program = one_layer(
        "conv_transpose", weight, Geometry("conv-transpose", groups, 1, 4, (2, 2)),
        ("n", groups, 3, 3), attributes={"group": groups}, bias=torch.arange(7.0),
        device=device(noise__programming={"sigma": "1e-7 uS"}), **options,
    )  # fmt: skip
    tiles = [[g, 0, 0, 1, 0, 4, g // 2, g % 2, 8 * (g % 2)] for g in range(groups)]
    program = with_tiles(program, w=tiles)
    x = np.random.default_rng(1).uniform(-1, 1, (2, groups, 3, 3)).astype(np.float32)
    y = run(program, x)
    ideal = run(program, x, mode="ideal")
    assert y.shape == ideal.shape
    np.testing.assert_allclose(y, ideal, atol=5e-3 if converters else 1e-5)


def test_measured_cells_are_put_into_their_blocks() -> None:
    program = grouped(wired())
    planes: tuple[Tensor, ...] = program.layers["w"].cells.planes
    x = samples(3)
    expected = run(program, x, effects={"ir-drop"})
    got = run(program, x, effects={"ir-drop"}, measured={"w": planes})
    np.testing.assert_array_equal(got, expected)
