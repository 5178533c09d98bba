"""Full scales for values seen: the largest, a percentile, or the least mean square error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.device.converters import largest_code
from cimc.ir.layer import InputStatistics
from cimc.quantizers.periphery.currents import Converted, Reading

#: Full scales tried first, as shares of the largest value, and then around the best of them.
_COARSE = tuple(np.geomspace(1.0, 0.1, 12).tolist())
_FINE = tuple(np.geomspace(10 ** (-1 / 16), 10 ** (1 / 16), 6).tolist())
_DAC = tuple(np.geomspace(1.0, 0.05, 60).tolist())


def dac_range(
    seen: InputStatistics, bits: int, *, signed: bool, method: str, percentile: float = 100.0
) -> float:
    """Return the full scale of a DAC from the histogram of ``|x|``.

    Args:
        seen: Inputs, not all zero.
        bits: Resolution [bit].
        signed: Whether codes may be negative.
        method: ``max``; ``percentile``; anything else: least mean square error, with
            the error of rounding taken as even over a step (step^2 / 12).
        percentile: Share of the inputs within the range [%].
    """
    q = largest_code(bits, signed=signed)
    top = max(abs(seen.x_min), abs(seen.x_max))
    width = seen.limit / len(seen.histogram)
    counts = seen.histogram.astype(np.float64)
    if method == "max":
        return top
    if method == "percentile":
        return min(top, _histogram_percentile(counts, width, percentile))
    centers = (np.arange(len(counts)) + 0.5) * width

    def error(x_max: float) -> float:
        inside = centers <= x_max
        clipped = np.where(inside, 0.0, centers - x_max) ** 2
        rounding = np.where(inside, (x_max / q) ** 2 / 12, 0.0)
        return float((counts * (clipped + rounding)).sum())

    return float(min((top * share for share in _DAC), key=error))


def _histogram_percentile(
    counts: npt.NDArray[np.float64], width: float, percentile: float
) -> float:
    """Return the upper edge of the bin that holds the percentile."""
    inside = np.cumsum(counts)
    return float((np.searchsorted(inside, percentile / 100 * inside[-1]) + 1) * width)


def adc_ranges(
    reading: Reading, seen: Converted, groups: Tensor, method: str, percentile: float
) -> Tensor:
    """Return a full scale for every group of converters from the currents they see.

    Args:
        reading: Of the layer.
        seen: Currents.
        groups: Group of every converted current, int64 ``(row_tiles, lanes, columns)``.
        method: ``max``; ``percentile``; anything else: least mean square error.
        percentile: Share of the conversions within the range [%].

    Returns:
        float32 ``(groups,)`` [uS]; 0 where no current flows.
    """
    count = int(groups.max()) + 1
    top = torch.zeros(count)
    for ids, currents in zip(groups, seen.tiles, strict=True):
        largest = currents.abs().amax((0, 1))
        top = top.scatter_reduce(0, ids.flatten(), largest.flatten(), "amax")
    if method == "max":
        return top
    if method == "percentile":
        found = _percentiles(seen.tiles, groups, count, percentile)
        return torch.where(found > 0, found, top)
    return _least_error(reading, seen, groups, top)


def _percentiles(tiles: Sequence[Tensor], groups: Tensor, count: int, percentile: float) -> Tensor:
    """Return the percentile of the magnitudes of every group."""
    parts: list[list[npt.NDArray[np.float32]]] = [[] for _ in range(count)]
    for ids, currents in zip(groups, tiles, strict=True):
        values = currents.abs().flatten(0, 1).flatten(1).T.numpy()
        for group in ids.unique().tolist():
            parts[group].append(values[(ids.flatten() == group).numpy()].ravel())
    found = [np.percentile(np.concatenate(p), percentile) if p else 0.0 for p in parts]
    return torch.tensor(found, dtype=torch.float32)


def _least_error(reading: Reading, seen: Converted, groups: Tensor, top: Tensor) -> Tensor:
    """Return full scales with the least error of the conversions, phases weighted by worth."""
    best = top.clone()
    least = torch.full_like(top, float("inf"), dtype=torch.float64)
    for shares, around in ((_COARSE, top), (_FINE, None)):
        middle = best.clone() if around is None else around
        for share in shares:
            full = (middle * share).clamp(max=top)
            error = _errors(reading, seen, groups, full)
            better = error < least
            least = torch.where(better, error, least)
            best = torch.where(better, full, best)
    return best


def _errors(reading: Reading, seen: Converted, groups: Tensor, full: Tensor) -> Tensor:
    """Return the weighted square error of all conversions of every group, float64."""
    total = torch.zeros(len(full), dtype=torch.float64)
    for ids, currents in zip(groups, seen.tiles, strict=True):
        lost = rounding(reading, currents, full[ids])
        each = torch.einsum("pnlc,p->lc", lost.square_(), seen.shares.square())
        total.index_add_(0, ids.flatten(), each.flatten().double())
    return total


def rounding(reading: Reading, currents: Tensor, full: Tensor) -> Tensor:
    """Return what conversion adds to currents: decoded less true, as the ADC computes.

    Args:
        reading: Of the layer.
        currents: ``(phases, n, lanes, columns)`` [uS].
        full: Full scales, ``(lanes, columns)`` [uS]; 0 where no current flows.
    """
    lsb = positive(full) / reading.largest_code
    codes = (currents * (1 / lsb)).round_().clamp_(reading.lowest_code, reading.largest_code)
    return codes.mul_(lsb).sub_(currents)


def positive(full: Tensor) -> Tensor:
    """Return full scales, 1 uS where no current ever flows: any range is right there."""
    return torch.where(full > 0, full, torch.ones_like(full)).to(torch.float32)
