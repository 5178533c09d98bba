"""Cells that a gradient passes through to the weights they stand for.

[STE]: Extending Straight-Through Estimation for Robust Neural Networks on Analog CIM Hardware,
Eq. 7: ``dN(W)/dW`` starts where weights become conductances.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from cimc.errors import UsageError
from cimc.executor.cells import targets_us
from cimc.executor.physics import Physics
from cimc.ir.layer import Cells, Codebook
from cimc.targets import Target


def check_differentiable(physics: Physics) -> None:
    """Refuse a device whose true gradient does not exist.

    Writing again until a cell reads back near its target is a decision: how often a cell is
    written, and so which random number it keeps, jumps where its conductance target moves.

    Args:
        physics: What is modelled.

    Raises:
        UsageError: CIMC-U53.
    """
    noise = physics.target.noise.programming
    if physics.on("programming") and noise is not None and noise.verify is not None:
        raise UsageError(
            "CIMC-U53",
            "gradient 'full' needs a differentiable device, and 'programming' with "
            "noise.programming.verify is none",
            where=f"target '{physics.target.name}'",
            hint="gradient 'straight-through', or 'effects' without 'programming'",
        )


def with_gradient(
    cells: Cells, matrix: Tensor, target: Target, codebook: Codebook | None = None
) -> Cells:
    """Return cells of the same conductances whose planes pass gradients to the weights.

    States are steps, so the derivative is that of the straight line through them: what the planes
    stand for moves with the weight, one to one.  A weight of 0 moves both cells of a pair by half.
    Slices share the change as the regression of their bits on the weight shares it:
    ``r_k / sum r^2`` of a bit for multiplier ``r_k`` (the bits of uniformly distributed codes are
    independent).

    Args:
        cells: As they are to be programmed.
        matrix: The weights they stand for, ``(groups, rows, columns)``.
        target: The device.
        codebook: Of the layer; needed for slices.

    Returns:
        Float planes; gain, multipliers and correction as they were.
    """
    planes = targets_us(cells, matrix.device)
    slopes = _slopes(cells, matrix.detach(), target, codebook)
    learned = tuple(
        plane if slope is None or plane.requires_grad else _planes(matrix, plane, slope)
        for plane, slope in zip(planes, slopes, strict=True)
    )
    return replace(cells, planes=learned, states_us=None)


def _slopes(
    cells: Cells, matrix: Tensor, target: Target, codebook: Codebook | None
) -> tuple[Tensor | None, ...]:
    """Return the derivative of each plane by the weight [uS/weight]; None: it stays."""
    if target.encoding == "signed":
        return (torch.ones_like(matrix[:1, :1, :1]),)
    gain = _column(cells.gain.to(matrix.device), matrix)
    each = torch.where(gain > 0, 1.0 / torch.where(gain > 0, gain, 1.0), 0.0)
    if target.encoding == "differential-pair":
        sign = matrix.sign()
        return each * (1 + sign) / 2, -each * (1 - sign) / 2
    if target.encoding == "offset-column":
        return each, None
    assert codebook is not None, "slices have a codebook"
    assert codebook.multipliers is not None, "slices have multipliers"
    r = codebook.multipliers.to(matrix.device).movedim(-1, 0)
    total = r.square().sum(0)
    shares = r / torch.where(total > 0, total, 1.0)
    span = target.cell.g_max_us - target.cell.g_min_us
    # A bit is worth the whole range of its cell, or of that what its multiplier takes.
    full = torch.full_like(each, span)
    digital = cells.multipliers is not None
    worth = [full if digital else _column(m, matrix) * each for m in r]
    return tuple(_column(s, matrix) * w for s, w in zip(shares, worth, strict=True))


def _column(value: Tensor, matrix: Tensor) -> Tensor:
    """Return one value, or one a column, broadcast against ``(groups, rows, columns)``."""
    return value.reshape(1, 1, 1) if value.numel() == 1 else value.reshape(len(matrix), 1, -1)


def _planes(matrix: Tensor, plane: Tensor, slope: Tensor) -> Tensor:
    seen: Tensor = _Plane.apply(matrix, plane, slope)  # type: ignore[no-untyped-call]
    return seen


class _Plane(Function):
    """A plane of conductances, with a derivative by the weights."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, plane: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return plane.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None
