"""The weights that faulty cells stand for, differentiable in multipliers and offsets.

[NM]: Regularization-based Framework for Quantization-, Fault- and Variability-Aware Training,
Eq. 12: ``<var * r, S> + c``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.device.device_to_device import move_states
from cimc.executor.cells import targets_us
from cimc.executor.matrices import column_tiles
from cimc.ir.layer import Cells, CrossbarLayer
from cimc.remap.lines import as_program_layer
from cimc.remap.options import CellFaults
from cimc.targets import Target


def conductances_us(cells: Cells, faults: CellFaults, target: Target) -> tuple[Tensor, ...]:
    """Return what cells of a chip really conduct when they are at their targets.

    Measured gains move healthy cells, stuck ones are where they are stuck: the order of
    :mod:`cimc.executor.cells`.

    Args:
        cells: As they are programmed.
        faults: Of these cells.
        target: The device.

    Returns:
        One float32 tensor a plane, in its shape [uS].
    """
    cell, found = target.cell, []
    for k, plane in enumerate(_targets_us(cells)):
        if faults.has_gains:
            hrs, lrs = (None if f is None else f[k].to(plane.device)
                        for f in (faults.gain_hrs, faults.gain_lrs))  # fmt: skip
            plane = move_states(plane.clone(), cell.g_min_us, cell.g_max_us, hrs, lrs)
        stuck = faults.stuck_us[k].to(plane.device)
        found.append(torch.where(torch.isnan(stuck), plane, stuck))
    return tuple(found)


def weights_of(layer: CrossbarLayer, cells: Cells, faults: CellFaults, target: Target) -> Tensor:
    """Return what the cells of a layer stand for on a chip in ideal mode.

    Args:
        layer: With encoding and tiles.
        cells: As they are programmed.
        faults: Of these cells.
        target: The device.

    Returns:
        float32 ``(groups, rows, columns)``; differentiable in gain, multipliers, correction and
        float planes.
    """
    planes = conductances_us(cells, faults, target)
    total = planes[0]
    if layer.encoding == "differential-pair":
        total = planes[0] - planes[1]
    elif layer.encoding == "offset-column":
        total = planes[0] - planes[1].index_select(2, tiles_of_columns(layer))
    elif layer.encoding == "bit-sliced":
        assert cells.correction_us is not None, "bit slices have a correction"
        factors = [None] * len(planes) if cells.multipliers is None else list(cells.multipliers)
        parts = [
            plane if factor is None else plane * _wide(factor, plane)
            for plane, factor in zip(planes, factors, strict=True)
        ]
        total = torch.stack(parts).sum(0) + _wide(cells.correction_us, planes[0])
    if layer.encoding == "signed":
        return total
    return total * _wide(cells.gain, total)


def affected(layer: CrossbarLayer, faults: CellFaults) -> Tensor:
    """Return which weights have a stuck cell among theirs, bool ``(groups, rows, columns)``."""
    stuck = [~torch.isnan(plane) for plane in faults.stuck_us]
    if layer.encoding == "offset-column":
        stuck[1] = stuck[1].index_select(2, tiles_of_columns(layer))
    return torch.stack(stuck).any(0)


def tiles_of_columns(layer: CrossbarLayer) -> Tensor:
    """Return the column tile of each column, int64 ``(columns,)``."""
    return column_tiles(as_program_layer(layer))


def _targets_us(cells: Cells) -> tuple[Tensor, ...]:
    """Return what cells are programmed to, differentiable in their states."""
    states = cells.states_us
    if states is None or states.ndim == 1 or not states.requires_grad:
        return targets_us(cells, cells.planes[0].device)
    found = []
    for plane in cells.planes:
        table = states.reshape(len(plane), plane.shape[2], -1)
        index = plane.to(torch.int64).transpose(1, 2)
        found.append(torch.gather(table, 2, index).transpose(1, 2))
    return tuple(found)


def _wide(value: Tensor, like: Tensor) -> Tensor:
    """Return one number, or one a column, broadcast against ``(groups, rows, columns)``."""
    value = value.to(like.device)
    return value.reshape(1, 1, 1) if value.numel() == 1 else value.reshape(len(like), 1, -1)
