"""Groups that share an array, on a chip that sticks idle cells between them.

Packed groups are driven together because the two idle cells of a pair cancel.  Where a fault map
says that they do not, a stuck cell would carry the input of one group to the output of another:
as strong as a weight, and there are many more idle cells than weights.  A program made for the
chip drives the groups of such a layer one after the other, and reads no idle cell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cimc.executor.cells import StuckCells
from cimc.executor.known_faults import KnownCells, known_cells
from cimc.executor.packing import Packing, packed
from cimc.executor.physics import physics_of
from cimc.program.model import DeviceProgram, FaultRecord, ProgramLayer


def made_for(program: DeviceProgram, faults: FaultRecord) -> DeviceProgram:
    """Return a program as it runs on one chip.

    Args:
        program: Compiled around the faults.
        faults: What is known of the chip.

    Returns:
        The program with the chip's faults; layers whose groups must be driven one after the other
        say so.
    """
    together = replace(
        program,
        faults=faults,
        layers={name: replace(x, one_by_one=False) for name, x in program.layers.items()},
    )
    physics = physics_of(together, "ideal")
    whole = packed(together, physics)
    if not whole.layers:
        return together
    known, g_min_us = known_cells(whole.program), physics.target.cell.g_min_us
    apart = {
        name
        for name, packing in whole.layers.items()
        if _between(whole.program.layers[name], packing, known, g_min_us)
    }
    layers = {name: replace(x, one_by_one=name in apart) for name, x in together.layers.items()}
    return replace(together, layers=layers)


def notes(program: DeviceProgram) -> tuple[str, ...]:
    """Return what to tell of layers whose groups are driven one after the other."""
    return tuple(
        f"layer '{name}': cells between its {layer.geometry.groups} groups, which share arrays, "
        "are faulty: the groups are read one after the other"
        for name, layer in program.layers.items()
        if layer.one_by_one
    )


def _between(layer: ProgramLayer, packing: Packing, known: KnownCells, g_min_us: float) -> bool:
    """Whether idle cells between the groups of a packed layer do not all stand at G_min."""
    if known.gains_of(layer):
        return True
    stuck = known.stuck.get(layer.name, {})
    return any(
        _idle_stuck(layer.cells.planes[plane].shape, packing, cells, g_min_us)
        for plane, cells in stuck.items()
    )


def _idle_stuck(
    shape: tuple[int, ...], packing: Packing, cells: StuckCells, g_min_us: float
) -> bool:
    """Whether a stuck cell of a plane lies between groups, elsewhere than at G_min."""
    away = cells.g_us.numpy() != np.float32(g_min_us)
    _, row, column = np.unravel_index(cells.index.numpy()[away], shape)
    between = row // packing.rows != column // (shape[2] // packing.size)
    return bool(between.any())
