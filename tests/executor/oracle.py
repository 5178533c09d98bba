"""What crossbars compute, one cell at a time: slow, in numpy, on its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.program.model import ProgramLayer

Array = npt.NDArray[Any]


def dac(x: Array, layer: ProgramLayer) -> tuple[Array, Array]:
    """Codes, and the value of one code for each sample (first axis)."""
    setting = layer.uses[0].dac
    ones = np.ones((len(x), *[1] * (x.ndim - 1)), dtype=np.float32)
    if setting.bits is None:
        if layer.uses[0].adc.bits is None:
            return x, ones
        full = _largest(x) if setting.x_max is None else ones * setting.x_max
        return x * (np.float32(1) / full), full
    q = 2 ** (setting.bits - 1) - 1 if setting.signed else 2**setting.bits - 1
    if setting.x_max is None:
        full = _largest(x)
        scale = np.float32(q) / full
    else:
        full = ones * np.float32(setting.x_max)
        scale = ones * np.float32(q / setting.x_max)
    codes = np.rint((x * scale).astype(np.float32))
    return np.clip(codes, -q if setting.signed else 0, q), full / np.float32(q)


def _largest(x: Array) -> Array:
    full = np.abs(x).max(axis=tuple(range(1, x.ndim)), keepdims=True)
    return np.where(full == 0, np.float32(1), full).astype(np.float32)


def multiply(codes: Array, layer: ProgramLayer, planes: list[Array], group: int) -> Array:
    """One input vector through all tiles of one matrix; output in units of one input code."""
    setting, geometry = layer.uses[0], layer.geometry
    q_dac = 1
    if setting.dac.bits is not None:
        q_dac = 2 ** (setting.dac.bits - 1) - 1 if setting.dac.signed else 2**setting.dac.bits - 1
    gain = layer.cells.gain.numpy()
    gain = gain.reshape(geometry.groups, -1)[group] if len(gain) > 1 else gain
    out = np.zeros(geometry.columns)
    firsts = sorted({int(c) for c in layer.tiles[:, 4]})
    for tile, (first, size) in enumerate(layer.row_tiles):
        for column in range(geometry.columns):
            current = 0.0
            for row in range(first, first + size):
                current += float(codes[row]) * _conductance(
                    layer, planes, firsts, group, row, column
                )
            if setting.adc.bits is None:
                out[column] += current
                continue
            q = 2 ** (setting.adc.bits - 1) - 1
            i_max = float(setting.adc.i_max_us[tile, 0, 0])
            inv_lsb = np.float32(q / (i_max * q_dac))
            code = np.clip(np.rint(np.float32(np.float32(current) * inv_lsb)), -q, q)
            out[column] += code * (i_max * q_dac / q)
    return out * gain


def _conductance(
    layer: ProgramLayer, planes: list[Array], firsts: list[int], group: int, row: int, column: int
) -> float:
    if layer.encoding == "signed":
        return float(planes[0][group, row, column])
    if layer.encoding == "differential-pair":
        return float(planes[0][group, row, column]) - float(planes[1][group, row, column])
    tile = sum(column >= f for f in firsts) - 1
    return float(planes[0][group, row, column]) - float(planes[1][group, row, tile])


def convolution(
    x: Array,
    layer: ProgramLayer,
    planes: list[Array],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
) -> Array:
    """A grouped convolution over any number of axes, patch by patch."""
    geometry = layer.geometry
    n = len(geometry.kernel)
    codes, unit = dac(x, layer)
    codes = np.pad(codes, [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)])
    sizes = [
        (codes.shape[2 + a] - dilations[a] * (geometry.kernel[a] - 1) - 1) // strides[a] + 1
        for a in range(n)
    ]
    out = np.zeros((len(x), geometry.groups * geometry.columns, *sizes))
    channels = codes.shape[1] // geometry.groups
    for sample, group in itertools.product(range(len(x)), range(geometry.groups)):
        for place in itertools.product(*map(range, sizes)):
            window = tuple(
                slice(p * s, p * s + d * (k - 1) + 1, d)
                for p, s, d, k in zip(place, strides, dilations, geometry.kernel, strict=True)
            )
            part = codes[(sample, slice(group * channels, (group + 1) * channels), *window)]
            y = multiply(part.ravel(), layer, planes, group) * unit[sample].item()
            columns = slice(group * geometry.columns, (group + 1) * geometry.columns)
            out[(sample, columns, *place)] = y
    return out


def transposed_convolution(
    x: Array, layer: ProgramLayer, planes: list[Array], strides: list[int], dilations: list[int]
) -> Array:
    """A grouped transposed convolution without padding: every pixel's reads, overlap-added."""
    geometry = layer.geometry
    codes, unit = dac(x, layer)
    space = x.shape[2:]
    sizes = [
        (s - 1) * t + d * (k - 1) + 1
        for s, t, d, k in zip(space, strides, dilations, geometry.kernel, strict=True)
    ]
    channels = geometry.columns // geometry.taps
    out = np.zeros((len(x), geometry.groups * channels, *sizes))
    for sample, group in itertools.product(range(len(x)), range(geometry.groups)):
        for place in itertools.product(*map(range, space)):
            rows = slice(group * geometry.rows, (group + 1) * geometry.rows)
            y = multiply(codes[(sample, rows, *place)], layer, planes, group)
            window = tuple(
                slice(p * t, p * t + d * (k - 1) + 1, d)
                for p, t, d, k in zip(place, strides, dilations, geometry.kernel, strict=True)
            )
            block = y.reshape(channels, *geometry.kernel) * unit[sample].item()
            out[(sample, slice(group * channels, (group + 1) * channels), *window)] += block
    return out
