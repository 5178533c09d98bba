"""The fault maps of the tables."""

from __future__ import annotations

import numpy as np

from cimc.device.seeding import bit_generator
from cimc.faults.fault_map import AT_G_MAX, AT_G_MIN, FaultMap
from cimc.program.model import DeviceProgram
from tests.fault_tables.jobs import Faults


def fault_map(program: DeviceProgram, faults: Faults, seed: int) -> FaultMap:
    """Return the map of one chip: the same for all programs that use as many arrays."""
    rows, columns = program.target["array"]["rows"], program.target["array"]["columns"]
    draws = np.random.Generator(bit_generator(seed, "faults"))
    shape = (program.arrays, rows, columns)
    stuck = draws.random(shape) < faults.rate
    high = draws.random(shape) < faults.lrs_share
    places = np.argwhere(stuck)
    state = np.where(high[stuck], AT_G_MAX, AT_G_MIN)
    cells = np.column_stack([places, state]).astype(np.int32)
    arrays = np.arange(program.arrays, dtype=np.int32)
    g = np.zeros(len(cells), np.float32)
    return FaultMap(f"map-{seed}", program.target["name"], arrays, cells, g)
