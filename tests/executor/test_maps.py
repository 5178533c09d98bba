"""Rows and columns on other lines: the same products, other physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cimc.device.ir_drop import Wires
from cimc.device.nodal import Nodal
from cimc.executor import Executor
from cimc.executor.packing import packed
from cimc.executor.physics import physics_of
from cimc.ir.geometry import Geometry
from cimc.program.arrays import conductance_us
from cimc.program.check import check
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.program.positions import tile_lines
from tests.executor.programs import one_layer, quarters
from tests.executor.test_packing import GROUPS, SIZE, device, grouped, run, samples
from tests.executor.test_wires import COLUMNS, OHMS, ONLY, ROWS, WIRES, wired, with_tiles
from tests.program.factories import KINDS, mlp, with_maps

MAPPED = tuple(kind for kind in KINDS if kind != "signed")


def inputs(count: int = 3) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (count, 2, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("mode", ["ideal", "noise-free"])
@pytest.mark.parametrize("kind", MAPPED)
def test_products_are_the_same_bit_for_bit(kind: str, mode: str) -> None:
    program = mlp(kind, extras=False)
    x = {"x": inputs()}
    one, other = (Executor(p, mode).run(x).outputs["y"] for p in (program, with_maps(program)))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one).max() > 0


def currents_us(
    program: DeviceProgram, array: int, lines: npt.NDArray[Any], x: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Return the currents of all bit lines with these word lines driven, by Kirchhoff's laws."""
    g_us = np.zeros((ROWS, COLUMNS))
    g_us[lines] = conductance_us(program, array)[lines]
    voltages = np.zeros((len(x), ROWS))
    voltages[:, lines] = x
    return Nodal(g_us, OHMS).currents(voltages)


