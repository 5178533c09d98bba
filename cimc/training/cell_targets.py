"""The cells a chip would be programmed with for weights as they are in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from cimc.device.conductance import differential_pair, offset_column
from cimc.ir.layer import Cells, Codebook, CrossbarLayer
from cimc.lowering.assign import assign
from cimc.targets import Target
from cimc.training.differentiable_cells import with_gradient


def cells_of(
    layer: CrossbarLayer,
    matrix: Tensor,
    limit: Tensor | None,
    codebook: Callable[[], Codebook | None],
    target: Target,
) -> Cells:
    """Return the cells of a layer; the same conductances as :func:`cimc.lowering.assign` gives.

    Where a weight is in proportion to conductances they are float planes, differentiable in the
    weights; bit slices and offset columns of fixed states go through the codebook, and have the
    derivative of :func:`~cimc.training.differentiable_cells.with_gradient`.

    Args:
        layer: With its tiles.
        matrix: Quantized weights, ``(groups, rows, columns)``.
        limit: Weight at full conductance, ``(1,)`` or ``(groups * columns,)``; None: the largest.
        codebook: Returns the codebook of the weights; None: they are float.
        target: The device.
    """
    cell = target.cell
    if target.encoding == "signed":
        return Cells((matrix,), None, matrix.new_ones(1))
    wide = None
    if limit is not None:
        wide = limit if limit.numel() == 1 else limit.reshape(matrix.shape[0], 1, -1)
    if target.encoding == "differential-pair":
        plus, minus, gain = differential_pair(matrix, cell.g_min_us, cell.g_max_us, wide)
        return Cells((plus, minus), None, gain)
    if target.encoding == "offset-column" and isinstance(cell.states, str):
        assert layer.tiles is not None
        g, middle, gain = offset_column(matrix, cell.g_min_us, cell.g_max_us, wide)
        tiles = len(set(layer.tiles[:, 4].tolist()))
        offsets = middle.to(g.device).expand(*matrix.shape[:2], tiles)
        return Cells((g, offsets), None, gain)
    with torch.no_grad():
        levels = codebook()
        cells, _ = assign(replace(layer, codebook=levels), matrix.detach(), target)
    return with_gradient(cells, matrix, target, levels) if matrix.requires_grad else cells
