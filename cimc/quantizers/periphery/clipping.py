"""Count what converters clip, and what conversion costs a layer's output."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cimc.quantizers.periphery.currents import Currents, Drive, Reading
from cimc.quantizers.periphery.search import Ranges, Task, dac_error, output_error

#: A current this many times the full scale is at it: sums in float32 are not exact.
_BEYOND = 1 + 1e-5


def inputs_clipped(x: Tensor, drive: Drive, x_max: float) -> float:
    """Return the share of inputs outside the range of the DAC, 0..1."""
    outside = x.abs() > x_max if drive.signed else (x > x_max) | (x < 0)
    return _share(int(outside.sum()), x.numel())


def conversions_clipped(
    reading: Reading, x: Tensor, ranges: Ranges, currents: Currents | None = None
) -> float:
    """Return the share of conversions outside the range of the ADC, 0..1."""
    clipped = total = 0
    tiles = (currents or Currents(reading, x)).at(ranges.x_max).tiles
    for tile, full in zip(tiles, ranges.i_max_us, strict=True):
        outside = tile.abs() > full * _BEYOND
        if not reading.adc_signed:
            outside |= tile < 0
        clipped += int(outside.sum())
        total += tile.numel()
    return _share(clipped, total)


def output_snr_db(
    reading: Reading, task: Task, ranges: Ranges, currents: Currents | None = None
) -> float | None:
    """Return the output's signal to the noise of both converters [dB]; None without either."""
    return _decibel(task, output_error(reading, task, ranges, currents))


def dac_snr_db(drive: Drive, task: Task, x_max: float) -> float | None:
    """Return the output's signal to the noise of the DAC, no ADC following [dB]."""
    return _decibel(task, dac_error(drive, task, x_max))


def _decibel(task: Task, noise: float) -> float | None:
    exact = torch.bmm(task.x.transpose(0, 1), task.weight)
    signal = float(exact.double().square().mean()) if exact.numel() else 0.0
    return round(10 * math.log10(signal / noise), 2) if signal > 0 and noise > 0 else None


def _share(count: int, total: int) -> float:
    return round(count / total, 8) if total else 0.0
