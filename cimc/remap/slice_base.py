"""What the slices of a weight add up to."""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.ir.layer import Cells
from cimc.remap.options_types import CellFaults
from cimc.remap.reachable_states import per_weight


def factors_of(cells: Cells, slices: int, shape: torch.Size) -> list[Tensor]:
    """Return what each slice is multiplied by digitally, float64, of every weight."""
    if cells.multipliers is None:
        return [torch.ones((), dtype=torch.float64).expand(shape)] * slices
    return [per_weight(m.reshape(-1).double(), shape) for m in cells.multipliers]


def base_weight(faults: CellFaults, cells: Cells, low_us: list[Tensor]) -> Tensor:
    """Return weights with all healthy bits 0, float32.

    Args:
        faults: Of each slice.
        cells: Multipliers, correction and gain.
        low_us: What healthy cells with bit 0 have, of each slice [uS].
    """
    shape = faults.stuck_us[0].shape
    assert cells.correction_us is not None, "bit slices have a correction"
    total = per_weight(cells.correction_us.double(), shape).clone()
    factors = factors_of(cells, len(low_us), shape)
    for factor, stuck, low in zip(factors, faults.stuck_us, low_us, strict=True):
        total += factor * torch.where(stuck.isnan(), low.double(), stuck.double())
    return (total * per_weight(cells.gain.double(), shape)).to(torch.float32)