@pytest.mark.parametrize("spares", [True, False])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_wires_are_those_of_the_permuted_array(encoding: str, spares: bool) -> None:
    """Two row tiles share an array, their lines apart or in each other's midst."""
    program = one_layer(
        "matmul", quarters((15, 6), 1), Geometry("matrix", 1, 15, 6), ("n", 15), rows=8,
        device=wired(encoding=encoding), encoding=encoding,
    )  # fmt: skip
    program = with_tiles(program, w=[[0, 0, 0, 8, 0, 6, 0, 2, 4], [0, 1, 8, 7, 0, 6, 0, 14, 1]])
    rng = np.random.default_rng(1)
    words = rng.permutation(ROWS)[:15]
    if not spares:
        words = np.concatenate([2 + rng.permutation(8), 14 + rng.permutation(7)])
    step = 2 if encoding == "differential-pair" else 1
    count = 6 if step == 2 else 7
    bits = np.concatenate([rng.permutation(COLUMNS // step)[:count] * step for _ in range(2)])
    layer = replace(
        program.layers["w"], word_lines=words.astype(np.int32), bit_lines=bits.astype(np.int32)
    )
    program = replace(program, layers={"w": layer})
    check(program)
    x = rng.uniform(-1, 1, (4, 15)).astype(np.float32)
    expected: Any = 0.0
    for tile, rows in enumerate((slice(0, 8), slice(8, 15))):
        word, bit = tile_lines(layer, tile)
        np.testing.assert_array_equal(word, words[rows])
        lines = currents_us(program, 0, word, x[:, rows])
        if step == 2:
            expected = expected + lines[:, bit] - lines[:, bit + 1]
        else:
            expected = expected + lines[:, bit[:-1]] - lines[:, bit[-1:]]
    expected = expected * float(layer.cells.gain)
    y = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())
    in_order = replace(program, layers={"w": replace(layer, word_lines=None, bit_lines=None)})
    plain = Executor(in_order, effects=ONLY).run({"x": x}).outputs["y"]
    assert abs(plain - y).max() > 1e-3 * abs(expected).max()


def permuted(program: DeviceProgram, seed: int = 3) -> DeviceProgram:
    """Permute all word lines and all pairs of bit lines of every array, tiles sharing them."""
    rng = np.random.default_rng(seed)
    layer = program.layers["w"]
    width = 1 if layer.encoding == "offset-column" else 2
    words: list[Any] = []
    bits: list[Any] = []
    arrays = {
        a: (rng.permutation(ROWS), rng.permutation((COLUMNS - 1) // width)) for a in range(2)
    }
    for number in range(len(layer.tiles)):
        array = arrays[int(layer.tiles[number, 6])]
        word, bit = tile_lines(layer, number)
        words.append(array[0][word])
        bits.append(array[1][(bit - 1) // width] * width + 1)
    lines = [np.concatenate(some).astype(np.int32) for some in (words, bits)]
    return replace(program, layers={"w": replace(layer, word_lines=lines[0], bit_lines=lines[1])})


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_packed_groups_behind_wires(encoding: str) -> None:
    """Every block as a whole by Kirchhoff's laws, the word lines of all its groups driven."""
    program = permuted(grouped(wired(encoding=encoding), GROUPS, encoding))
    check(program)
    layer = program.layers["w"]
    x = samples(3)
    expected = np.zeros((3, GROUPS))
    for first in range(0, GROUPS, SIZE):
        members = range(first, min(first + SIZE, GROUPS))
        word = np.concatenate([tile_lines(layer, g)[0] for g in members])
        array = int(layer.tiles[first, 6])
        lines = currents_us(program, array, word, x[:, members].reshape(3, -1))
        for group in members:
            bit = tile_lines(layer, group)[1]
            expected[:, group] = (
                lines[:, bit[0]] - lines[:, bit[-1] if len(bit) > 1 else bit[0] + 1]
            )
    expected *= float(layer.cells.gain)
    assert packed(program, physics_of(program, "chip", ONLY)).layers
    y = run(program, x, effects=ONLY)[:, :, 0]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())


def test_a_stuck_idle_cell_of_packed_groups_is_where_the_map_has_it() -> None:
    program = permuted(grouped(device()))
    layer = program.layers["w"]
    word, bit = tile_lines(layer, 0)[0][0], tile_lines(layer, 2)[1][0]
    cells = np.array([[0, word, bit, 2]], np.int32)
    faulty = replace(program, faults=FaultRecord("a", cells, np.zeros(1, np.float32)))
    x = np.zeros((1, GROUPS, 2), np.float32)
    x[:, 0, 0] = 0.5
    y, exact = (run(p, x, mode="ideal")[0, :, 0] for p in (faulty, program))
    gain = float(layer.cells.gain)
    assert y[2] == pytest.approx(0.5 * 16.0 * gain)
    np.testing.assert_allclose(np.delete(y, 2), np.delete(exact, 2), atol=1e-6)


def test_groups_with_a_line_in_common_are_read_one_by_one() -> None:
    """No cell is in two tiles, but group 0 now needs a word line of group 1 for itself."""
    program = grouped(device())
    layer = program.layers["w"]
    word = np.concatenate([tile_lines(layer, g)[0] for g in range(GROUPS)])
    physics = replace(physics_of(program, "chip"), effects=frozenset({"programming"}))
    for line, together in ((int(word[0]), True), (int(word[2]), False)):
        word[0] = line
        mapped = replace(program, layers={"w": replace(layer, word_lines=word.astype(np.int32))})
        check(mapped)
        assert bool(packed(mapped, physics).layers) == together
        np.testing.assert_array_equal(
            run(mapped, samples(2), mode="ideal"), run(program, samples(2), mode="ideal")
        )


def test_stuck_idle_cells_load_the_wires() -> None:
    """A cell without weight on a driven word line, stuck at G_max; and one on a dark line."""
    program = one_layer(
        "matmul", quarters((9, 6), 0), Geometry("matrix", 1, 9, 6), ("n", 9), device=wired()
    )
    x = np.random.default_rng(0).uniform(-1, 1, (5, 9)).astype(np.float32)
    before = Executor(program, effects=ONLY).run({"x": x}).outputs["y"]
    cells = np.array([[0, 3, 0, 2], [0, 20, 4, 2]], np.int32)
    faulty = replace(program, faults=FaultRecord("a", cells, np.zeros(2, np.float32)))
    g_us = np.zeros((ROWS, COLUMNS))
    g_us[1:10] = conductance_us(program, 0)[1:10]
    g_us[3, 0] = 18.0
    voltages = np.zeros((5, ROWS))
    voltages[:, 1:10] = x
    lines = Nodal(g_us, Wires(30.0, 20.0, 400.0, 250.0)).currents(voltages)[:, 2:14]
    expected = (lines[:, 0::2] - lines[:, 1::2]) * float(program.layers["w"].cells.gain)
    y = Executor(faulty, effects=ONLY).run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * abs(expected).max())
    assert abs(y - before).max() > 1e-4 * abs(expected).max()
    assert WIRES["driver"] == "400 ohm"


def test_a_correlated_field_is_that_of_the_place() -> None:
    """Two cells that change places change factors; nothing else does."""
    program = one_layer(
        "matmul", torch.ones(9, 6), Geometry("matrix", 1, 9, 6), ("n", 9),
        device=device(noise__correlated={"sigma_relative": 0.1}),
    )  # fmt: skip
    layer = program.layers["w"]
    word = np.arange(1, 10, dtype=np.int32)
    turned = replace(program, layers={"w": replace(layer, word_lines=word[::-1].copy())})
    x = np.eye(9, dtype=np.float32)
    rows, mirrored = (Executor(p, seed=4).run({"x": x}).outputs["y"] for p in (program, turned))
    np.testing.assert_allclose(rows, mirrored[::-1], rtol=1e-6)
    assert np.ptp(rows[:, 0]) > 0.01


@pytest.mark.parametrize("mode", ["ideal", "noise-free"])
@pytest.mark.parametrize("kind", ["differential-pair", "twin-arrays", "own-states"])
def test_pairs_that_changed_places_have_a_negative_gain(kind: str, mode: str) -> None:
    """G+ and G- of some columns exchanged: the same products, through converters too."""
    program = mlp(kind, extras=False)
    layers = {}
    for name, layer in program.layers.items():
        columns = layer.geometry.columns
        turned = torch.arange(columns) % 3 == 1
        plus, minus = layer.cells.planes
        planes = (torch.where(turned, minus, plus), torch.where(turned, plus, minus))
        gain = layer.cells.gain.expand(columns) * torch.where(turned, -1.0, 1.0)
        cells = replace(layer.cells, planes=planes, gain=gain.contiguous())
        layers[name] = replace(layer, cells=cells)
    other = replace(program, layers=layers)
    check(other)
    x = {"x": inputs()}
    one, two = (Executor(p, mode).run(x).outputs["y"] for p in (program, other))
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)
