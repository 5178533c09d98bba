"""Bit slices: weights as sums of a few multipliers, and the cells that hold them.

[NM]: Regularization-based Framework for Quantization-, Fault- and Variability-Aware Training;
levels are ``<r, S> + c`` with ``S`` in ``{0, 1}^n`` (Eq. 4), a cell a bit (§5.4, Fig. 7).

A negative multiplier is never needed: ``r S`` with ``r < 0`` is ``-r (1 - S)`` plus a constant, so
every set of levels has a form with ``r >= 0``, which cells can hold.  Only ``c`` has a sign.
"""

from __future__ import annotations

import torch
from torch import Tensor


def canonical(multipliers: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Return multipliers and offset of the same levels, no multiplier negative, ascending.

    Args:
        multipliers: ``r``, ``(..., n)``.
        offset: ``c``, ``(...,)``.
    """
    offset = offset + multipliers.clamp(max=0).sum(-1)
    return multipliers.abs().sort(-1).values, offset


def sliced_levels(multipliers: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Return all sums of multipliers plus the offset, ascending, and which they are of.

    Args:
        multipliers: ``r``, ``(..., n)``, n at most 8.
        offset: ``c``, ``(...,)``.

    Returns:
        Levels, float32 ``(..., 2**n)``, rounded once; patterns, uint8 of that shape: bit k says
        whether multiplier k is in the sum.
    """
    n = multipliers.shape[-1]
    numbers = torch.arange(2**n, device=multipliers.device)
    bits = (numbers[:, None] >> torch.arange(n, device=multipliers.device)) & 1
    sums = multipliers.double() @ bits.double().T + offset.double()[..., None]
    levels, order = torch.sort(sums, dim=-1, stable=True)
    return levels.to(torch.float32), order.to(torch.uint8)


def slice_planes(codes: Tensor, patterns: Tensor) -> tuple[Tensor, ...]:
    """Return the bit of each weight in each slice, uint8 ``(groups, rows, columns)`` each.

    Args:
        codes: Index of each weight's level, ``(groups, rows, columns)``.
        patterns: Of :func:`sliced_levels`, ``(2**n,)`` or ``(groups * columns, 2**n)``.
    """
    slices = patterns.shape[-1].bit_length() - 1
    index = codes.to(torch.int64)
    if patterns.ndim == 1:
        found = patterns[index]
    else:
        groups, _, columns = codes.shape
        table = patterns.reshape(groups, columns, -1)
        found = torch.gather(table, 2, index.transpose(1, 2)).transpose(1, 2)
    return tuple(((found >> k) & 1).contiguous() for k in range(slices))


def digital_slices(
    multipliers: Tensor, offset: Tensor, g_min_us: float, g_max_us: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what turns the currents of binary cells into weights.

    Each slice is converted on its own, and multiplied digitally: the weight is
    ``gain * (sum_k factor_k * G_k + correction)``.  The correction removes what cells in the HRS
    leak, and adds the offset of the levels.

    Args:
        multipliers: ``r``, none negative, ``(n,)`` or ``(columns, n)``.
        offset: ``c``, ``(1,)`` or ``(columns,)``.
        g_min_us: Conductance of bit 0 [uS].
        g_max_us: Conductance of bit 1 [uS].

    Returns:
        ``factor``, float32 ``(n,)`` or ``(n, columns)``, the largest 1; ``gain``, float32 ``(1,)``
        or ``(columns,)`` [weight/uS]; ``correction_us`` of the same shape [uS].
    """
    r = multipliers.double()
    top = r.amax(-1)
    top = torch.where(top > 0, top, _some(offset))
    factor = (r / top[..., None]).to(torch.float32)
    gain = top / (g_max_us - g_min_us)
    # What the cells really leak, in float32 as they hold it.
    low = float(torch.tensor(g_min_us, dtype=torch.float32))
    correction = offset.double() / gain - factor.double().sum(-1) * low
    shape = offset.shape
    return (
        factor.movedim(-1, 0).contiguous(),
        gain.to(torch.float32).reshape(shape),
        correction.to(torch.float32).reshape(shape),
    )


def conductance_slices(
    multipliers: Tensor, offset: Tensor, g_min_us: float, g_max_us: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return conductances in proportion to the multipliers, and what turns currents into weights.

    The currents of all slices are summed: the weight is ``gain * (sum_k G_k + correction)``, with
    ``G_k = g_min + (g_max - g_min) r_k / max(r)`` for bit 1 and ``g_min`` for bit 0.

    Args:
        multipliers: ``r``, none negative, ``(n,)`` or ``(columns, n)``.
        offset: ``c``, ``(1,)`` or ``(columns,)``.
        g_min_us: Smallest conductance of a cell [uS].
        g_max_us: Largest conductance of a cell [uS].

    Returns:
        ``on_us``, conductances of bit 1, float32 in the shape of ``multipliers`` [uS]; ``gain``
        and ``correction_us`` as :func:`digital_slices` returns them.
    """
    r = multipliers.double()
    top = r.amax(-1)
    top = torch.where(top > 0, top, _some(offset))
    on = (g_min_us + r * ((g_max_us - g_min_us) / top[..., None])).to(torch.float32)
    low, high = torch.tensor((g_min_us, g_max_us), dtype=torch.float32)
    gain = top / (g_max_us - g_min_us)
    # What the cells really leak, in float32 as they hold it.
    correction = offset.double() / gain - r.shape[-1] * float(low)
    shape = offset.shape
    return (
        on.clamp(low, high),
        gain.to(torch.float32).reshape(shape),
        correction.to(torch.float32).reshape(shape),
    )


def _some(offset: Tensor) -> Tensor:
    """Return a scale where all multipliers are 0, so that the offset alone can be expressed."""
    size = offset.double().abs().reshape(offset.shape)
    size = torch.where(size > 0, size, torch.ones_like(size))
    return size if offset.numel() > 1 else size.reshape(())
