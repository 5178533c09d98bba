"""Fit the full scales around one use of a layer, from data or from its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cimc.ir.layer import TRAINED, Adc, Dac, Fitted, Use
from cimc.quantizers.periphery import clipping
from cimc.quantizers.periphery.currents import Currents, Drive, Lane, Reading
from cimc.quantizers.periphery.prior import full_scale_ranges, weight_ranges
from cimc.quantizers.periphery.ranges import adc_ranges, dac_range, positive
from cimc.quantizers.periphery.search import Ranges, Task, search, search_dac

#: Ways to choose a full scale from data.
METHODS = ("max", "percentile", "mse", "search")


@dataclass(frozen=True, slots=True)
class Periphery:
    """The converters of a layer on a target.

    Attributes:
        lanes: Currents of a column, converted one by one.
        bit_lines_only: A lane is single bit lines, its current never negative for positive drives.
        row_tiles: First row and rows of each tile.
        gain: Weight units per uS, float32 ``(groups * columns,)``.
        groups: Group of every converted current, int64 ``(row_tiles, lanes, columns)``.
        policy: ``adc.range`` of the target.
        drive: How inputs are applied; ``signed`` of it is set by use.
        adc_bits: Resolution of the ADC [bit]; None: no ADC.
    """

    lanes: tuple[Lane, ...]
    bit_lines_only: bool
    row_tiles: tuple[tuple[int, int], ...]
    gain: Tensor
    groups: Tensor
    policy: str
    drive: Drive
    adc_bits: int | None

    def reading(self, *, signed: bool) -> Reading:
        """Return the layer as it is read with an ADC, for inputs that may be negative or not."""
        assert self.adc_bits is not None
        drive = replace(self.drive, signed=signed)
        one_sided = self.bit_lines_only and not drive.pulses.signed
        lanes, tiles, bits = self.lanes, self.row_tiles, self.adc_bits
        return Reading(lanes, tiles, drive, self.gain, bits, not one_sided)


@dataclass(frozen=True, slots=True)
class Method:
    """How full scales are chosen: of DACs, of ADCs (:data:`METHODS`), percentile [%]."""

    dac: str
    adc: str
    percentile: float


def fit(use: Use, periphery: Periphery, task: Task | None, method: Method) -> Use:
    """Return a use with its converter settings, and how they were found.

    Args:
        use: With statistics of its inputs where there are data; the settings of a DAC that was
            trained stay.
        periphery: The converters.
        task: Sampled inputs and what is wanted of them; None: no data, or none that reached it.
        method: How.
    """
    trained = use.fitted is not None and use.fitted.input_method == TRAINED
    if trained:
        periphery = replace(periphery, drive=replace(periphery.drive, bits=use.dac.bits))
        method = replace(method, dac=TRAINED)
    dac = use.dac if trained else _first_dac(use, periphery, method)
    if task is not None and not len(task.x):
        task = None
    if periphery.adc_bits is None:
        return _dac_only(use, dac, periphery.drive, task, method)
    reading = periphery.reading(signed=dac.signed)
    if task is None or use.statistics is None or use.statistics.limit == 0.0:
        return _from_weights(use, dac, reading, periphery)
    assert dac.x_max is not None
    has_dac = dac.bits is not None
    currents = Currents(reading, task.x)
    start = dac.x_max
    ranges = _from_data(reading, periphery, task, currents, start, method, has_dac=has_dac)
    dac = replace(dac, x_max=ranges.x_max)
    fitted = Fitted(
        input_method=method.dac if has_dac else None,
        adc_method="full-scale" if periphery.policy == "full-scale" else method.adc,
        inputs_clipped=_inputs_clipped(dac, reading.drive, task),
        conversions_clipped=clipping.conversions_clipped(reading, task.x, ranges, currents),
        snr_db=clipping.output_snr_db(reading, task, ranges, currents),
    )
    return replace(use, dac=dac, adc=_adc(reading, periphery, ranges.i_max_us), fitted=fitted)


def _first_dac(use: Use, periphery: Periphery, method: Method) -> Dac:
    """Return the DAC's settings from its inputs alone.

    Inputs without a DAC have a full scale all the same where an ADC follows: its ranges are for
    that, and nothing is clipped to it.
    """
    seen, bits = use.statistics, periphery.drive.bits
    if bits is None and periphery.adc_bits is None:
        return Dac()
    if seen is None or seen.limit == 0.0:
        return Dac(bits, True, "dynamic", None)
    signed = seen.x_min < 0
    if bits is None:
        return Dac(None, signed, "static", max(abs(seen.x_min), abs(seen.x_max)))
    full = dac_range(seen, bits, signed=signed, method=method.dac, percentile=method.percentile)
    return Dac(bits, signed, "static", full)


def _from_data(
    reading: Reading,
    periphery: Periphery,
    task: Task,
    currents: Currents,
    x_max: float,
    method: Method,
    *,
    has_dac: bool,
) -> Ranges:
    groups = periphery.groups
    whole = periphery.policy == "full-scale"
    if whole:
        found = full_scale_ranges(reading, groups)
    else:
        found = adc_ranges(reading, currents.at(x_max), groups, method.adc, method.percentile)
    ranges = Ranges(x_max, positive(found)[groups])
    dac, adc = has_dac and method.dac == "search", method.adc == "search" and not whole
    if not dac and not adc:
        return ranges
    return search(reading, task, groups, ranges, dac=dac, adc=adc, fixed=whole, currents=currents)


def _from_weights(use: Use, dac: Dac, reading: Reading, periphery: Periphery) -> Use:
    whole = periphery.policy == "full-scale"
    find = full_scale_ranges if whole else weight_ranges
    full = positive(find(reading, periphery.groups))[periphery.groups]
    fitted = Fitted(
        input_method=None if dac.bits is None else "dynamic",
        adc_method="full-scale" if whole else "weights",
    )
    return replace(use, dac=dac, adc=_adc(reading, periphery, full), fitted=fitted)


def _adc(reading: Reading, periphery: Periphery, full: Tensor) -> Adc:
    if periphery.policy != "per-column":
        full = full[:, :, :1]
    full = full.to(torch.float32).contiguous()
    return Adc(reading.adc_bits, full, reading.adc_signed)


def _dac_only(use: Use, dac: Dac, drive: Drive, task: Task | None, method: Method) -> Use:
    """Return a use with a DAC, if any, and no ADC."""
    if dac.bits is None:
        return replace(use, dac=dac)
    if dac.x_max is None or task is None:
        return replace(
            use, dac=dac, fitted=Fitted("dynamic" if dac.x_max is None else "mse", None)
        )
    drive = replace(drive, signed=dac.signed)
    if method.dac == "search":
        dac = replace(dac, x_max=search_dac(drive, task, dac.x_max))
    assert dac.x_max is not None
    fitted = Fitted(
        input_method=method.dac,
        adc_method=None,
        inputs_clipped=_inputs_clipped(dac, drive, task),
        snr_db=clipping.dac_snr_db(drive, task, dac.x_max),
    )
    return replace(use, dac=dac, fitted=fitted)


def _inputs_clipped(dac: Dac, drive: Drive, task: Task | None) -> float | None:
    if task is None or dac.bits is None or dac.x_max is None:
        return None
    return clipping.inputs_clipped(task.x, drive, dac.x_max)
