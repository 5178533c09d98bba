"""What of a program is as it is because of one chip."""

from __future__ import annotations

import numpy as np

from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import blocks, planes_of


def faulty_cells(program: DeviceProgram) -> dict[str, int] | None:
    """Return the faulty cells in use, by layer name [-]; None for a program of no one chip."""
    if program.faults is None:
        return None
    cells = program.faults.cells.astype(np.int64)
    array, word, bit = map(
        np.ascontiguousarray, cells[np.argsort(cells[:, 0], kind="stable"), :3].T
    )
    counts = dict.fromkeys(program.layers, 0)
    for name, layer in program.layers.items():
        for block in (b for plane in range(planes_of(layer)) for b in blocks(layer, plane)):
            low, high = np.searchsorted(array, (block.array, block.array + 1))
            counts[name] += len(block.find(word[low:high], bit[low:high])[2])
    return counts


def negative_gains(layer: ProgramLayer) -> int:
    """Return the columns of a layer whose gain is negative: G+ and G- changed places [-]."""
    each = layer.geometry.groups * layer.geometry.columns // len(layer.cells.gain)
    return int((layer.cells.gain < 0).sum()) * each
