"""Find the cells that a program's fault map sticks: physical places to logical cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from cimc.executor.cells import StuckCells
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import Block, Lines, blocks, planes_of
from cimc.targets import Target


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
    order = np.argsort(cells[:, 0], kind="stable")
    places, g_us = cells[order].astype(np.int64), g_us[order]
    found = {}
    for plane in range(planes_of(layer)):
        _, rows, columns = layer.cells.planes[plane].shape
        indices, values = [], []
        for block in blocks(layer, plane):
            low, high = np.searchsorted(places[:, 0], (block.array, block.array + 1))
            row, column, inside = _inside(block, places[low:high])
            if inside.any():
                line = block.group * rows + block.rows.start + row[inside]
                indices.append(line * columns + block.columns.start + column[inside])
                values.append(g_us[low:high][inside])
        if indices:
            found[plane] = StuckCells(
                torch.from_numpy(np.concatenate(indices)), torch.from_numpy(np.concatenate(values))
            )
    return found


def _inside(
    block: Block, cells: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return row and column in the block, and whether the cells of its array lie there."""
    row, column = (
        _index(lines, cells[:, k])
        for k, lines in enumerate((block.word_lines, block.bit_lines), 1)
    )
    return row, column, (row >= 0) & (column >= 0)


def _index(lines: Lines, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where lines stand among those of a block; -1: nowhere."""
    if isinstance(lines, slice):
        step = lines.step or 1
        index, between = np.divmod(wanted - lines.start, step)
        known = (between == 0) & (index >= 0) & (wanted < lines.stop)
    else:
        order = np.argsort(lines)
        near = np.searchsorted(lines, wanted, sorter=order).clip(max=len(lines) - 1)
        index = order[near]
        known = lines[index] == wanted
    return np.where(known, index, -1)
