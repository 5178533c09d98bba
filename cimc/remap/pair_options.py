"""What differential pairs can still reach: ``gain * (G+ - G-)``."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.remap.options_types import CellFaults
from cimc.remap.reachable_cells import CellLines
from cimc.remap.reachable_states import StuckCells, column_numbers, per_weight
from cimc.remap.reachable_sums import SumOptions, state_tables
from cimc.remap.reachable_tables import Part, TableOptions, Tables, merged

#: Most entries of tables of differences of all columns; beyond, lists are searched one by one.
MOST_DIFFERENCES: Final = 1 << 22


def pair_options(
    faults: CellFaults,
    states_us: Tensor,
    gain: Tensor,
    levels: Tensor | None,
    span_us: tuple[float, float] = (0.0, 1.0),
) -> TableOptions | SumOptions:
    """Return what pairs can reach.

    A healthy pair: the levels given, or all differences of two states (up to ``v**2 - v + 1``
    values for ``v`` states, most of them with one choice only; of several the one with the least
    conductance is taken).  A pair with a stuck cell: its conductance less any state of the other,
    or any state less it.  With both stuck: one value.

    Args:
        faults: Of planes ``(groups, rows, columns)``.
        states_us: ``(s,)`` or ``(groups * columns, s)`` [uS]; the options have them sorted.
        gain: Weight units per uS, ``(1,)`` or ``(groups * columns,)``.
        levels: Weights of healthy pairs, ascending, ``(v,)`` or ``(groups * columns, v)``; None:
            any difference of states.
        span_us: Lowest and highest conductance of a cell, for measured gains [uS].
    """
    states_us = states_us.sort(-1).values
    entries = states_us.numel() * states_us.shape[-1]
    if faults.has_gains or (states_us.ndim == 2 and entries > MOST_DIFFERENCES):
        return _pair_sums(faults, states_us, gain, levels, span_us)
    plus, minus = faults.stuck_us
    shape = plus.shape
    scale = per_weight(gain, shape)
    table = states_us.reshape(-1, states_us.shape[-1])
    healthy = differences(table) if levels is None else level_pairs(table, gain, levels)
    tables = Tables.of([healthy, *_with_one_stuck(table)])
    good_plus, good_minus = plus.isnan(), minus.isnan()
    offset = scale * (plus.nan_to_num(0.0) - minus.nan_to_num(0.0))
    numbers = _numbers(len(healthy.values), len(table), shape)
    number = torch.where(
        good_plus,
        torch.where(good_minus, numbers[0], numbers[2]),
        torch.where(good_minus, numbers[1], numbers[3]),
    )
    stuck = (StuckCells.of(plus), StuckCells.of(minus))
    return TableOptions(tables, states_us, number, scale, offset, stuck, usual=numbers[0])


def _pair_sums(
    faults: CellFaults,
    states_us: Tensor,
    gain: Tensor,
    levels: Tensor | None,
    span_us: tuple[float, float],
) -> SumOptions:
    """Return what pairs can reach whose cells all have states of their own."""
    plus, minus = faults.stuck_us
    table = states_us.reshape(-1, states_us.shape[-1])
    lines = (CellLines.of(faults, 0, *span_us), CellLines.of(faults, 1, *span_us))
    pairs = None
    if levels is not None:
        found = level_pairs(table, gain, levels)
        pairs = (found.states[0].to(torch.int32), found.states[1].to(torch.int32))
        if len(table) == 1 and len(pairs[0]) > 1:
            table = table.expand(len(pairs[0]), -1)
    return SumOptions(
        tables=state_tables(table),
        states_us=states_us,
        number=column_numbers(len(table), plus.shape),
        scale=per_weight(gain, plus.shape),
        first=lines[0],
        second=lines[1],
        stuck=(StuckCells.of(plus), StuckCells.of(minus)),
        moving=states_us.shape[-1],
        clamped=lines[1].go_below_zero(*span_us),
        pairs=pairs,
        free=plus.isnan() & minus.isnan(),
    )


def differences(table: Tensor) -> Part:
    """Return all differences of two states, ascending; equal ones by the least conductance.

    Args:
        table: Ascending states, ``(tables, s)`` [uS].
    """
    tables, s = table.shape
    wide = table.double()
    number = torch.arange(s, dtype=torch.uint8)
    shape = (tables, s, s)
    values = (wide[:, :, None] - wide[:, None, :]).reshape(tables, -1)
    cost = (wide[:, :, None] + wide[:, None, :]).reshape(tables, -1)
    cost = cost / (2 * float(wide.abs().max()) or 1.0)
    states = (number[None, :, None].expand(shape), number[None, None, :].expand(shape))
    return merged(values, (states[0].reshape(tables, -1), states[1].reshape(tables, -1)), cost)


def level_pairs(table: Tensor, gain: Tensor, levels: Tensor) -> Part:
    """Return the states of levels, one cell of each pair in the lowest [GDQ §4.4].

    Args:
        table: Ascending states, ``(tables, s)`` [uS].
        gain: Weight units per uS, ``(1,)`` or one a column.
        levels: ``(v,)`` or ``(columns, v)``.

    Returns:
        ``(1, v)``, or one a column where levels, gains or states differ between columns; values
        are differences of states [uS].
    """
    count = max(len(table), gain.numel(), 1 if levels.ndim == 1 else len(levels))
    wide = levels.double().reshape(-1, levels.shape[-1]).expand(count, -1)
    inverse = torch.where(gain == 0, 0.0, 1.0 / gain.double()).reshape(-1, 1)
    delta = wide * inverse
    states = table.double().expand(count, -1).contiguous()
    ends = (states[:, 1:] + states[:, :-1]) / 2
    low = states[:, :1]
    plus = torch.searchsorted(ends, (low + delta.clamp(min=0)).contiguous())
    minus = torch.searchsorted(ends, (low - delta.clamp(max=0)).contiguous())
    values = torch.gather(states, 1, plus) - torch.gather(states, 1, minus)
    order = torch.argsort(values, dim=1, stable=True)
    found = tuple(torch.gather(i, 1, order).to(torch.uint8) for i in (plus, minus))
    return Part(torch.gather(values, 1, order), found)


def _with_one_stuck(table: Tensor) -> tuple[Part, Part, Part]:
    """Return what a healthy G- adds, what a healthy G+ adds, and what none does."""
    number = torch.arange(table.shape[1], dtype=torch.uint8).expand(table.shape)
    none = torch.zeros_like(number)
    one = torch.zeros(1, 1, dtype=torch.uint8)
    return (
        Part(-table.flip(1), (none, number.flip(1))),
        Part(table, (number, none)),
        Part(table.new_zeros(1, 1), (one, one)),
    )


def _numbers(healthy: int, stuck: int, shape: torch.Size) -> list[Tensor]:
    """Return the table of each column for the four kinds of pairs, int32 of one row."""
    first, found = 0, []
    one_row = torch.Size((shape[0], 1, shape[2]))
    for count in (healthy, stuck, stuck, 1):
        found.append(column_numbers(count, one_row) + first)
        first += count
    return found
