"""The cells of an array that hold no weights."""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.device import lines
from cimc.device.device_to_device import move_states
from cimc.executor.ageing import broken_lines, heated
from cimc.executor.known_faults import KnownCells
from cimc.executor.physics import Physics


def idle_us(
    physics: Physics,
    seed: int,
    array: int,
    device: torch.device,
    known: KnownCells | None = None,
) -> Tensor:
    """Return the conductances of an array that holds no weights, ``(rows, columns)`` [uS].

    Idle cells stand at G_min, at the temperature of the read; they are as faulty as the chip's
    map has them, and on broken lines as broken as any cell.

    Args:
        physics: What is modelled; arrays have a number of rows and columns.
        seed: The chip.
        array: Number of the array.
        device: Where it is computed.
        known: What is known of the chip's cells.
    """
    cell, rows, columns = (
        physics.target.cell, physics.target.array.rows, physics.target.array.columns
    )  # fmt: skip
    assert rows is not None
    assert columns is not None
    known = KnownCells() if known is None else known
    g_us = torch.full((rows, columns), cell.g_min_us)
    move_states(g_us, cell.g_min_us, cell.g_max_us, *known.gains_on(array))
    broken = None
    if physics.on("lines"):
        broken = broken_lines(physics, seed, array, rows, columns)
        lines.stick_lines(g_us, broken[0].stuck, broken[1].stuck, cell.g_max_us)
    row, column, stuck_us = known.stuck_on(array)
    g_us[row, column] = stuck_us
    if broken is not None:
        lines.cut_lines(g_us, broken[0].open, broken[1].open)
    if physics.on("temperature"):
        heated(g_us, physics)
    return g_us.to(device)
