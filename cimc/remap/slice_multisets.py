"""Bit slices summed on the wire whose cells may all have any state: sums of states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from cimc.ir.layer import Cells
from cimc.remap.options_types import CellFaults
from cimc.remap.reachable_states import StuckCells, column_numbers, per_weight
from cimc.remap.reachable_tables import TableOptions, Tables, merged
from cimc.remap.slice_base import base_weight


@dataclass(frozen=True, slots=True)
class MultisetOptions(TableOptions):
    """Slices summed on the wire, every cell in any state: which cell has which does not matter."""

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return the state of the cell of each slice, uint8: the chosen ones to healthy cells."""
        states = torch.stack(self.tables.states)
        rank, found = torch.zeros(self.shape, dtype=torch.int64), []
        for stuck in self.stuck:
            healthy = stuck.us.isnan()
            state = states[rank.clamp(max=len(states) - 1).expand(choice.shape), choice.long()]
            found.append(stuck.over(state, self.states_us))
            rank = rank + healthy
        return tuple(found)


def multiset_count(states: int, cells: int) -> int:
    """Return the sums of any number of cells up to ``cells``, whatever their order [-]."""
    return sum(math.comb(free + states - 1, free) for free in range(cells + 1))


def multiset_options(faults: CellFaults, cells: Cells, states_us: Tensor) -> MultisetOptions:
    """Return a table of sums of states for every number of healthy cells (and every column)."""
    shape, slices = faults.stuck_us[0].shape, len(faults.stuck_us)
    table = states_us.reshape(-1, states_us.shape[-1]).double()
    parts = []
    for free in range(slices + 1):
        sets = list(combinations_with_replacement(range(table.shape[1]), free))
        index = torch.tensor(sets, dtype=torch.int64).reshape(len(sets), free)
        values = table[:, index].sum(2)
        padded = torch.nn.functional.pad(index, (0, slices - free)).to(torch.uint8)
        states = tuple(padded[:, k].expand(values.shape) for k in range(slices))
        parts.append(merged(values, states, torch.zeros_like(values)))
    healthy = torch.stack([s.isnan() for s in faults.stuck_us]).sum(0, dtype=torch.int32)
    zero = torch.zeros(shape)
    return MultisetOptions(
        Tables.of(parts),
        states_us,
        healthy * len(table) + column_numbers(len(table), shape),
        per_weight(cells.gain, shape),
        base_weight(faults, cells, [zero] * slices),
        tuple(map(StuckCells.of, faults.stuck_us)),
    )
