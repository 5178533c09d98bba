"""How many cells of a program its chip's fault map names."""

from __future__ import annotations

import numpy as np

from cimc.program.model import DeviceProgram
from cimc.program.positions import blocks, planes_of


def faulty_cells(program: DeviceProgram) -> dict[str, int] | None:
    """Return the faulty cells in use, by layer name [-]; None for a program of no one chip."""
    if program.faults is None:
        return None
    cells = program.faults.cells.astype(np.int64)
    cells = cells[np.argsort(cells[:, 0], kind="stable")]
    counts = dict.fromkeys(program.layers, 0)
    for name, layer in program.layers.items():
        for block in (b for plane in range(planes_of(layer)) for b in blocks(layer, plane)):
            low, high = np.searchsorted(cells[:, 0], (block.array, block.array + 1))
            counts[name] += len(block.find(cells[low:high, 1], cells[low:high, 2])[2])
    return counts
