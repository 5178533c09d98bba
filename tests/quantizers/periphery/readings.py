"""Small layers with converters around them."""

from __future__ import annotations

import itertools

import torch

from cimc.quantizers.periphery.currents import Drive, Lane, Reading

#: Every drive that differs for signed inputs.
DRIVES = [
    Drive(5, True, kind, negative)
    for kind, negative in itertools.product(
        ("parallel", "bit-serial", "pulse-width"), ("bipolar", "two-phase", "shift")
    )
] + [Drive(5, False), Drive(5, False, "bit-serial"), Drive(None, True), Drive(1, False)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reading(
    drive: Drive = DRIVES[0],
    *,
    groups: int = 2,
    rows: int = 12,
    columns: int = 3,
    adc_bits: int = 6,
    tiles: tuple[tuple[int, int], ...] = ((0, 8), (8, 4)),
    after: bool = False,
    gain: torch.Tensor | None = None,
    seed: int = 0,
) -> Reading:
    """A layer of random weights; ``after``: the pair is subtracted after the ADC."""
    delta = normal(groups, rows, columns, seed=seed)
    lanes: tuple[Lane, ...] = (Lane(delta),)
    if after:
        lanes = Lane(delta.clamp(min=0)), Lane((-delta).clamp(min=0), -1.0)
    scale = torch.full((groups * columns,), 0.1) if gain is None else gain
    one_sided = after and not drive.pulses.signed
    return Reading(lanes, tiles, drive, scale, adc_bits, not one_sided)


def weight(layer: Reading) -> torch.Tensor:
    """The weights that the lanes stand for."""
    groups, _, columns = layer.lanes[0].delta_us.shape
    total = sum(torch.as_tensor(lane.multiplier) * lane.delta_us for lane in layer.lanes)
    return total * layer.gain.reshape(groups, 1, columns)
