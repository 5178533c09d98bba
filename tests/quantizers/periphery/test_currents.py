import pytest
import torch

from cimc.quantizers.periphery.currents import convert, multipliers
from tests.quantizers.periphery.readings import DRIVES, normal, reading, weight


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_phases_tiles_and_lanes_add_up_to_the_product(drive, after):
    layer = reading(drive, after=after)
    x = normal(50, 2, 12, seed=1)
    x = x if drive.signed else x.abs()
    seen = convert(layer, x, 1.5)
    worth = multipliers(layer.lanes, 6) * layer.gain * 1.5
    got = sum(torch.einsum("pnlc,p,lc->nc", tile, seen.shares, worth) for tile in seen.tiles)
    if drive.pulses.shift:  # what the executor removes digitally
        shift = drive.pulses.shift / drive.largest_code * 1.5
        got = got - shift * weight(layer).sum(1).flatten()
    wanted = torch.bmm(seen.applied.transpose(0, 1), weight(layer)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_applied_inputs_are_within_half_a_step_where_they_are_not_clipped(drive):
    x = normal(50, 2, 12, seed=1)
    x = x if drive.signed else x.abs()
    applied = convert(reading(drive), x, 1.5).applied
    step = 0.0 if drive.bits is None else 1.5 / drive.largest_code
    inside = x.abs() <= 1.5
    assert (applied - x)[inside].abs().max() <= step / 2 + 1e-6


@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_currents_of_single_bit_lines_are_negative_only_with_negative_pulses(drive):
    layer = reading(drive, after=True)
    x = normal(50, 2, 12, seed=1)
    x = x if drive.signed else x.abs()
    lowest = min(float(t.min()) for t in convert(layer, x, 1.5).tiles)
    assert (lowest < 0) == layer.adc_signed
