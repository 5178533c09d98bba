"""Full scales without data: from the weights, for inputs of a usual shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cimc.quantizers.periphery.currents import Drive, Reading


def usual_drive(drive: Drive) -> tuple[float, float, float]:
    """Return offset, mean and mean square of a word line's drive in one phase [-].

    Inputs are taken to be half-normal with a scale of a third of the full range, all of one sign
    for the mean.  A pulse of a bit-serial drive is there in half of the cases, which the lower
    bits approach and the upper bits stay below; shifted inputs near 0, the most frequent, have
    all bits but the top one.  Shifted inputs driven as a whole are half as large around 1/2.
    """
    if drive.pulses.bits:
        return (1.0, 0.0, 0.25) if drive.pulses.shift else (0.0, 0.5, 0.5)
    mean, power = math.sqrt(2 / math.pi) / 3, 1 / 9
    if drive.pulses.shift:
        return 0.5, mean / 2, power / 4
    return 0.0, mean, power


def weight_ranges(reading: Reading, groups: Tensor) -> Tensor:
    """Return full scales that hold the mean and four standard deviations of usual currents.

    Each group takes what its neediest column needs, at most the largest possible current.

    Args:
        reading: Of the layer.
        groups: int64 ``(row_tiles, lanes, columns)``.

    Returns:
        float32 ``(groups,)`` [uS].
    """
    offset, mean, power = usual_drive(reading.drive)
    need = torch.stack(
        [torch.stack([_need(d, offset, mean, power) for d in lanes]) for lanes in _parts(reading)]
    )
    return _largest(torch.minimum(need, largest_currents(reading)), groups)


def full_scale_ranges(reading: Reading, groups: Tensor) -> Tensor:
    """Return full scales that hold every current inputs within the DAC's range can cause."""
    return _largest(largest_currents(reading), groups)


def largest_currents(reading: Reading) -> Tensor:
    """Return the largest magnitude of the current of every tile, lane and column [uS].

    All word lines fully driven: each with the sign of its cell where drives may be negative, else
    those of one sign of cell, whichever gives more.
    """
    one_sided = not reading.drive.pulses.signed
    return torch.stack(
        [torch.stack([_most(d, one_sided) for d in lanes]) for lanes in _parts(reading)]
    )


def _parts(reading: Reading) -> list[list[Tensor]]:
    return [
        [lane.delta_us[:, first : first + rows] for lane in reading.lanes]
        for first, rows in reading.row_tiles
    ]


def _need(delta: Tensor, offset: float, mean: float, power: float) -> Tensor:
    level = (offset + mean) * delta.sum(1).abs()
    return (level + 4 * (power * delta.square().sum(1)).sqrt()).flatten()


def _most(delta: Tensor, one_sided: bool) -> Tensor:
    if not one_sided:
        return delta.abs().sum(1).flatten()
    return torch.maximum(delta.clamp(min=0).sum(1), (-delta).clamp(min=0).sum(1)).flatten()


def _largest(values: Tensor, groups: Tensor) -> Tensor:
    empty = torch.zeros(int(groups.max()) + 1, dtype=torch.float32)
    return empty.scatter_reduce(0, groups.flatten(), values.float().flatten(), "amax")
