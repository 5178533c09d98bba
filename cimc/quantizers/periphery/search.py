"""Search full scales for the least error of what a layer gives in the end.

The measure is the layer's own output in float arithmetic, for the inputs the quantized network
gives it.  The float network's output would differ from that by the error of the weights, which no
range can mend, but which, larger than the error of converters, hides it: sampled, ranges would
follow its chance correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cimc.quantizers.periphery.currents import (
    Converted,
    Currents,
    Drive,
    Reading,
    applied,
    multipliers,
)
from cimc.quantizers.periphery.ranges import rounding

#: Factors tried on a full scale, round by round.
_ADC = ((0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0), (0.9, 0.95, 1.05, 1.1))
_DAC = ((0.6, 0.75, 0.9, 1.1, 1.3, 1.6), (0.95, 1.05))


@dataclass(frozen=True, slots=True)
class Task:
    """What a layer is to give for some of its inputs.

    Attributes:
        x: Input vectors of the quantized network, float32 ``(n, groups, rows)``.
        weight: Weights the cells stand for, float32 ``(groups, rows, columns)``.
    """

    x: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True)
class Ranges:
    """Full scales.

    Attributes:
        x_max: Of the DAC, in units of the input.
        i_max_us: Of every converted current, float32 ``(row_tiles, lanes, columns)`` [uS].
    """

    x_max: float
    i_max_us: Tensor


def output_error(
    reading: Reading, task: Task, ranges: Ranges, currents: Currents | None = None
) -> float:
    """Return the mean square error of the layer's output with these full scales.

    Args:
        reading: Of the layer.
        task: What it is to give.
        ranges: The full scales.
        currents: Of the task's inputs; None: are worked out.
    """
    seen = (currents or Currents(reading, task.x)).at(ranges.x_max)
    total = _before_adc(task, seen)
    for tile, full in zip(seen.tiles, ranges.i_max_us, strict=True):
        total += _of_adc(reading, seen, tile, full, slice(None), ranges.x_max)
    return float(total.double().square().mean())


def search(
    reading: Reading,
    task: Task,
    groups: Tensor,
    start: Ranges,
    *,
    dac: bool,
    adc: bool,
    fixed: bool = False,
    currents: Currents | None = None,
) -> Ranges:
    """Return full scales with an output error at most that of the start.

    Coordinate descent: the DAC's full scale, the currents' full scales kept as currents; then
    those of each tile and lane, the error of all others as it is.  A change is kept where it
    lowers the square error of the output, after sum, multipliers and gain.

    Args:
        reading: Of the layer.
        task: What it is to give.
        groups: Group of every converted current, as :func:`..sharing.converter_groups` gives.
        start: Where to begin.
        dac: Search the DAC's full scale.
        adc: Search the ADC's.
        fixed: Full scales of the ADC stay as they are when the DAC's changes.
        currents: Of the task's inputs; None: are worked out.
    """
    ranges = start
    currents = currents or Currents(reading, task.x)
    blocks = _blocks(groups)
    for adc_factors, dac_factors in zip(_ADC, _DAC, strict=True):
        if dac:
            ranges = _better_dac(reading, task, ranges, dac_factors, fixed=fixed)
        if adc:
            seen = currents.at(ranges.x_max)
            descent = _Descent(reading, task, groups, seen, ranges.x_max)
            ranges = replace(ranges, i_max_us=descent.run(ranges.i_max_us, blocks, adc_factors))
    return ranges


def dac_error(drive: Drive, task: Task, x_max: float) -> float:
    """Return the mean square error of the layer's output with a DAC and no ADC."""
    return float(_lost(task, applied(drive, task.x, x_max)).double().square().mean())


def search_dac(drive: Drive, task: Task, x_max: float) -> float:
    """Return a full scale of the DAC, where no ADC follows, at least as good as that given."""
    for factors in _DAC:
        trials = (x_max, *(x_max * factor for factor in factors))
        x_max = min(trials, key=lambda trial: dac_error(drive, task, trial))
    return x_max


