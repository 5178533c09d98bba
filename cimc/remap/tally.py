"""Counting what remapping did to a layer."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.device.states import look_up
from cimc.ir.layer import Codebook, CrossbarLayer
from cimc.remap.fit import options_for
from cimc.remap.options_types import CellFaults
from cimc.remap.physical import ChipFaults, cell_faults, counts
from cimc.remap.report import LayerReport
from cimc.remap.settings import RemapSettings
from cimc.targets import Target

#: Levels an analog cell is thought to have where there is no codebook [-].
_LEVELS: Final = 16
#: By how much sums of the same conductances may differ, as a share of a column's largest weight.
_ROUNDING: Final = 1e-5


def tally(
    layer: CrossbarLayer,
    remapped: CrossbarLayer,
    own: Tensor,
    value: Tensor,
    chip: ChipFaults,
    target: Target,
    settings: RemapSettings,
    reachable: Tensor | None = None,
    faults: CellFaults | None = None,
) -> LayerReport:
    """Return the figures of a layer, without its errors.

    Args:
        layer: As compiled for no chip.
        remapped: As it is on the chip.
        own: Weights without faults, float32 ``(groups, rows, columns)``.
        value: Weights on the chip, likewise.
        chip: Its faults.
        target: The device.
        settings: What cells may hold.
        reachable: The nearest value to each weight without faults that its cells can reach; None:
            is found out.
        faults: Of the cells of the layer on the chip; None: they are looked up.
    """
    found = counts(remapped, cell_faults(remapped, chip) if faults is None else faults)
    unreachable = 0
    if remapped.remapped and found.affected_weights:
        if reachable is None:
            reachable, _ = options_for(remapped, chip, target, settings).nearest(own)
        unreachable = int(((reachable - own).abs() > half_step(own, layer.codebook)).sum())
    return LayerReport(
        layer=layer.name,
        cells=found.cells,
        faulty_cells=found.faulty_cells,
        affected_weights=found.affected_weights,
        remapped_weights=_changed(own, value) if remapped.remapped else 0,
        unreachable_weights=unreachable,
    )


def _changed(own: Tensor, value: Tensor) -> int:
    """Return how many weights are others, what float32 sums of the same cells may differ aside."""
    least = _ROUNDING * own.abs().amax(1, keepdim=True)
    return int(((value - own).abs() > least).sum())


def half_step(own: Tensor, codebook: Codebook | None) -> Tensor:
    """Return half the way from each weight to the nearest other level, broadcast against it.

    Args:
        own: Weights at levels, ``(groups, rows, columns)``.
        codebook: Of the layer; None: as if there were 16 levels over the range of each column.
    """
    if codebook is None:
        reach = own.amax(1, keepdim=True) - own.amin(1, keepdim=True)
        return reach / (2 * (_LEVELS - 1))
    levels = codebook.levels
    step = levels.diff(dim=-1)
    step = torch.where(step > 0, step, torch.full_like(step, torch.inf))
    none = torch.full_like(levels[..., :1], torch.inf)
    near = torch.minimum(torch.cat([none, step], -1), torch.cat([step, none], -1)) / 2
    return look_up(near, codebook.codes)
