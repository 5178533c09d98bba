"""The conductances of cells, from quantized weights."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.device.conductance import (
    differential_pair,
    middle_state,
    offset_column,
    offset_states,
)
from cimc.device.slices import conductance_slices, digital_slices, slice_planes, sliced_levels
from cimc.errors import InternalError
from cimc.ir.layer import Cells, Codebook, CrossbarLayer, Encoding
from cimc.quantizers.feedback import decoded
from cimc.targets import Target

#: Most states of a table: an index is a byte.
_STATES: Final = 256


def assign(layer: CrossbarLayer, matrix: Tensor, target: Target) -> tuple[Cells, Encoding]:
    """Return the cells of one layer and what they mean.

    Args:
        layer: With its codebook, or none for float weights.
        matrix: The weights as the codebook gives them, float32 ``(groups, rows, columns)``.
        target: The device.
    """
    if target.encoding == "signed":
        return Cells((matrix,), None, torch.ones(1)), "signed"
    if target.encoding == "differential-pair":
        return _pair(layer, matrix, target), "differential-pair"
    if target.encoding == "offset-column":
        return _offset(layer, matrix, target), "offset-column"
    return _sliced(layer, target), "bit-sliced"


def _limits(codebook: Codebook | None, matrix: Tensor) -> Tensor | None:
    """Return the largest magnitude of each column ``(groups, 1, columns)``; None: one a layer."""
    if codebook is None or codebook.levels.ndim == 1:
        return None
    groups, _, columns = matrix.shape
    return codebook.levels.abs().amax(1).reshape(groups, 1, columns)


def _pair(layer: CrossbarLayer, matrix: Tensor, target: Target) -> Cells:
    g_min, g_max = target.cell.g_min_us, target.cell.g_max_us
    codebook = layer.codebook
    if codebook is not None and codebook.levels.ndim == 2 and codebook.levels.shape[1] < _STATES:
        return _pair_of_columns(codebook, g_min, g_max)
    if codebook is None or codebook.levels.ndim == 2:
        plus, minus, gain = differential_pair(matrix, g_min, g_max, _limits(codebook, matrix))
        return Cells((plus.contiguous(), minus.contiguous()), None, gain)
    plus, minus, gain = differential_pair(codebook.levels, g_min, g_max)
    states, index = torch.unique(torch.stack([plus, minus]), return_inverse=True)
    table = index.to(torch.uint8)
    codes = codebook.codes.to(torch.int64)
    return Cells((table[0][codes], table[1][codes]), states, gain)


def _pair_of_columns(codebook: Codebook, g_min_us: float, g_max_us: float) -> Cells:
    """Return pairs whose columns have tables of their own: G_min, then one state a level."""
    levels = codebook.levels
    limit = levels.abs().amax(1, keepdim=True)
    plus, minus, gain = differential_pair(levels, g_min_us, g_max_us, limit)
    low = torch.full_like(plus[:, :1], g_min_us)
    states = torch.cat([low, torch.maximum(plus, minus)], 1)
    groups, _, columns = codebook.codes.shape
    numbers = torch.arange(1, states.shape[1])
    planes = []
    for side in (plus, minus):
        table = torch.where(side > low, numbers, 0).reshape(groups, columns, -1)
        planes.append(decoded(codebook.codes, table.to(torch.uint8)).contiguous())
    return Cells(tuple(planes), states, gain)


def _offset(layer: CrossbarLayer, matrix: Tensor, target: Target) -> Cells:
    g_min, g_max = target.cell.g_min_us, target.cell.g_max_us
    assert layer.tiles is not None
    tiles = len(set(layer.tiles[:, 4].tolist()))
    shape = (*matrix.shape[:2], tiles)
    codebook = layer.codebook
    if codebook is not None and not isinstance(target.cell.states, str):
        return _offset_of_states(codebook, target.cell.states, shape)
    if codebook is None or codebook.levels.ndim == 2:
        g, middle, gain = offset_column(matrix, g_min, g_max, _limits(codebook, matrix))
        return Cells((g.contiguous(), middle.expand(shape).contiguous()), None, gain)
    g, middle, gain = offset_column(codebook.levels, g_min, g_max)
    states, index = torch.unique(torch.cat([g, middle[None]]), return_inverse=True)
    table = index.to(torch.uint8)
    offset = table[-1].expand(shape).contiguous()
    return Cells((table[codebook.codes.to(torch.int64)], offset), states, gain)


def _offset_of_states(
    codebook: Codebook, states_us: tuple[float, ...], offsets: tuple[int, ...]
) -> Cells:
    """Return cells that hold the states their levels are made of; see :mod:`~.constrained`."""
    index, gain = offset_states(codebook.levels, states_us)
    groups, _, columns = codebook.codes.shape
    table = index if index.ndim == 1 else index.reshape(groups, columns, -1)
    states = torch.tensor(states_us, dtype=torch.float32)
    middle = torch.full(offsets, middle_state(states_us), dtype=torch.uint8)
    return Cells((decoded(codebook.codes, table).contiguous(), middle), states, gain)


def _sliced(layer: CrossbarLayer, target: Target) -> Cells:
    g_min, g_max = target.cell.g_min_us, target.cell.g_max_us
    codebook, slices = layer.codebook, target.slices
    if codebook is None or codebook.multipliers is None or codebook.offset is None or not slices:
        raise InternalError("CIMC-I03", f"layer '{layer.name}' has no multipliers to slice by")
    r, c = codebook.multipliers, codebook.offset
    if r.shape[-1] != slices.count:
        message = f"layer '{layer.name}' has {r.shape[-1]} multipliers, {slices.count} slices"
        raise InternalError("CIMC-I03", message)
    _, patterns = sliced_levels(r, c.reshape(r.shape[:-1]))
    bits = slice_planes(codebook.codes, patterns)
    if slices.multipliers == "digital":
        factor, gain, correction = digital_slices(r, c, g_min, g_max)
        return Cells(bits, torch.tensor([g_min, g_max]), gain, factor, correction)
    on, gain, correction = conductance_slices(r, c, g_min, g_max)
    if on.ndim == 1:
        states, index = torch.unique(torch.cat([torch.tensor([g_min]), on]), return_inverse=True)
        table = index.to(torch.uint8)
        planes = tuple(
            torch.where(b > 0, i, table[0]) for b, i in zip(bits, table[1:], strict=True)
        )
        return Cells(planes, states, gain, None, correction)
    states = torch.cat([torch.full_like(on[:, :1], g_min), on], 1)
    planes = tuple(b * (k + 1) for k, b in enumerate(bits))
    return Cells(planes, states, gain, None, correction)
