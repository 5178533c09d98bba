"""Gain and offset of every physical converter of a chip, where the columns of a layer find them.

A converter serves adjacent inputs of one array: bit lines, or pairs (bundles of slices) where
their currents are combined before it.  Its errors are drawn once per chip from a stream of its
array, so that layers which share a converter share its errors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.device import seeding
from cimc.executor.circuit import Circuit
from cimc.executor.converters import Mismatch
from cimc.executor.physics import Physics
from cimc.executor.site import Site
from cimc.program.model import ProgramLayer
from cimc.program.positions import blocks, numbers
from cimc.targets.lanes import bit_lines, lane_count

_NONE = Mismatch(None, None)


def mismatch_of(
    layer: ProgramLayer, circuit: Circuit, physics: Physics, seed: int, device: torch.device
) -> Mismatch:
    """Return the errors of the converters of a layer on one chip.

    Args:
        layer: Whose bit lines.
        circuit: How much converters spread.
        physics: For the target.
        seed: The chip.
        device: Where reads are computed.
    """
    if not circuit.gain_sigma and not circuit.offset_lsb:
        return _NONE
    groups, _, columns = layer.geometry.shape
    lanes = lane_count(physics.target)
    shape = (len(layer.row_tiles), lanes, groups * columns)
    gain, offset = torch.ones(shape, dtype=torch.float64), torch.zeros(shape)
    first_rows = {int(first): t for t, (first, _) in enumerate(layer.row_tiles)}
    together = bit_lines(physics.target) * physics.target.adc.columns_per_adc
    drawn: dict[int, tuple[Tensor, Tensor]] = {}
    for lane in range(lanes):
        for block in blocks(layer, lane):
            site = Site(layer, lane, physics, seed)
            if block.array not in drawn:
                count = -(-site.array_size(block.array)[1] // together)
                drawn[block.array] = _errors(circuit, seed, block.array, count)
            which = torch.from_numpy(numbers(block.bit_lines) // together)
            first = block.group * columns
            place = slice(first + block.columns.start, first + block.columns.stop)
            tile = first_rows[block.rows.start]
            gain[tile, lane, place] = drawn[block.array][0][which]
            offset[tile, lane, place] = drawn[block.array][1][which]
    return Mismatch(
        gain.to(device) if circuit.gain_sigma else None,
        offset.to(device) if circuit.offset_lsb else None,
    )


def _errors(circuit: Circuit, seed: int, array: int, count: int) -> tuple[Tensor, Tensor]:
    """Return gains, float64, and offsets [LSB], float32, of the converters of an array."""
    gain = torch.randn(count, generator=seeding.generator(seed, "adc-gain", array))
    offset = torch.randn(count, generator=seeding.generator(seed, "adc-offset", array))
    return 1.0 + circuit.gain_sigma * gain.double(), circuit.offset_lsb * offset
