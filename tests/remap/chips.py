"""Fault maps drawn for tests, and random maps of lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cimc.faults.fault_map import FaultMap
from cimc.program.model import ProgramLayer
from cimc.remap.lines import tiles_of
from cimc.targets import Target


def fault_map(
    device: Target,
    arrays: int,
    rate: float,
    *,
    states: tuple[int, ...] = (1, 2),
    gains: bool = False,
    seed: int = 0,
) -> FaultMap:
    """Return independent faults of the arrays ``0 .. arrays - 1``, states equally likely."""
    rng = np.random.default_rng(seed)
    rows, columns = device.array.rows or 40, device.array.columns or 40
    places = np.argwhere(rng.random((arrays, rows, columns)) < rate)
    state = rng.choice(states, len(places))
    us = rng.uniform(device.cell.g_min_us, device.cell.g_max_us, len(places))
    shape = (arrays, rows, columns)
    numbers = np.arange(arrays, dtype=np.int32)
    return FaultMap(
        chip="c",
        target=device.name,
        arrays=numbers,
        cells=np.concatenate([places, state[:, None]], 1).astype(np.int32),
        conductance_us=np.where(state == 3, us, 0).astype(np.float32),
        gain_arrays=numbers if gains else None,
        gain_lrs=rng.normal(1, 0.1, shape).astype(np.float32) if gains else None,
        gain_hrs=rng.normal(1, 0.1, shape).astype(np.float32) if gains else None,
    )


def shuffled(layer: ProgramLayer, seed: int = 0) -> ProgramLayer:
    """Return the layer with the lines of every tile in random order."""
    rng = np.random.default_rng(seed)
    words, bits = [], []
    for tile in tiles_of(layer):
        words.append(rng.permutation(tile.word_lines))
        step, cut = tile.layout.bit_lines, len(tile.bit_lines) - tile.layout.extra
        if step == 1:
            bits.append(rng.permutation(tile.bit_lines))
        else:
            bits.append(np.append(rng.permutation(tile.bit_lines[:cut]), tile.bit_lines[cut:]))
    return replace(
        layer,
        word_lines=np.concatenate(words).astype(np.int32),
        bit_lines=np.concatenate(bits).astype(np.int32),
    )
