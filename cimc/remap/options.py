"""What the cells of a layer can still reach, for every encoding."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.ir.layer import Cells, Encoding
from cimc.remap.options_types import CellFaults, Options
from cimc.remap.pair_options import pair_options
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
    states = table_of(cells, target)
    if encoding == "differential-pair" and states is not None and not faults.has_gains:
        kept = levels if use == "codebook" else None
        return pair_options(faults, states, cells.gain, kept)
    raise UsageError("CIMC-U60", f"cells '{use}' are not supported with encoding '{encoding}'")


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
    shared = cells.planes[len(planes) :]
    return replace(cells, planes=planes + shared, states_us=options.states_us)
