"""What the cells of a layer can still reach, for every encoding."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.ir.layer import Cells, Encoding
from cimc.remap.offset_options import offset_options, offset_plane, offset_us
from cimc.remap.options_types import CellFaults, Options
from cimc.remap.pair_options import pair_options
from cimc.remap.reachable_cells import CellLines
from cimc.remap.reachable_ranges import RangeOptions
from cimc.remap.reachable_states import per_weight
from cimc.remap.signed_options import signed_options
from cimc.remap.slice_options import slice_options
from cimc.targets import Target

__all__ = ["CellFaults", "Options", "options_of", "table_of", "to_cells"]

#: How near a state of a program is to one of the target's list, as a share of the range.
_NEAR = 1e-4


def options_of(
    cells: Cells,
    encoding: Encoding,
    faults: CellFaults,
    target: Target,
    *,
    use: Literal["codebook", "states", "analog"] = "states",
    levels: Tensor | None = None,
    column_tile: Tensor | None = None,
) -> Options:
    """Return what every weight of a layer can reach.

    Args:
        cells: Its cells; of their planes only the shapes matter (with offset columns also what
            the offset cells hold).
        encoding: What they mean.
        faults: Of each plane, in logical order.
        target: The device.
        use: What cells may hold, see :class:`cimc.remap.settings.RemapSettings`.
        levels: Of the codebook, ``(v,)`` or ``(groups * columns, v)``, ascending; needed for
            ``codebook``.
        column_tile: Column tile of each column, int64 ``(columns,)``; needed for offset columns
            of more than one column tile.

    Raises:
        UsageError: CIMC-U60, something that cannot be.
    """
    if encoding == "signed":
        if faults.has_gains:
            raise UsageError("CIMC-U60", "gains of cells that hold weights are not defined")
        return signed_options(faults.stuck_us[0], None if use == "analog" else levels)
    if use == "analog" and not isinstance(target.cell.states, str):
        message = f"cells 'analog' on target '{target.name}', whose cells have fixed states"
        raise UsageError("CIMC-U60", message)
    span = target.cell.g_min_us, target.cell.g_max_us
    tile = _column_tile(faults, column_tile) if encoding == "offset-column" else None
    states = table_of(cells, target)
    if states is None or use == "analog":
        return _ranges(cells, encoding, faults, span, tile)
    if use == "codebook" and levels is None and encoding != "bit-sliced":
        raise UsageError("CIMC-U60", "cells 'codebook' need the levels of the codebook")
    kept = levels if use == "codebook" else None
    if encoding == "differential-pair":
        return pair_options(faults, states, cells.gain, kept, span)
    if tile is not None:
        return offset_options(faults, cells, states, kept, tile, span)
    return slice_options(faults, cells, states, span, any_state=use == "states")


def _column_tile(faults: CellFaults, given: Tensor | None) -> Tensor:
    """Return the column tile of each column.

    Raises:
        UsageError: CIMC-U60, not known.
    """
    if given is not None:
        return given
    tiles = faults.stuck_us[1].shape[2]
    if tiles != 1:
        raise UsageError("CIMC-U60", f"{tiles} column tiles, and no column tile of each column")
    return torch.zeros(faults.stuck_us[0].shape[2], dtype=torch.int64)


def _ranges(
    cells: Cells,
    encoding: Encoding,
    faults: CellFaults,
    span_us: tuple[float, float],
    column_tile: Tensor | None,
) -> RangeOptions:
    """Return what cells that hold any conductance can reach."""
    shape = faults.stuck_us[0].shape
    own = 1 if encoding == "offset-column" else len(faults.stuck_us)
    one = torch.ones(()).expand(shape)
    offset, factors = torch.zeros(()).expand(shape), (one,) * own
    shared: tuple[Tensor, ...] = ()
    if column_tile is not None:
        offset = -offset_us(cells, faults, column_tile, span_us)
        shared = (offset_plane(cells, faults, span_us),)
    elif encoding == "differential-pair":
        factors = (one, -one)
    elif cells.correction_us is not None:
        offset = per_weight(cells.correction_us, shape)
        if cells.multipliers is not None:
            factors = tuple(per_weight(m.reshape(-1), shape) for m in cells.multipliers)
    return RangeOptions(
        scale=per_weight(cells.gain, shape),
        offset=offset,
        factors=factors,
        cells=tuple(CellLines.of(faults, k, *span_us) for k in range(own)),
        stuck_us=faults.stuck_us[:own],
        span_us=span_us,
        shared=shared,
    )


def table_of(cells: Cells, target: Target) -> Tensor | None:
    """Return the states cells may be programmed to, float32 ``(s,)`` or a table a column [uS].

    Those of the device where it has a fixed list, else those the program uses; None where cells
    hold any conductance.
    """
    own = cells.states_us
    if isinstance(target.cell.states, str):
        return own
    table = torch.tensor(target.cell.states, dtype=torch.float32)
    if own is not None:
        span = target.cell.g_max_us - target.cell.g_min_us
        away = (own.reshape(-1, 1) - table).abs().amin(1)
        if float(away.max()) > _NEAR * span:
            return own
    return table


def to_cells(cells: Cells, options: Options, choice: Tensor) -> Cells:
    """Return the cells that hold the chosen values.

    Args:
        cells: The cells :func:`options_of` was called with.
        options: What it returned, of the whole layer.
        choice: ``(groups, rows, columns)``.
    """
    planes = tuple(p.contiguous() for p in options.planes(choice))
    return replace(cells, planes=planes + options.shared, states_us=options.states_us)
