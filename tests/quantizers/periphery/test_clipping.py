import pytest
import torch

from cimc.quantizers.periphery.clipping import conversions_clipped, inputs_clipped, output_snr_db
from cimc.quantizers.periphery.currents import Drive, convert
from cimc.quantizers.periphery.search import Ranges, Task
from tests.quantizers.periphery.readings import DRIVES, normal, reading, weight


def test_inputs_beyond_full_scale_are_counted():
    x = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]).reshape(8, 1, 1)
    assert inputs_clipped(x, Drive(8, True), 1.0) == 3 / 8
    assert inputs_clipped(x, Drive(8, False), 1.0) == 5 / 8
    assert inputs_clipped(x[:0], Drive(8, False), 1.0) == 0.0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_conversions_beyond_full_scale_are_counted(drive, after):
    layer = reading(drive, after=after)
    x = normal(100, 2, 12, seed=3)
    x = x if drive.signed else x.abs()
    full = torch.rand(layer.shape, generator=torch.Generator().manual_seed(5)) + 0.5
    count = total = 0
    for tile, tops in zip(convert(layer, x, 2.0).tiles, full, strict=True):
        for phase in tile:
            for vector in phase:
                count += int((vector.abs() > tops * (1 + 1e-5)).sum())  # rounding is no clipping
                total += vector.numel()
    assert count > 0
    assert conversions_clipped(layer, x, Ranges(2.0, full)) == pytest.approx(
        count / total, abs=1e-8
    )


def test_snr_grows_by_six_decibels_a_bit():
    ratios = []
    for bits in (6, 8, 10):
        layer = reading(Drive(16, True), adc_bits=bits)
        task = Task(normal(500, 2, 12, seed=3), weight(layer))
        full = torch.stack([t.abs().amax((0, 1)) for t in convert(layer, task.x, 5.0).tiles])
        ratios.append(output_snr_db(layer, task, Ranges(5.0, full)))
    assert ratios[1] - ratios[0] == pytest.approx(12.0, abs=0.5)
    assert ratios[2] - ratios[1] == pytest.approx(12.0, abs=0.5)
