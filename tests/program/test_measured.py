"""Read-back matrices become the planes of layers: the inverse of the physical view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program.arrays import conductance_us
from cimc.program.measured import Readback, cells, check, planes, shapes
from cimc.program.model import DeviceProgram, FaultRecord
from cimc.program.positions import tile_lines
from tests.program.factories import KINDS, mlp, plane_us, renumbered, with_maps

ENCODINGS = [kind for kind in KINDS if kind != "signed"]


def read_back(program: DeviceProgram, chip: str = "") -> Readback:
    """What a perfect tester reads from a perfect chip."""
    return Readback("t", chip, {k: conductance_us(program, k) for k in range(program.arrays)})


def targets(program: DeviceProgram) -> Mapping[str, tuple[torch.Tensor, ...]]:
    return {
        name: tuple(torch.from_numpy(plane_us(layer, k)) for k in range(len(layer.cells.planes)))
        for name, layer in program.layers.items()
    }


def refused(code: str, readback: Readback, program: DeviceProgram | None = None) -> str:
    with pytest.raises(ProgramError) as caught:
        planes(program or mlp(), readback)
    assert caught.value.code == code
    return str(caught.value)


def changed(number: int, row: int, column: int, value: float) -> Readback:
    arrays = dict(read_back(mlp()).arrays)
    arrays[number] = arrays[number].copy()
    arrays[number][row, column] = value
    return Readback("t", "", arrays)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("states", [16, None])
def test_a_perfect_read_back_gives_the_targets(encoding: str, states: int | None) -> None:
    program = mlp(encoding, states=states)
    found = planes(program, read_back(program))
    for name, wanted in targets(program).items():
        for got, want in zip(found[name], wanted, strict=True):
            assert got.dtype == torch.float32
            assert torch.equal(got, want)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ENCODINGS), st.integers(0, 2**32 - 1))
def test_any_conductances_come_back(encoding: str, seed: int) -> None:
    """Planes to matrices to planes, with arbitrary analog planes."""
    rng = np.random.default_rng(seed)
    program = mlp(encoding, states=None)
    layers = {}
    for name, layer in program.layers.items():
        drawn = [rng.gamma(2.0, 3.0, tuple(p.shape)) for p in layer.cells.planes]
        made = tuple(torch.from_numpy(g.astype(np.float32)) for g in drawn)
        layers[name] = replace(layer, cells=replace(layer.cells, planes=made))
    program = replace(program, layers=layers)
    found = planes(program, read_back(program))
    for name, layer in layers.items():
        for got, want in zip(found[name], layer.cells.planes, strict=True):
            assert torch.equal(got, want)


def test_idle_cells_need_not_be_read() -> None:
    program = mlp()
    idle = changed(0, 31, 23, np.nan)  # conv takes 18 x 10 cells
    assert torch.equal(
        planes(program, idle)["conv"][0], planes(program, read_back(program))["conv"][0]
    )


def test_a_used_cell_that_was_not_read_is_refused() -> None:
    # fc1's first tile stands at array 1: row 2, third weight column, G-
    text = refused("CIMC-P73", changed(1, 2, 5, np.nan))
    assert "array 1, row 2, column 5" in text
    assert "'fc1'" in text


@pytest.mark.parametrize("value", [-0.001, np.inf, -np.inf])
def test_values_that_are_no_conductance(value: float) -> None:
    assert "array 2, row 3, column 4" in refused("CIMC-P73", changed(2, 3, 4, value))
    refused("CIMC-P73", changed(0, 31, 23, value))  # idle or not


def test_missing_and_unknown_arrays() -> None:
    arrays = dict(read_back(mlp()).arrays)
    del arrays[3]
    assert "lacks array_3" in refused("CIMC-P71", Readback("t", "", arrays))
    arrays = {**read_back(mlp()).arrays, 8: np.ones((32, 24), np.float32)}
    assert "unknown array_8" in refused("CIMC-P71", Readback("t", "", arrays))
    text = refused("CIMC-P71", Readback("t", "", {}))
    assert "array_4 and 3 more" in text


@pytest.mark.parametrize("shape", [(24, 32), (32, 23), (32 * 24,), (1, 32, 24), ()])
def test_shapes(shape: tuple[int, ...]) -> None:
    arrays = {**read_back(mlp()).arrays, 1: np.ones(shape, np.float32)}
    refused("CIMC-P72", Readback("t", "", arrays))


def test_signed_weights_are_no_conductances() -> None:
    program = mlp("signed")
    refused("CIMC-P74", read_back(program), program)


def test_of_another_chip() -> None:
    faults = FaultRecord("chip-7", np.empty((0, 4), np.int32), np.empty(0, np.float32))
    program = replace(mlp(), faults=faults)
    refused("CIMC-P74", read_back(program, "chip-8"), program)
    check(program, read_back(program, "chip-7"))
    check(program, read_back(program, ""))


def test_bounds() -> None:
    program = mlp()
    assert shapes(program) == dict.fromkeys(range(8), (32, 24))
    assert cells(program) == 8 * 32 * 24


def test_too_large_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimc.program.measured.MAX_CELLS", 10)
    with pytest.raises(ProgramError) as caught:
        cells(mlp())
    assert caught.value.code == "CIMC-P72"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_cells_are_read_where_they_lie(encoding: str) -> None:
    """Lines out of order, on other arrays: the planes are the same, the gaps need not be read."""
    program = mlp(encoding)
    pairs = np.random.default_rng(1).permutation(12)[: -(-program.arrays // 2)] * 2
    numbers = np.stack([pairs, pairs + 1], 1).ravel()[: program.arrays].tolist()
    moved = renumbered(with_maps(program), numbers)
    given = Readback("t", "", {k: conductance_us(moved, k) for k in numbers})
    found = planes(moved, given)
    for name, wanted in targets(program).items():
        for got, want in zip(found[name], wanted, strict=True):
            assert torch.equal(got, want)
    layer = moved.layers["fc1"]
    word, bit = (lines[0] for lines in tile_lines(layer, 0))
    arrays = {k: matrix.copy() for k, matrix in given.arrays.items()}
    number = int(layer.tiles[0, 6])
    arrays[number][word, bit] = np.nan
    where = f"array {number}, row {word}, column {bit}"
    assert where in refused("CIMC-P73", Readback("t", "", arrays), moved)
    del arrays[numbers[0]]
    assert f"lacks array_{numbers[0]}" in refused("CIMC-P71", Readback("t", "", arrays), moved)
    spare = next(k for k in range(24) if k not in numbers)
    arrays = {**given.arrays, spare: arrays[numbers[1]]}
    assert f"unknown array_{spare}" in refused("CIMC-P71", Readback("t", "", arrays), moved)
