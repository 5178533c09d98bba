"""States of cells: the nearest to a conductance, and numbers of columns for every weight."""

from __future__ import annotations

import torch
from torch import Tensor


def per_weight(value: Tensor, shape: torch.Size) -> Tensor:
    """Return a number of the layer or of each column for every weight, a view.

    Args:
        value: ``(1,)`` or ``(groups * columns,)``.
        shape: ``(groups, rows, columns)``.
    """
    if value.numel() == 1:
        return value.reshape(1, 1, 1).expand(shape)
    return value.reshape(shape[0], 1, shape[2]).expand(shape)


def column_numbers(tables: int, shape: torch.Size) -> Tensor:
    """Return the table of each weight, int32, a view of ``shape``: one for all, or one a column.

    Args:
        tables: How many there are.
        shape: ``(groups, rows, columns)``.
    """
    if tables == 1:
        return torch.zeros(1, 1, 1, dtype=torch.int32).expand(shape)
    own = torch.arange(shape[0] * shape[2], dtype=torch.int32)
    return own.reshape(shape[0], 1, shape[2]).expand(shape)


def nearest_state(stuck_us: Tensor, states_us: Tensor) -> Tensor:
    """Return the state nearest to the conductance of every stuck cell, -1 for healthy ones.

    Args:
        stuck_us: Conductances, NaN for healthy cells, ``(groups, rows, columns)`` [uS].
        states_us: In any order, ``(s,)`` or ``(groups * columns, s)`` [uS].

    Returns:
        int16 in the shape of ``stuck_us``; the first of states equally near.
    """
    found = torch.full(stuck_us.shape, -1, dtype=torch.int16)
    at = (~stuck_us.isnan()).nonzero(as_tuple=True)
    if not len(at[0]):
        return found
    g_us = stuck_us[at].double()
    if states_us.ndim == 1:
        table, order = states_us.double().sort(stable=True)
        state = torch.bucketize(g_us, (table[1:] + table[:-1]) / 2)
        found[at] = order[state].to(torch.int16)
        return found
    column = at[0] * stuck_us.shape[2] + at[2]
    away, state = torch.full_like(g_us, torch.inf), torch.zeros(g_us.shape, dtype=torch.int16)
    for number, states in enumerate(states_us.double().T):
        new = (g_us - states[column]).abs_()
        state[new < away] = number
        away = torch.minimum(away, new)
    found[at] = state
    return found
