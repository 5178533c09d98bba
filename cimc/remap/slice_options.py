"""What bit slices can still reach: ``gain * (sum_k m_k G_k + correction)``.

A stuck bit makes half of the patterns of a weight invalid ([NM §3.6], whose "nearest valid level"
these are); cells measured one by one give every bit an on and an off value of its own
([NM Eq. 12], extended to the HRS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, Self

import torch
from torch import Tensor

from cimc.ir.layer import Cells
from cimc.remap.options_types import CellFaults
from cimc.remap.reachable_cells import CellLines
from cimc.remap.reachable_states import StuckCells, column_numbers, per_weight
from cimc.remap.reachable_tables import Part, TableOptions, Tables, merged
from cimc.remap.slice_base import base_weight, factors_of
from cimc.remap.slice_multisets import multiset_count, multiset_options

#: Most entries of the tables of all columns; beyond, the patterns of each weight are tried.
MOST_SUMS: Final = 1 << 22
#: Sums tried at a time: they stay in the cache.
_AT_ONCE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """Weights ``offset + sum_k bit_k * step_k``; all patterns of bits are tried.

    A choice is the pattern, bit k for slice k, int32.

    Attributes:
        states_us: What the states are [uS].
        offset: Weight with all bits 0, float32 S.
        steps: Per slice, what bit 1 adds, float32 S; 0 for stuck cells.
        off: State of bit 0 [-].
        on: State of bit 1 of each slice, int16 S (views).
        stuck: Per slice, the stuck cells.
        shared: None.
    """

    states_us: Tensor
    offset: Tensor
    steps: tuple[Tensor, ...]
    off: int
    on: tuple[Tensor, ...]
    stuck: tuple[StuckCells, ...]
    shared: tuple[Tensor, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Shape of the batch."""
        return self.offset.shape

    def nearest(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest reachable values and their choices; the first of equally near."""
        delta = wanted.to(torch.float32) - self.offset
        slices = len(self.steps)
        # The low bits at once, the high ones in turn, so that few sums exist at a time.
        room = max(1, _AT_ONCE // max(1, delta.numel())).bit_length() - 1
        low = min(slices, room)
        sums = torch.zeros((1, *self.shape))
        for step in self.steps[:low]:
            sums = torch.cat([sums, sums + step])
        sums = sums.reshape(len(sums), *[1] * (delta.ndim - len(self.shape)), *self.shape)
        best = torch.full(delta.shape, torch.inf)
        choice = torch.zeros(delta.shape, dtype=torch.int32)
        for high in range(1 << (slices - low)):
            rest = delta
            for k, step in enumerate(self.steps[low:]):
                rest = rest - step if high >> k & 1 else rest
            away, at = (sums - rest).abs_().min(0)
            found = (at + (high << low)).to(torch.int32)
            choice = torch.where(away < best, found, choice)
            best = torch.minimum(away, best)
        return self.values(choice), choice

    def values(self, choice: Tensor) -> Tensor:
        """Return the weights that choices stand for."""
        value = self.offset.expand(choice.shape).clone()
        for k, step in enumerate(self.steps):
            value += (choice >> k & 1) * step
        return value

    def planes(self, choice: Tensor) -> tuple[Tensor, ...]:
        """Return the state of the cell of each slice, uint8."""
        found = []
        for k, (on, stuck) in enumerate(zip(self.on, self.stuck, strict=True)):
            state = torch.where((choice >> k & 1) > 0, on, self.off)
            found.append(stuck.over(state, self.states_us))
        return tuple(found)

    def __getitem__(self, index: Any) -> Self:
        """Return some of the weights."""
        return replace(
            self,
            offset=self.offset[index],
            steps=tuple(s[index] for s in self.steps),
            on=tuple(s[index] for s in self.on),
            stuck=tuple(s[index] for s in self.stuck),
        )


def slice_options(
    faults: CellFaults,
    cells: Cells,
    states_us: Tensor,
    span_us: tuple[float, float],
    *,
    any_state: bool = False,
) -> TableOptions | SliceOptions:
    """Return what bit slices can reach.

    Args:
        faults: Of each slice.
        cells: Multipliers, correction, gain, and what the slices hold.
        states_us: The HRS first, ``(s,)`` or ``(groups * columns, s)`` [uS].
        span_us: Lowest and highest conductance of a cell, for measured gains [uS].
        any_state: Where conductances hold the multipliers and no gains are measured: every cell
            may have any state of the table, not only that of its own multiplier.
    """
    shape = faults.stuck_us[0].shape
    table = states_us.reshape(-1, states_us.shape[-1])
    if cells.multipliers is None and any_state and not faults.has_gains:
        entries = multiset_count(table.shape[1], len(faults.stuck_us)) * len(table)
        if entries <= MOST_SUMS:
            return multiset_options(faults, cells, states_us)
    on = _on_states(cells, faults, table.shape[1])
    patterns = 3 ** len(on)
    wide = len(table) > 1 or _per_column(cells.multipliers)
    count = shape[0] * shape[2] if wide else 1
    if faults.has_gains or count * patterns > MOST_SUMS:
        return _patterns(faults, cells, states_us, on, span_us)
    return _masks(faults, cells, states_us, on, count)


def _per_column(multipliers: Tensor | None) -> bool:
    return multipliers is not None and multipliers.ndim == 2 and multipliers.shape[1] > 1


def _on_states(cells: Cells, faults: CellFaults, states: int) -> tuple[int, ...]:
    """Return the state of bit 1 of each slice.

    Multipliers ascend and so do their conductances, right of the HRS; where several are equal,
    what the healthy cells hold tells.
    """
    slices = len(faults.stuck_us)
    if states == 2:
        return (1,) * slices
    if states == slices + 1:
        return tuple(range(1, slices + 1))
    most, found = 0, []
    for plane, stuck in zip(cells.planes, faults.stuck_us, strict=True):
        held = torch.where(stuck.isnan(), plane, 0)
        most = max(most, int(held.max()) if held.numel() else 0)
        found.append(most)
    return tuple(found)


def _masks(
    faults: CellFaults, cells: Cells, states_us: Tensor, on: tuple[int, ...], count: int
) -> TableOptions:
    """Return a table of sums for every set of healthy bits (and every column)."""
    shape, slices = faults.stuck_us[0].shape, len(on)
    table = states_us.reshape(-1, states_us.shape[-1]).double()
    factor = torch.ones(slices, 1).double() if cells.multipliers is None else cells.multipliers
    factor = factor.double().reshape(slices, -1).T
    steps = (factor * (table[:, list(on)] - table[:, :1])).expand(count, slices)
    # Masks with as many healthy bits have tables of one length: they are made at once.
    groups = [
        [mask for mask in range(1 << slices) if mask.bit_count() == size]
        for size in range(slices + 1)
    ]
    parts = [_part(steps, masks, on) for masks in groups]
    first = torch.empty(1 << slices, dtype=torch.int32)
    first[list(chain.from_iterable(groups))] = torch.arange(1 << slices, dtype=torch.int32) * count
    mask = torch.zeros(shape, dtype=torch.int32)
    for k, stuck in enumerate(faults.stuck_us):
        mask += stuck.isnan().to(torch.int32) << k
    number = first[mask] + column_numbers(count, shape)
    low = [per_weight(table[:, 0], shape)] * slices
    held = tuple(map(StuckCells.of, faults.stuck_us))
    scale = per_weight(cells.gain, shape)
    offset = base_weight(faults, cells, low)
    return TableOptions(Tables.of(parts), states_us, number, scale, offset, held)


def _part(steps: Tensor, masks: Sequence[int], on: tuple[int, ...]) -> Part:
    """Return the sums of all sets of some bits; of equal ones the first pattern, as codes have it.

    Args:
        steps: What bit 1 of each slice adds, ``(tables, slices)`` [uS].
        masks: Which bits are healthy, as many in each; tables of the first come first.
        on: State of bit 1 of each slice.
    """
    slices, size = len(on), masks[0].bit_count()
    pattern = torch.arange(1 << size)
    # The pattern of all bits for each of the healthy ones: (masks, patterns).
    whole = torch.zeros(len(masks), len(pattern), dtype=torch.int64)
    for row, mask in enumerate(masks):
        free = [k for k in range(slices) if mask >> k & 1]
        for place, k in enumerate(free):
            whole[row] += (pattern >> place & 1) << k
    bits = torch.stack([whole >> k & 1 for k in range(slices)])
    values = torch.zeros(len(masks), len(steps), len(pattern), dtype=torch.float64)
    for k in range(slices):
        values += steps[:, k, None] * bits[k][:, None]
    values = values.reshape(-1, len(pattern))
    cost = (pattern / len(pattern)).expand(values.shape)
    states = tuple(
        (bits[k] * on[k]).to(torch.uint8).repeat_interleave(len(steps), 0) for k in range(slices)
    )
    return merged(values, states, cost, same=0.0)


def _patterns(
    faults: CellFaults,
    cells: Cells,
    states_us: Tensor,
    on: tuple[int, ...],
    span_us: tuple[float, float],
) -> SliceOptions:
    """Return weights whose bits have on and off values of their own."""
    shape = faults.stuck_us[0].shape
    table = states_us.reshape(-1, states_us.shape[-1])
    gain = per_weight(cells.gain.double(), shape)
    low, steps = [], []
    for k, factor in enumerate(factors_of(cells, len(on), shape)):
        line = CellLines.of(faults, k, *span_us)
        off_us = line.conductance(per_weight(table[:, 0], shape))
        on_us = line.conductance(per_weight(table[:, on[k]], shape))
        low.append(off_us)
        steps.append((gain * factor * (on_us.double() - off_us.double())).to(torch.float32))
    return SliceOptions(
        states_us=states_us,
        offset=base_weight(faults, cells, low),
        steps=tuple(steps),
        off=0,
        on=tuple(torch.tensor(state, dtype=torch.int16).expand(shape) for state in on),
        stuck=tuple(map(StuckCells.of, faults.stuck_us)),
    )
