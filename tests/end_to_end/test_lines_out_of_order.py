"""A compiled network on permuted lines of permuted arrays: the same products, other physics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cimc
from cimc.executor import Executor
from cimc.faults.fault_map import FaultMap
from cimc.program import read, write
from cimc.program.arrays import arrays_in_use, conductance_us
from cimc.program.model import DeviceProgram
from cimc.program.originals import before_the_chip
from cimc.program.positions import tile_lines
from cimc.program.size import layout
from cimc.targets import load_target
from tests.end_to_end.build import model, node

ROWS, COLUMNS, ARRAYS = 40, 24, 30


def compiled(encoding: str, **options: Any) -> DeviceProgram:
    """Layers that share arrays: a convolution, a depthwise one, two matrices."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((6, 2, 3, 3)),
        "w2": rng.standard_normal((6, 1, 3, 3)),
        "w3": rng.standard_normal((24, 15)),
        "w4": rng.standard_normal((15, 4)),
    }
    made = model(
        [
            node("Conv", ["x", "w1"], "a"),
            node("Relu", ["a"], "b"),
            node("Conv", ["b", "w2"], "c", group=6),
            node("Flatten", ["c"], "d"),
            node("MatMul", ["d", "w3"], "e"),
            node("Relu", ["e"], "f"),
            node("MatMul", ["f", "w4"], "y"),
        ],
        {"x": ["n", 2, 6, 6]},
        ["y"],
        {name: value.astype(np.float32) for name, value in weights.items()},
    )
    target = load_target("rram").changed({
        "array.rows": ROWS, "array.columns": COLUMNS, "encoding": encoding,
        "chip.cores": 1, "chip.arrays_per_core": ARRAYS,
    })  # fmt: skip
    return cimc.compile(made, target=target, levels=8, **options)


def inputs(count: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(2).uniform(-1, 1, (count, 2, 6, 6)).astype(np.float32)}


def permuted(program: DeviceProgram, seed: int) -> tuple[DeviceProgram, dict[int, Any]]:
    """Return the program with all lines of every array permuted, and arrays renumbered.

    Returns:
        The program, and by the old number of an array its new one, word lines and bit lines.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(ARRAYS)
    step = max(layout(layer).bit_lines for layer in program.layers.values())
    moves = {}
    for array in arrays_in_use(program).tolist():
        bit = (rng.permutation(COLUMNS // step)[:, None] * step + np.arange(step)).ravel()
        moves[array] = int(numbers[array]), rng.permutation(ROWS), bit
    layers = {}
    for name, layer in program.layers.items():
        tiles = layer.tiles.copy()
        lines: tuple[list[Any], list[Any]] = ([], [])
        for k in range(len(tiles)):
            number, word, bit = moves[int(tiles[k, 6])]
            own = tile_lines(layer, k)
            lines[0].append(word[own[0]])
            lines[1].append(bit[own[1]])
            tiles[k, 6] = number
        words, bits = (np.concatenate(some).astype(np.int32) for some in lines)
        layers[name] = replace(layer, tiles=tiles, word_lines=words, bit_lines=bits)
    return replace(program, layers=layers), moves


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_a_compiled_network_computes_the_same(encoding: str, tmp_path: Path) -> None:
    program = compiled(encoding)
    # Several tiles share an array: what is tested is that they stay apart.
    assert program.arrays < sum(len(layer.tiles) for layer in program.layers.values())
    moved, moves = permuted(program, 1)
    write(moved, tmp_path / "p.cim")
    moved = read(tmp_path / "p.cim")
    for array, (number, word, bit) in moves.items():
        physical = conductance_us(moved, number)
        np.testing.assert_array_equal(physical[np.ix_(word, bit)], conductance_us(program, array))
    x = inputs(5)
    for mode, effects in (("ideal", None), ("noise-free", None), ("chip", {"dac", "programming"})):
        one, other = (
            Executor(p, mode, seed=3, effects=effects).run(x).outputs["y"]
            for p in (program, moved)
        )
        np.testing.assert_array_equal(one, other)
    golden = moved.golden
    assert golden is not None
    again = Executor(moved, "noise-free").run(dict(golden.inputs)).outputs["y"]
    np.testing.assert_allclose(again, golden.outputs["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_it_is_made_for_a_chip(encoding: str, gains: bool, tmp_path: Path) -> None:
    """10 % of all cells stuck: what is left of the error, and that the file is all there is.

    The cells between the groups of the depthwise layer are stuck as often as any.
    """
    program = compiled(encoding, data=inputs(64))
    size, rng = (ARRAYS, ROWS, COLUMNS), np.random.default_rng(3)
    place = np.sort(rng.choice(np.prod(size), int(0.1 * np.prod(size)), replace=False))
    state = rng.integers(1, 3, len(place))
    cells = np.column_stack([*np.unravel_index(place, size), state]).astype(np.int32)
    every = np.arange(ARRAYS, dtype=np.int32)
    both = [rng.lognormal(0, 0.1, size).astype(np.float32) for _ in range(2)]
    chip = FaultMap(
        "a", "rram", every, cells, np.zeros(len(cells), np.float32),
        *((every, *both) if gains else ()),
    )  # fmt: skip
    cimc.recompile(program, chip, output=tmp_path / "p.cim")
    made = read(tmp_path / "p.cim")
    assert [layer.one_by_one for layer in made.layers.values()] == [False, True, False, False]
    golden, x = made.golden, inputs(32)
    assert golden is not None
    again = Executor(made, "noise-free").run(dict(golden.inputs)).outputs["y"]
    np.testing.assert_allclose(again, golden.outputs["y"], rtol=1e-5, atol=1e-6)
    ignored = replace(program, faults=chip.record())
    y, wrong, right = (Executor(p, "ideal").run(x).outputs["y"] for p in (made, ignored, program))
    norm = np.linalg.norm
    assert norm(y - right) < 0.25 * norm(right)
    assert norm(wrong - right) > norm(right)
    before = before_the_chip(made)
    assert before is not None
    np.testing.assert_array_equal(Executor(before, "ideal").run(x).outputs["y"], right)
