"""What single cells beside offset cells can still reach: ``gain * (G - G_offset)``."""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.ir.layer import Cells
from cimc.remap.options_types import CellFaults
from cimc.remap.reachable_cells import CellLines
from cimc.remap.reachable_states import StuckCells, column_numbers, nearest_state, per_weight
from cimc.remap.reachable_sums import SumOptions, state_tables
from cimc.remap.reachable_tables import Part, TableOptions, Tables


def offset_us(
    cells: Cells, faults: CellFaults, column_tile: Tensor, span_us: tuple[float, float]
) -> Tensor:
    """Return the conductance of the offset cell of every weight, ``(groups, rows, columns)``.

    Args:
        cells: Of the layer; the second plane are the offset cells.
        faults: Of both planes.
        column_tile: Column tile of each column, int64 ``(columns,)``.
        span_us: Lowest and highest conductance of a cell [uS].
    """
    plane = cells.planes[1]
    programmed = plane if cells.states_us is None else cells.states_us[plane.to(torch.int64)]
    shared = CellLines.of(faults, 1, *span_us).conductance(programmed)
    return shared.index_select(2, column_tile)


def offset_options(
    faults: CellFaults,
    cells: Cells,
    states_us: Tensor,
    levels: Tensor | None,
    column_tile: Tensor,
    span_us: tuple[float, float],
) -> TableOptions | SumOptions:
    """Return what cells beside offset cells can reach.

    A stuck offset cell shifts all weights of its row and column tile; these then may take any
    state, whatever the codebook.

    Args:
        faults: Of both planes.
        cells: What the offset cells hold, and the gain.
        states_us: ``(s,)`` [uS]; the options have them sorted.
        levels: Weights of healthy cells, ascending, ``(v,)`` or ``(groups * columns, v)``; None:
            any state.
        column_tile: Column tile of each column, int64 ``(columns,)``.
        span_us: Lowest and highest conductance of a cell [uS].
    """
    own, gain = faults.stuck_us[0], cells.gain
    states_us = states_us.sort().values
    beside = offset_us(cells, faults, column_tile, span_us)
    held = offset_plane(cells, faults, span_us)
    shared = (nearest_state(held, states_us, held),)
    healthy = own.isnan() & faults.stuck_us[1].isnan().index_select(2, column_tile)
    stuck = StuckCells.of(own)
    scale = per_weight(gain, own.shape)
    coded = None if levels is None else _level_states(cells, states_us, levels)
    if not faults.has_gains:
        return _tables(states_us, coded, own, healthy, scale, beside, stuck, shared)
    count = 1 if coded is None else len(coded)
    table = states_us[None].expand(count, -1)
    pairs = None if coded is None else (torch.zeros_like(coded), coded)
    line = CellLines.of(faults, 0, *span_us)
    return SumOptions(
        tables=state_tables(table),
        states_us=states_us,
        number=column_numbers(count, own.shape),
        scale=-scale,
        first=CellLines(beside, torch.zeros_like(beside)),
        second=line,
        stuck=(stuck, stuck),
        moving=1,
        clamped=line.go_below_zero(*span_us),
        pairs=pairs,
        free=healthy,
        kept=(1,),
        shared=shared,
    )


def _tables(
    states_us: Tensor,
    coded: Tensor | None,
    own: Tensor,
    healthy: Tensor,
    scale: Tensor,
    beside: Tensor,
    stuck: StuckCells,
    shared: tuple[Tensor, ...],
) -> TableOptions:
    """Return tables of states: any, those of the codebook, none."""
    number = torch.arange(len(states_us), dtype=torch.uint8)[None]
    nothing = Part(states_us.new_zeros(1, 1), (number[:, :1],))
    parts = [Part(states_us[None], (number,)), nothing]
    which = torch.where(own.isnan(), 0, 1).to(torch.int32)
    if coded is not None:
        parts.append(Part(states_us[coded.long()], (coded.to(torch.uint8),)))
        which = torch.where(healthy, column_numbers(len(coded), own.shape) + 2, which)
    offset = scale * (own.nan_to_num(0.0) - beside)
    return TableOptions(Tables.of(parts), states_us, which, scale, offset, (stuck,), shared)


def _level_states(cells: Cells, states_us: Tensor, levels: Tensor) -> Tensor:
    """Return the state of each level, ascending, int32 ``(1, v)`` or ``(columns, v)``."""
    gain = cells.gain.double().reshape(-1, 1)
    inverse = torch.where(gain == 0, 0.0, 1.0 / gain)
    delta = levels.double().reshape(-1, levels.shape[-1]) * inverse
    plane = cells.planes[1].reshape(-1)[:1]
    middle = plane if cells.states_us is None else cells.states_us[plane.to(torch.int64)]
    ends = (states_us[1:].double() + states_us[:-1].double()) / 2
    return torch.bucketize(delta + middle, ends).sort(1).values.to(torch.int32)


def offset_plane(cells: Cells, faults: CellFaults, span_us: tuple[float, float]) -> Tensor:
    """Return what offset cells are programmed to, stuck ones as they are, float32 [uS].

    Args:
        cells: Of the layer; the second plane are the offset cells.
        faults: Of both planes.
        span_us: Lowest and highest conductance of a cell [uS].
    """
    plane = cells.planes[1]
    programmed = plane if cells.states_us is None else cells.states_us[plane.to(torch.int64)]
    stuck = faults.stuck_us[1]
    return torch.where(stuck.isnan(), programmed, stuck).clamp(*span_us)
