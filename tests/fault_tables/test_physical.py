"""A program for one chip, cell by cell: what the executor computes with, worked out from places.

The oracle knows only the file's tables: where each cell of each weight lies, what it is programmed
to, and the tester's list of stuck cells as a dictionary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cimc
from cimc.executor import Executor
from cimc.faults import AT_G_MAX, AT_G_MIN, sample
from cimc.ir.layer import TILE_FIELDS
from cimc.pipeline.recompile import recompile
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.targets import load_target
from tests.end_to_end.build import model, node, normal

Array = npt.NDArray[Any]
CHANNELS, SIDE = 6, 8
TARGETS: dict[str, tuple[str, dict[str, object]]] = {
    "pairs": ("rram", {}),
    "pairs, spare lines": ("rram", {"array.spare_rows": 8, "array.spare_columns": 16}),
    "bit-sliced": ("otp", {}),
    "offset columns": ("rram", {"encoding": "offset-column"}),
}


def network() -> Any:
    """Return a convolution and a product; small, with more rows than one array."""
    weights = {
        "w1": normal(CHANNELS, 1, 3, 3, seed=1) / 3,
        "w2": normal(CHANNELS * SIDE * SIDE, 10, seed=2) / 20,
    }
    nodes = [
        node("Conv", ["x", "w1"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        node("Flatten", ["r"], "f"),
        node("MatMul", ["f", "w2"], "y"),
    ]
    return model(nodes, {"x": ["n", 1, SIDE, SIDE]}, ["y"], weights)


def planes_us(layer: ProgramLayer) -> list[Array]:
    """Return what the cells are programmed to, ``(rows, columns)`` a plane [uS]."""
    states = layer.cells.states_us
    found = []
    for plane in layer.cells.planes:
        p = plane.numpy()[0]
        if states is None:
            found.append(p)
        elif states.ndim == 1:
            found.append(states.numpy()[p])
        else:
            found.append(states.numpy()[np.arange(p.shape[1])[None], p])
    return found


def places(layer: ProgramLayer) -> list[dict[str, Any]]:
    """Return the tiles of a layer with the lines of each of their rows and columns."""
    step = {"differential-pair": 2, "offset-column": 1}.get(layer.encoding, 0)
    step = step or len(layer.cells.planes)
    offset = layer.encoding == "offset-column"
    found, rows, columns = [], 0, 0
    for table in layer.tiles.tolist():
        tile = dict(zip(TILE_FIELDS, table, strict=True))
        width = tile["columns"] + offset
        words = np.arange(tile["rows"]) + tile["array_row"]
        bits = np.arange(width) * step + tile["array_column"]
        if layer.word_lines is not None:
            words = layer.word_lines[rows : rows + tile["rows"]]
        if layer.bit_lines is not None:
            bits = layer.bit_lines[columns : columns + width]
        rows, columns = rows + tile["rows"], columns + width
        found.append({**tile, "words": words, "bits": bits})
    return found


def weights_of(
    layer: ProgramLayer, stuck: dict[tuple[int, int, int], float], used: set[Any]
) -> Array:
    """Return the weights that the cells of a layer stand for, float64 ``(rows, columns)``."""
    planes = planes_us(layer)
    gain = np.broadcast_to(layer.cells.gain.numpy().astype(np.float64), planes[0].shape[1:])
    result = np.full(planes[0].shape, np.nan)

    def cell(tile: dict[str, Any], i: int, line: int, programmed: float) -> float:
        place = (tile["array"], int(tile["words"][i]), int(line))
        return stuck.get(place, programmed)

    for number, tile in enumerate(places(layer)):
        for i in range(tile["rows"]):
            row = tile["row"] + i
            for j in range(tile["columns"]):
                column, line = tile["column"] + j, int(tile["bits"][j])
                count = 1 if layer.encoding == "offset-column" else len(planes)
                places_of = [
                    (tile["array"], int(tile["words"][i]), line + k) for k in range(count)
                ]
                assert not used & set(places_of)
                used.update(places_of)
                g = [cell(tile, i, line + k, planes[k][row, column]) for k in range(count)]
                if layer.encoding == "differential-pair":
                    value = g[0] - g[1]
                elif layer.encoding == "offset-column":
                    at = number // len(layer.row_tiles) if planes[1].shape[1] > 1 else 0
                    value = g[0] - cell(tile, i, int(tile["bits"][-1]), planes[1][row, at])
                else:
                    factors = layer.cells.multipliers
                    correction = layer.cells.correction_us
                    assert factors is not None
                    assert correction is not None
                    r = factors.numpy().reshape(len(g), -1)
                    c = correction.numpy()
                    value = sum(r[k, column % r.shape[1]] * g[k] for k in range(count))
                    value += c[column % len(c)]
                result[row, column] = gain[column] * value
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("method", ["nearest", "feedback"])
def test_the_executor_computes_with_what_lies_on_the_chip(name: str, method: Any) -> None:
    shipped, changes = TARGETS[name]
    target = load_target(shipped).changed(changes)
    images = normal(64, 1, SIDE, SIDE, seed=3)
    program = cimc.compile(network(), target=target, data={"x": images})
    faults = sample(program, rate=0.15, seed=1)
    made = recompile(program, faults, method=method).program
    ends = {AT_G_MIN: target.cell.g_min_us, AT_G_MAX: target.cell.g_max_us}
    stuck = {(a, r, c): ends[s] for a, r, c, s in faults.cells.tolist()}
    used: set[Any] = set()
    w1, w2 = (weights_of(layer, stuck, used) for layer in made.layers.values())
    x = normal(5, 1, SIDE, SIDE, seed=4).astype(np.float64)
    padded = np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    y = np.einsum("nhwij,ijc->nchw", windows, w1.reshape(3, 3, -1))
    hidden = np.maximum(y + bias_of(made, CHANNELS)[:, None, None], 0.0).reshape(len(x), -1)
    expected = hidden @ w2 + bias_of(made, 10)
    (got,) = Executor(made, "ideal").run({"x": x.astype(np.float32)}).outputs.values()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def bias_of(program: DeviceProgram, size: int) -> Array:
    """Return the bias that recompiling added to outputs of so many channels; 0 where none is."""
    found = [v.numpy().reshape(-1) for v in program.constants.values() if v.numel() == size]
    return np.zeros(size) if not found else found[0].astype(np.float64)
