"""What drives, lanes and converters compute, cell by cell and pulse by pulse, in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.program.model import ProgramLayer
from cimc.targets import Target

Array = npt.NDArray[Any]


def pulses(code: int, device: Target, bits: int, signed: bool) -> list[tuple[int, int]]:
    """Drive and digital weight of each pulse of one input code."""
    read = device.read
    q = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    parts = [(code, 1)]
    if signed and read.signed_inputs == "two-phase":
        parts = [(max(code, 0), 1), (max(-code, 0), -1)]
    elif signed and read.signed_inputs == "shift":
        parts = [(code + q, 1)]
        q *= 2
    if read.drive != "bit-serial":
        return parts
    out = []
    for part, weight in parts:
        sign = -1 if part < 0 else 1
        bits_of_q = range(len(f"{q:b}"))
        out += [(sign * (abs(part) >> b & 1), weight * 2**b) for b in bits_of_q]
    return out


def full_drive(device: Target, bits: int, signed: bool) -> int:
    """Largest drive of a pulse."""
    q = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    if device.read.drive == "bit-serial":
        return 1
    return 2 * q if signed and device.read.signed_inputs == "shift" else q


def lanes(layer: ProgramLayer, planes: list[Array], device: Target, group: int) -> list[Array]:
    """Conductances of each current that is converted, ``(rows, columns)``."""
    g = [plane[group].astype(np.float64) for plane in planes]
    if layer.encoding == "bit-sliced":
        return [sum(g)] if layer.cells.multipliers is None else g
    if layer.encoding == "offset-column":
        firsts = sorted({int(c) for c in layer.tiles[:, 4]})
        tile = [sum(c >= f for f in firsts) - 1 for c in range(layer.geometry.columns)]
        return [g[0] - g[1][:, tile]]
    return g if device.pair.subtraction == "after-adc" else [g[0] - g[1]]


def factors(layer: ProgramLayer, device: Target, group: int) -> list[Array]:
    """Digital factor of each lane and column."""
    columns = layer.geometry.columns
    if layer.encoding == "bit-sliced" and layer.cells.multipliers is not None:
        each = layer.cells.multipliers.numpy().astype(np.float64)
        if each.ndim == 1:
            return [np.full(columns, f) for f in each]
        return list(each[:, group * columns : (group + 1) * columns])
    after = layer.encoding == "differential-pair" and device.pair.subtraction == "after-adc"
    return [np.ones(columns), -np.ones(columns)] if after else [np.ones(columns)]


def of_group(values: Any, layer: ProgramLayer, group: int) -> Array:
    """One value a column of a group, of one for all or one a column of the layer."""
    flat, columns = np.asarray(values, dtype=np.float64).ravel(), layer.geometry.columns
    if flat.size == 1:
        return np.full(columns, flat[0])
    return flat[group * columns : (group + 1) * columns]


def multiply(
    codes: Array,
    layer: ProgramLayer,
    planes: list[Array],
    device: Target,
    group: int = 0,
    curve: Callable[[float], float] = lambda u: u,
    gain_errors: Array | None = None,
    offsets: Array | None = None,
) -> Array:
    """One input vector through all tiles; output in units of one input code."""
    setting = layer.uses[0]
    bits, signed = setting.dac.bits, setting.dac.signed
    largest = full_drive(device, bits, signed)
    plan = [pulses(int(code), device, bits, signed) for code in codes]
    weights = [weight for _, weight in plan[0]]
    columns = layer.geometry.columns
    total = np.zeros(columns)
    seen = list(
        zip(lanes(layer, planes, device, group), factors(layer, device, group), strict=True)
    )
    for (lane, (g, factor)), column in itertools.product(enumerate(seen), range(columns)):
        place = group * columns + column
        for tile, (first, size) in enumerate(layer.row_tiles):
            for phase, weight in enumerate(weights):
                current = 0.0
                for row in range(first, first + size):
                    drive = plan[row][phase][0]
                    current += largest * curve(drive / largest) * g[row, column]
                if setting.adc.bits is not None:
                    ranges = setting.adc.i_max_us[tile, lane].numpy()
                    i_max = float(ranges[place % len(ranges)])
                    error = 1.0 if gain_errors is None else gain_errors[tile, lane, place]
                    offset = 0.0 if offsets is None else offsets[tile, lane, place]
                    current = _converted(current, setting.adc, i_max * largest, error, offset)
                total[column] += factor[column] * weight * current
    shift = plan_shift(device, bits, signed)
    for (g, factor), column in itertools.product(seen, range(columns)):
        total[column] -= shift * factor[column] * g[:, column].sum()
    if layer.cells.correction_us is not None:
        total += of_group(layer.cells.correction_us, layer, group) * codes.sum()
    return total * of_group(layer.cells.gain, layer, group)


def plan_shift(device: Target, bits: int, signed: bool) -> int:
    shifted = signed and device.read.signed_inputs == "shift"
    return 2 ** (bits - 1) - 1 if shifted else 0


def _converted(current: float, adc: Any, full: float, gain: float, offset: float) -> float:
    q = 2 ** (adc.bits - 1) - 1 if adc.signed else 2**adc.bits - 1
    inverse = np.float32(q / full * gain)
    code = np.float32(np.float32(current) * inverse) + np.float32(offset)
    return float(np.clip(np.rint(code), -q if adc.signed else 0, q)) * full / q


def convolution(
    codes: Array, layer: ProgramLayer, planes: list[Array], device: Target, pad: int, stride: int
) -> Array:
    """A grouped convolution in two axes; padding is an input of 0."""
    geometry = layer.geometry
    codes = np.pad(codes, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    (height, width), kernel = codes.shape[2:], geometry.kernel
    rows = range(0, height - kernel[0] + 1, stride)
    columns = range(0, width - kernel[1] + 1, stride)
    channels = codes.shape[1] // geometry.groups
    out = np.zeros((len(codes), geometry.groups * geometry.columns, len(rows), len(columns)))
    for n, group in itertools.product(range(len(codes)), range(geometry.groups)):
        own = codes[n, group * channels : (group + 1) * channels]
        place = slice(group * geometry.columns, (group + 1) * geometry.columns)
        for (i, r), (j, c) in itertools.product(enumerate(rows), enumerate(columns)):
            patch = own[:, r : r + kernel[0], c : c + kernel[1]]
            out[n, place, i, j] = multiply(patch.ravel(), layer, planes, device, group)
    return out
