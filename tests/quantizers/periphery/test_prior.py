import pytest
import torch

from cimc.quantizers.periphery.clipping import conversions_clipped
from cimc.quantizers.periphery.currents import convert
from cimc.quantizers.periphery.prior import full_scale_ranges, weight_ranges
from cimc.quantizers.periphery.search import Ranges
from tests.quantizers.periphery.readings import DRIVES, normal, reading


def per_tile(layer):
    tiles, lanes, _ = layer.shape
    return torch.arange(tiles * lanes).reshape(tiles, lanes, 1).expand(layer.shape).contiguous()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_full_scale_is_reached_and_never_passed(drive, after):
    layer = reading(drive, after=after)
    groups = per_tile(layer)
    full = full_scale_ranges(layer, groups)
    # The worst inputs: the sign of each cell of a column, everything at full drive.
    delta = (layer.lanes[0].delta_us - (layer.lanes[1].delta_us if after else 0)).sign()
    x = torch.cat(
        [delta.permute(2, 0, 1), -delta.permute(2, 0, 1), normal(50, 2, 12).clamp(-1, 1)]
    )
    x = x if drive.signed else x.clamp(min=0)
    tops = torch.stack([t.abs().amax((0, 1)) for t in convert(layer, x, 1.0).tiles])
    assert (tops <= full[groups] * (1 + 1e-5)).all()
    reached = torch.zeros_like(full).scatter_reduce(0, groups.flatten(), tops.flatten(), "amax")
    if not drive.pulses.shift or after:
        torch.testing.assert_close(reached, full, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_usual_inputs_are_hardly_clipped(drive, after):
    layer = reading(drive, after=after, rows=64, tiles=((0, 40), (40, 24)))
    groups = per_tile(layer)
    full = weight_ranges(layer, groups)[groups]
    x = normal(2000, 2, 64, seed=9) / 3
    x = x if drive.signed else x.abs()
    assert conversions_clipped(layer, x, Ranges(1.0, full)) < 2e-3
    assert conversions_clipped(layer, x.clamp(min=0), Ranges(1.0, full)) < 2e-3
    assert conversions_clipped(layer, x / 30, Ranges(1.0, full)) < 2e-3
    # And they are not far too wide: some current comes within a factor of eight.
    top = max(
        float((t.abs() / f).max()) for t, f in zip(convert(layer, x, 1.0).tiles, full, strict=True)
    )
    assert top > 1 / 8
