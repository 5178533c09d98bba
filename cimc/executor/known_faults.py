"""Find the cells that a program's fault map sticks: physical places to logical cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from cimc.executor.cells import StuckCells
from cimc.ir.layer import TILE_FIELDS
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.targets import Target

_FIELD = {name: index for index, name in enumerate(TILE_FIELDS)}


def stuck_cells(program: DeviceProgram) -> dict[str, dict[int, StuckCells]]:
    """Return the stuck cells that hold weights: by layer name, then by plane.

    State 1 is stuck at G_min, 2 at G_max, 3 at the conductance given.  Places no layer uses do
    not matter and are left out.
    """
    faults = program.faults
    if faults is None or not len(faults.cells):
        return {}
    cell = Target.from_plain(program.target, name="the program's target").cell
    levels = np.array([np.nan, cell.g_min_us, cell.g_max_us], dtype=np.float32)
    state = faults.cells[:, 3]
    given = state == 3
    g_us = levels[np.where(given, 0, state)]
    if given.any():
        g_us[given] = faults.conductance_us[given]
    found = {}
    for name, layer in program.layers.items():
        planes = _in_layer(layer, faults.cells, g_us)
        if planes:
            found[name] = planes
    return found


def _in_layer(
    layer: ProgramLayer, cells: npt.NDArray[np.int32], g_us: npt.NDArray[np.float32]
) -> dict[int, StuckCells]:
    """Return the stuck cells of one layer by plane."""
    pieces: dict[int, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]] = {}
    by_array = cells[np.argsort(cells[:, 0], kind="stable")]
    g_sorted = g_us[np.argsort(cells[:, 0], kind="stable")]
    first_columns = np.unique(layer.tiles[:, _FIELD["column"]])
    for tile in layer.tiles.astype(np.int64):
        array = tile[_FIELD["array"]]
        low, high = np.searchsorted(by_array[:, 0], (array, array + 1))
        row = by_array[low:high, 1] - tile[_FIELD["array_row"]]
        column = by_array[low:high, 2] - tile[_FIELD["array_column"]]
        plane, weight_column, inside = _weight_column(layer, tile, column)
        inside &= (row >= 0) & (row < tile[_FIELD["rows"]])
        for number in np.unique(plane[inside]):
            here = inside & (plane == number)
            offset = layer.encoding == "offset-column" and number == 1
            last = (
                np.full(here.sum(), np.searchsorted(first_columns, tile[_FIELD["column"]]))
                if offset
                else weight_column[here] + tile[_FIELD["column"]]
            )
            width = len(first_columns) if offset else layer.geometry.columns
            line = tile[_FIELD["group"]] * layer.geometry.rows + tile[_FIELD["row"]] + row[here]
            pieces.setdefault(int(number), []).append(
                (line * width + last, g_sorted[low:high][here])
            )
    return {
        plane: StuckCells(
            torch.from_numpy(np.concatenate([index for index, _ in parts])),
            torch.from_numpy(np.concatenate([g for _, g in parts])),
        )
        for plane, parts in pieces.items()
    }


def _weight_column(
    layer: ProgramLayer, tile: npt.NDArray[np.int64], column: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return plane, weight column in the tile, and whether the tile has that bit line."""
    columns = tile[_FIELD["columns"]]
    bit_line = column.astype(np.int64)
    if layer.encoding == "differential-pair":
        inside = (bit_line >= 0) & (bit_line < 2 * columns)
        return bit_line % 2, bit_line // 2, inside
    if layer.encoding == "offset-column":
        inside = (bit_line >= 0) & (bit_line <= columns)
        return (bit_line == columns).astype(np.int64), bit_line, inside
    inside = (bit_line >= 0) & (bit_line < columns)
    return np.zeros_like(bit_line), bit_line, inside
