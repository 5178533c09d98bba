"""What the bit lines of one layer see: signed conductances, and powers for read noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cimc.device.read_noise import pair_power
from cimc.program.model import ProgramLayer


@dataclass(frozen=True, slots=True)
class Matrices:
    """The stack of matrices of one layer on one chip.

    Attributes:
        delta_us: Signed conductance of each weight, float32 ``(groups, rows, columns)`` [uS].
        gain: Weight units per uS, float32 ``(1,)`` or ``(groups * columns,)``.
        power_us2: Sum of the squares of the cells only this column reads, same shape [uS^2];
            None without read noise.
        shared_us2: Squares of the offset cells, ``(groups, rows, column_tiles)`` [uS^2]; None
            without read noise, or when no cells are shared.
        column_tile: Column tile of each column, int64 ``(columns,)``.
    """

    delta_us: Tensor
    gain: Tensor
    power_us2: Tensor | None
    shared_us2: Tensor | None
    column_tile: Tensor


def matrices(layer: ProgramLayer, planes: tuple[Tensor, ...], *, read_noise: bool) -> Matrices:
    """Return what the bit lines of a layer see of its cells."""
    gain = layer.cells.gain.to(planes[0].device)
    tile = column_tiles(layer).to(planes[0].device)
    if layer.encoding == "signed":
        return Matrices(planes[0], gain, None, None, tile)
    if layer.encoding == "differential-pair":
        power = pair_power(*planes) if read_noise else None
        return Matrices(planes[0] - planes[1], gain, power, None, tile)
    cells, offset = planes
    delta = cells - offset.index_select(2, tile)
    if not read_noise:
        return Matrices(delta, gain, None, None, tile)
    return Matrices(delta, gain, cells.square(), offset.square(), tile)


def column_tiles(layer: ProgramLayer) -> Tensor:
    """Return the column tile of each column, int64 ``(columns,)``, from the tile table."""
    first = np.unique(layer.tiles[:, 4])
    columns = np.arange(layer.geometry.columns)
    return torch.from_numpy(np.searchsorted(first, columns, side="right") - 1)


def weight(layer: ProgramLayer, seen: Matrices) -> Tensor:
    """Return the weight tensor the cells stand for, in the layout of the source operator."""
    geometry = layer.geometry
    matrix = seen.delta_us
    if layer.encoding != "signed":
        gain = seen.gain
        if gain.numel() > 1:
            gain = gain.reshape(geometry.groups, 1, geometry.columns)
        matrix = matrix * gain
    return geometry.from_matrix(matrix, weight_shape(layer))


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
