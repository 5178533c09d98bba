"""What the cells of a layer come to on a chip whose faults are ignored."""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.device.device_to_device import move_states
from cimc.executor.cells import targets_us
from cimc.executor.matrices import matrices, weight
from cimc.ir.layer import CrossbarLayer
from cimc.remap.lines import as_program_layer
from cimc.remap.options_types import CellFaults
from cimc.remap.physical import ChipFaults, cell_faults
from cimc.targets import Target


def ignoring(
    layer: CrossbarLayer, chip: ChipFaults, target: Target, faults: CellFaults | None = None
) -> Tensor:
    """Return the weights a layer has in ideal mode where it lies.

    Args:
        layer: With cells, which know nothing of the chip.
        chip: Its faults.
        target: The device.
        faults: Of the layer's cells; None: they are looked up.

    Returns:
        float32 ``(groups, rows, columns)``.
    """
    own = as_program_layer(layer)
    found = cell_faults(layer, chip) if faults is None else faults
    planes = real_us(targets_us(own.cells, torch.device("cpu")), found, target)
    return layer.geometry.to_matrix(weight(own, matrices(own, planes, target))).contiguous()


def real_us(planes: tuple[Tensor, ...], faults: CellFaults, target: Target) -> tuple[Tensor, ...]:
    """Return the conductances cells have in ideal mode: gains applied, stuck ones where they are.

    Args:
        planes: What they are programmed to [uS].
        faults: Of these cells.
        target: The device.
    """
    found = []
    for k, plane in enumerate(planes):
        if faults.gain_lrs is not None and faults.gain_hrs is not None:
            lrs, hrs = faults.gain_lrs[k], faults.gain_hrs[k]
            low, high = target.cell.g_min_us, target.cell.g_max_us
            plane = move_states(plane.clone(), low, high, hrs, lrs)
        stuck = faults.stuck_us[k]
        found.append(torch.where(stuck.isnan(), plane, stuck))
    return tuple(found)