def _better_dac(
    reading: Reading, task: Task, ranges: Ranges, factors: Sequence[float], *, fixed: bool
) -> Ranges:
    full = ranges.i_max_us
    trials = [Ranges(ranges.x_max * f, full if fixed else full / f) for f in factors]
    return min([ranges, *trials], key=lambda r: output_error(reading, task, r))


def _before_adc(task: Task, seen: Converted) -> Tensor:
    """Return the output error that there is without ADC: ``(n, groups * columns)``."""
    return _lost(task, seen.applied)


def _lost(task: Task, applied: Tensor) -> Tensor:
    lost = (applied - task.x).transpose(0, 1)
    return torch.bmm(lost, task.weight).transpose(0, 1).flatten(1)


def _of_adc(
    reading: Reading, seen: Converted, tile: Tensor, full: Tensor, lanes: slice, x_max: float
) -> Tensor:
    """Return what the ADCs of (some lanes of) one tile add to the output."""
    lost = rounding(reading, tile[:, :, lanes], full[lanes])
    worth = multipliers(reading.lanes, full.shape[1])[lanes] * (x_max * reading.gain)
    return torch.einsum("pnlc,p,lc->nc", lost, seen.shares, worth)


#: A row tile and some of its lanes, whose full scales are changed together; None: everything.
Block = tuple[int, slice]


def _blocks(groups: Tensor) -> list[list[Block]]:
    """Return the parts of a layer that are searched one after the other.

    In a block every column belongs to one group, so its groups are searched side by side.
    """
    tiles, lanes, _ = groups.shape
    if int(groups.max()) == 0:
        return [[(t, slice(None)) for t in range(tiles)]]
    if lanes > 1 and bool((groups == groups[:, :1]).all()):
        return [[(t, slice(None))] for t in range(tiles)]
    return [[(t, slice(k, k + 1))] for t in range(tiles) for k in range(lanes)]


@dataclass(slots=True)
class _Descent:
    """One round over the full scales of the ADCs, the DAC's fixed."""

    reading: Reading
    task: Task
    groups: Tensor
    seen: Converted
    x_max: float

    def run(
        self, full: Tensor, blocks: Sequence[Sequence[Block]], factors: Sequence[float]
    ) -> Tensor:
        full = full.clone()
        everything: list[Block] = [(t, slice(None)) for t in range(len(full))]
        whole = self._error(everything, full)
        total = _before_adc(self.task, self.seen) + whole
        for number, block in enumerate(blocks, 1):
            own = whole if block == everything else self._error(block, full)
            others = total - own
            full = self._best(block, full, others, own, factors)
            if number < len(blocks):
                total = others + self._error(block, full)
        return full

    def _error(self, block: Sequence[Block], full: Tensor) -> Tensor:
        parts = [
            _of_adc(self.reading, self.seen, self.seen.tiles[t], full[t], lanes, self.x_max)
            for t, lanes in block
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _best(
        self,
        block: Sequence[Block],
        full: Tensor,
        others: Tensor,
        own: Tensor,
        factors: Sequence[float],
    ) -> Tensor:
        """Return the full scales, those of the block the best of their trials.

        Args:
            block: What is searched.
            full: Full scales of everything.
            others: Error of the output but for the block.
            own: What the block adds to it.
            factors: Tried.
        """
        tile, lanes = block[0]
        ids = self.groups[tile, lanes][0]
        count = int(self.groups.max()) + 1
        best = torch.ones(count)
        least = self._per_group(others + own, ids, count)
        for factor in factors:
            error = self._per_group(others + self._error(block, full * factor), ids, count)
            better = error < least
            least = torch.where(better, error, least)
            best = torch.where(better, factor, best)
        changed = full.clone()
        for t, part in block:
            changed[t, part] *= best[self.groups[t, part]]
        return changed

    def _per_group(self, error: Tensor, ids: Tensor, count: int) -> Tensor:
        each = error.double().square().sum(0)
        return torch.zeros(count, dtype=torch.float64).index_add_(0, ids, each)
