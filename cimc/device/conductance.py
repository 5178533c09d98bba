"""How weights become conductances, and back: differential pairs and offset columns.

[GDQ §4.4]: Generalized (Lloyd) quantization, ICLR 2021 submission, section 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def differential_pair(
    weight: Tensor, g_min_us: float, g_max_us: float, w_max: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Map weights to pairs of cells with the unified reference of [GDQ §4.4].

    ``s = (g_max - g_min) / max|w|``, ``G+ = g_min + s * max(w, 0)``,
    ``G- = g_min + s * max(-w, 0)``; the weight is ``gain * (G+ - G-)`` with ``gain = 1 / s``.

    Args:
        weight: Weights or levels, any shape.
        g_min_us: Smallest conductance of a cell, the reference [uS].
        g_max_us: Largest conductance of a cell [uS].
        w_max: Weight at full conductance, ``>= |weight|``, broadcast against ``weight``; one
            per column where columns have their own scale. None: the largest magnitude.

    Returns:
        ``g_plus_us`` and ``g_minus_us``, float32 in the shape of ``weight`` [uS], and ``gain``,
        float32 ``(w_max.numel(),)`` [weight/uS]; 0 where ``w_max`` is 0 (all weights are).
    """
    weight, w_max = _with_limit(weight, w_max)
    scaled = weight * _per(g_max_us - g_min_us, w_max)
    gain = (w_max / (g_max_us - g_min_us)).flatten()
    # Not two clamps, whose derivatives at a weight of 0 are both 1: here each cell moves half.
    size = scaled.abs()
    return (
        _within(g_min_us + (size + scaled) / 2, g_min_us, g_max_us),
        _within(g_min_us + (size - scaled) / 2, g_min_us, g_max_us),
        gain.to(torch.float32),
    )


def offset_column(
    weight: Tensor, g_min_us: float, g_max_us: float, w_max: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Map weights to single cells around a middle that offset cells hold.

    ``G = g_offset + s * w`` with ``g_offset = (g_min + g_max) / 2`` and
    ``s = (g_max - g_min) / (2 * max|w|)``; the weight is ``gain * (G - g_offset)``,
    ``gain = 1 / s``.  The middle is the same for every column, so one offset column serves
    columns of different scale.

    Args:
        weight: Weights or levels, any shape.
        g_min_us: Smallest conductance of a cell [uS].
        g_max_us: Largest conductance of a cell [uS].
        w_max: As in :func:`differential_pair`.

    Returns:
        ``g_us``, float32 in the shape of ``weight`` [uS]; ``g_offset_us``, float32 ``()`` [uS];
        ``gain``, float32 ``(w_max.numel(),)`` [weight/uS]; 0 where ``w_max`` is 0.
    """
    weight, w_max = _with_limit(weight, w_max)
    half = (g_max_us - g_min_us) / 2
    middle = g_min_us + half
    g_us = _within(middle + weight * _per(half, w_max), g_min_us, g_max_us)
    return g_us, torch.tensor(middle, dtype=torch.float32), (w_max / half).flatten().float()


def middle_state(states_us: Sequence[float]) -> int:
    """Return the index of the state offset cells are at: the nearest to the middle of the range.

    Args:
        states_us: Conductances of a cell, ascending [uS].
    """
    middle = (states_us[0] + states_us[-1]) / 2
    return min(range(len(states_us)), key=lambda k: abs(states_us[k] - middle))


def offset_states(levels: Tensor, states_us: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Map levels that are multiples of differences to the middle state back to the states.

    Args:
        levels: ``scale * (state - middle)`` of some states, the lowest or the highest among them:
            ascending, ``(v,)`` or ``(columns, v)``, each column with its own scale.
        states_us: Conductances of a cell, ascending [uS].

    Returns:
        State of each level, uint8 in the shape of ``levels``; ``gain``, float32 ``(1,)`` or
        ``(columns,)`` [weight/uS]; 0 (all at the middle) where all levels are.
    """
    states = torch.tensor(states_us, dtype=torch.float64)
    d = states - states[middle_state(states_us)]
    table = levels.double().reshape(-1, levels.shape[-1])
    found = []
    for end in (0, -1):  # whichever end of the range is in the codebook gives the scale
        scale = table[:, end] / d[end]
        safe = torch.where(scale > 0, scale, torch.ones_like(scale))
        away = (table[:, :, None] / safe[:, None, None] - d).abs()
        distance, index = away.min(2)
        lost = torch.where(scale > 0, distance.amax(1), table.abs().amax(1) * torch.inf)
        found.append((torch.nan_to_num(lost, nan=0.0), scale, index))
    (low, low_scale, low_index), (high, high_scale, high_index) = found
    lower = low <= high
    gain = torch.where(lower, low_scale, high_scale).clamp(min=0)
    index = torch.where(lower[:, None], low_index, high_index)
    return index.to(torch.uint8).reshape(levels.shape), gain.to(torch.float32)


def _with_limit(weight: Tensor, w_max: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weight and limit in float64: the mapping rounds once, when it becomes float32."""
    weight = weight.to(torch.float64)
    if w_max is None:
        w_max = weight.abs().amax() if weight.numel() else weight.new_zeros(())
    return weight, w_max.to(torch.float64)


def _per(span: float, w_max: Tensor) -> Tensor:
    """Return ``span / w_max``, 0 where ``w_max`` is 0."""
    return torch.where(w_max > 0, span / w_max, torch.zeros_like(w_max))


def _within(g_us: Tensor, g_min_us: float, g_max_us: float) -> Tensor:
    """Return conductances as float32, kept inside what a cell can hold after rounding."""
    low, high = torch.tensor((g_min_us, g_max_us), dtype=torch.float32)
    return g_us.to(torch.float32).clamp(low, high)
