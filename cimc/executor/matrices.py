"""What the bit lines of one layer see: conductances of each lane, and what fluctuates on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cimc.ir.layer import Cells
from cimc.program.model import ProgramLayer
from cimc.targets import Target
from cimc.targets.lanes import lane_count


@dataclass(frozen=True, slots=True)
class Lane:
    """Bit lines that are converted together: one current a weight column.

    Attributes:
        delta_us: What the current is linear in, float32 ``(groups, rows, columns)`` [uS].
        multiplier: Digital factor of the converted current: a number, or float32
            ``(groups * columns,)``.
        power_us2: Variance, from read to read, of what a unit input contributes through the cells
            only this column reads, same shape as ``delta_us`` [uS^2]; None without fluctuations.
        shared_us2: The same of the offset cells, ``(groups, rows, column_tiles)`` [uS^2]; None
            without fluctuations, or when no cells are shared.
        total_us: Sum of all conductances on the bit lines of a column, for Johnson noise, float32
            ``(row_tiles, groups * columns)`` [uS]; None without such noise.
        shared_total_us: The same of the bit lines of offset cells, ``(row_tiles, groups *
            column_tiles)`` [uS]; None without.
    """

    delta_us: Tensor
    multiplier: float | Tensor = 1.0
    power_us2: Tensor | None = None
    shared_us2: Tensor | None = None
    total_us: Tensor | None = None
    shared_total_us: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Matrices:
    """The stack of matrices of one layer on one chip.

    The product with an input ``x`` is ``gain * (sum_lanes multiplier * (x @ delta_us)
    + correction * sum_r x_r)``.

    Attributes:
        lanes: At least one.
        gain: Weight units per uS, float32 ``(1,)`` or ``(groups * columns,)``.
        correction: What the digital sum of the inputs is multiplied by [uS]: a number, or float32
            ``(groups * columns,)``.
        column_tile: Column tile of each column, int64 ``(columns,)``.
        ideal_us: What the lanes of each column ideally add up to over all rows, float32
            ``(groups * columns,)`` [uS]: shifted inputs are put right with it; None where inputs
            are not shifted.
    """

    lanes: tuple[Lane, ...]
    gain: Tensor
    correction: float | Tensor
    column_tile: Tensor
    ideal_us: Tensor | None = None


def matrices(
    layer: ProgramLayer,
    planes: tuple[Tensor, ...],
    target: Target,
    variances: tuple[Tensor, ...] | None = None,
) -> Matrices:
    """Return what the bit lines of a layer see of its cells.

    Args:
        layer: The layer.
        planes: What each plane contributes to the current per unit input [uS]: conductances, or
            with wires the effective ones.
        target: The device.
        variances: How the contribution of each cell fluctuates from read to read, one tensor a
            plane [uS^2]; None: not at all.
    """
    gain = layer.cells.gain.to(planes[0].device)
    tile = column_tiles(layer).to(planes[0].device)
    if layer.encoding == "bit-sliced":
        return _sliced(layer.cells, planes, gain, tile, variances)
    kind = "pair-lanes" if lane_count(target) == 2 and len(planes) == 2 else layer.encoding
    return Matrices(_LANES[kind](planes, variances, tile), gain, 0.0, tile)


Planes = tuple[Tensor, ...]
Variances = tuple[Tensor, ...] | None


def _plain(planes: Planes, variances: Variances, tile: Tensor) -> tuple[Lane, ...]:
    return (Lane(planes[0]),)


def _pair(planes: Planes, variances: Variances, tile: Tensor) -> tuple[Lane, ...]:
    """One current: that of G+ minus that of G-."""
    power = None if variances is None else variances[0] + variances[1]
    return (Lane(planes[0] - planes[1], 1.0, power),)


def _pair_lanes(planes: Planes, variances: Variances, tile: Tensor) -> tuple[Lane, ...]:
    """Two currents, subtracted after the converter."""
    plus, minus = (None, None) if variances is None else variances
    return Lane(planes[0], 1.0, plus), Lane(planes[1], -1.0, minus)


def _offset_column(planes: Planes, variances: Variances, tile: Tensor) -> tuple[Lane, ...]:
    cells, offset = planes
    own, shared = (None, None) if variances is None else variances
    return (Lane(cells - offset.index_select(2, tile), 1.0, own, shared),)


def _sliced(
    cells: Cells, planes: Planes, gain: Tensor, tile: Tensor, variances: Variances
) -> Matrices:
    """A current a slice, multiplied digitally; or one of all slices, summed on the wire.

    What HRS cells leak, and the offset of the levels, is removed with the sum of the inputs.
    """
    assert cells.correction_us is not None, "bit slices have a correction"
    each = cells.correction_us.to(planes[0].device)
    correction = float(each) if each.numel() == 1 else each
    if cells.multipliers is None:
        power = None if variances is None else torch.stack(variances).sum(0)
        return Matrices((Lane(torch.stack(planes).sum(0), 1.0, power),), gain, correction, tile)
    factors = [float(f) if f.ndim == 0 else f for f in cells.multipliers.to(planes[0].device)]
    powers = [None] * len(planes) if variances is None else list(variances)
    lanes = tuple(Lane(*lane) for lane in zip(planes, factors, powers, strict=True))
    return Matrices(lanes, gain, correction, tile)


_LANES: dict[str, Callable[[Planes, Variances, Tensor], tuple[Lane, ...]]] = {
    "signed": _plain,
    "differential-pair": _pair,
    "pair-lanes": _pair_lanes,
    "offset-column": _offset_column,
}


def column_tiles(layer: ProgramLayer) -> Tensor:
    """Return the column tile of each column, int64 ``(columns,)``, from the tile table."""
    first = np.unique(layer.tiles[:, 4])
    columns = np.arange(layer.geometry.columns)
    return torch.from_numpy(np.searchsorted(first, columns, side="right") - 1)


def weight(layer: ProgramLayer, seen: Matrices) -> Tensor:
    """Return the weight tensor the cells stand for, in the layout of the source operator."""
    geometry = layer.geometry
    matrix = _sum_of_lanes(seen, geometry.groups)
    if layer.encoding != "signed":
        matrix = matrix * _per_column(seen.gain, geometry.groups)
    return geometry.from_matrix(matrix, weight_shape(layer))


def _sum_of_lanes(seen: Matrices, groups: int) -> Tensor:
    """Return ``sum_lanes multiplier * delta_us + correction``: what a unit input contributes."""
    total: Tensor | None = None
    for lane in seen.lanes:
        part = lane.delta_us
        if isinstance(lane.multiplier, Tensor) or lane.multiplier != 1.0:
            part = part * _per_column(lane.multiplier, groups)
        total = part if total is None else total + part
    assert total is not None, "a layer has at least one lane"
    if isinstance(seen.correction, Tensor) or seen.correction != 0.0:
        total = total + _per_column(seen.correction, groups)
    return total


def _per_column(value: float | Tensor, groups: int) -> float | Tensor:
    """Return a number, or one of each column broadcast against ``(groups, rows, columns)``."""
    if isinstance(value, float) or value.numel() == 1:
        return value
    return value.reshape(groups, 1, -1)


def weight_shape(layer: ProgramLayer) -> tuple[int, ...]:
    """Return the shape of the source operator's weight tensor."""
    geometry = layer.geometry
    g, r, c = geometry.shape
    if geometry.kind == "conv":
        return (g * c, r // geometry.taps, *geometry.kernel)
    if geometry.kind == "conv-transpose":
        return (g * r, c // geometry.taps, *geometry.kernel)
    if geometry.kind == "recurrent":
        return (g, c, r)
    matrix = (c, r) if geometry.transposed or geometry.kind == "matrix-left" else (r, c)
    return (*geometry.stack, *matrix)
