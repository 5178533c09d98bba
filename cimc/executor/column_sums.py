"""Sums of conductances down the bit lines: for shifted inputs and for Johnson noise."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cimc.executor.matrices import Lane, Matrices
from cimc.program.model import ProgramLayer

Planes = tuple[Tensor, ...]


def ideal_sums_us(ideal: Matrices) -> Tensor:
    """Return what each column adds up to for inputs of 1, float32 ``(groups * columns,)`` [uS].

    Args:
        ideal: The layer with every cell at its target.
    """
    total: Tensor | float = 0.0
    for lane in ideal.lanes:
        total = total + lane.multiplier * lane.delta_us.sum(1, dtype=torch.float64).flatten()
    assert isinstance(total, Tensor), "a layer has at least one lane"
    return total.float()


def with_totals(seen: Matrices, layer: ProgramLayer, cells: Planes) -> Matrices:
    """Return what bit lines see, with the sums of all conductances on them that carry current.

    These are the cells on the word lines of the tile that is read; on the others the access
    transistors are off.

    Args:
        seen: Without sums.
        layer: The layer.
        cells: Conductances of each plane, wires left out [uS].
    """
    tiles = [slice(int(first), int(first + size)) for first, size in layer.row_tiles]
    sums = [torch.stack([plane[:, rows].sum(1).flatten() for rows in tiles]) for plane in cells]
    if layer.encoding == "offset-column":
        (lane,) = seen.lanes
        return replace(seen, lanes=(replace(lane, total_us=sums[0], shared_total_us=sums[1]),))
    totals = [torch.stack(sums).sum(0)] if len(seen.lanes) == 1 else sums
    return replace(seen, lanes=tuple(map(_with_total, seen.lanes, totals)))


def _with_total(lane: Lane, total_us: Tensor) -> Lane:
    return replace(lane, total_us=total_us)
