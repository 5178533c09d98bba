"""The conductance of every cell of a layer on one chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.device import seeding
from cimc.device.programming import programmed
from cimc.device.stuck import stick
from cimc.executor.physics import Physics
from cimc.ir.layer import Cells
from cimc.program.model import ProgramLayer


@dataclass(frozen=True, slots=True)
class StuckCells:
    """Cells of one plane that a fault map sticks.

    Attributes:
        index: Position in the flattened plane, int64 ``(n,)``.
        g_us: Their conductances, float32 ``(n,)`` [uS].
    """

    index: Tensor
    g_us: Tensor


def targets_us(cells: Cells, device: torch.device) -> tuple[Tensor, ...]:
    """Return the conductance targets of each plane, float32 [uS]; float planes are not copied."""
    if cells.states_us is None:
        return tuple(plane.to(device) for plane in cells.planes)
    states = cells.states_us.to(device)
    return tuple(_look_up(states, plane.to(device)) for plane in cells.planes)


def _look_up(states: Tensor, plane: Tensor) -> Tensor:
    index = plane.reshape(-1).to(torch.int32)
    return states.index_select(0, index).reshape(plane.shape)


def conductances_us(
    layer: ProgramLayer,
    targets: tuple[Tensor, ...],
    physics: Physics,
    seed: int,
    faults: Mapping[int, StuckCells],
) -> tuple[Tensor, ...]:
    """Return the conductances a chip has, one float32 tensor a plane [uS].

    Programming noise, then stuck cells of the target's rates, then those of the fault map.

    Args:
        layer: For its name, which keys the draws.
        targets: What the cells are programmed to; returned as they are where nothing changes.
        physics: What is modelled.
        seed: The chip.
        faults: Known stuck cells by plane.
    """
    planes = []
    for number, target in enumerate(targets):
        plane = target
        if physics.on("programming"):
            stream = seeding.generator(seed, "programming", layer.name, number)
            plane = programmed(plane, _programming_sigma_us(physics), stream)
        stuck = physics.target.stuck
        if physics.on("stuck") and stuck is not None:
            stream = seeding.generator(seed, "stuck", layer.name, number)
            plane = plane.clone() if plane is target else plane
            cell = physics.target.cell
            rates = (stuck.at_g_min, stuck.at_g_max)
            stick(plane, *rates, cell.g_min_us, cell.g_max_us, stream)
        if number in faults:
            known = faults[number]
            plane = plane.clone() if plane is target else plane.contiguous()
            plane.view(-1)[known.index.to(plane.device)] = known.g_us.to(plane.device)
        planes.append(plane)
    return tuple(planes)


def _programming_sigma_us(physics: Physics) -> float:
    noise, cell = physics.target.noise.programming, physics.target.cell
    if noise is None:
        return 0.0
    if noise.sigma_us is not None:
        return noise.sigma_us
    return (noise.sigma_relative or 0.0) * (cell.g_max_us - cell.g_min_us)
