import pytest
import torch

from cimc.quantizers.periphery.currents import convert
from cimc.quantizers.periphery.ranges import adc_ranges
from cimc.quantizers.periphery.search import Ranges, Task, output_error, search
from cimc.quantizers.periphery.sharing import converter_groups
from tests.quantizers.periphery.readings import DRIVES, normal, reading, weight


def groups_of(layer, policy="per-row-tile"):
    tiles, lanes, columns = layer.shape
    if policy == "per-column":
        return torch.arange(tiles * lanes * columns).reshape(layer.shape)
    return converter_groups(
        policy, layer.shape, None, columns_per_adc=1, bit_lines=1, adjacent=True
    )


def start(layer, task, groups, x_max=3.0):
    full = adc_ranges(layer, convert(layer, task.x, x_max), groups, "mse", 0)
    return Ranges(x_max, full[groups])


def task_of(layer, n=200):
    x = normal(n, 2, 12, seed=5)
    x = x if layer.drive.signed else x.abs()
    return Task(x, weight(layer))


@pytest.mark.parametrize("policy", ["per-row-tile", "per-layer", "per-column"])
@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_search_is_never_worse_than_where_it_began(drive, policy):
    for after, seed in ((False, 0), (True, 1)):
        layer = reading(drive, after=after, seed=seed, adc_bits=4)
        task, groups = task_of(layer), groups_of(layer, policy)
        before = start(layer, task, groups)
        found = search(layer, task, groups, before, dac=drive.bits is not None, adc=True)
        assert output_error(layer, task, found) <= output_error(layer, task, before)
        for group in groups.unique():
            assert found.i_max_us[groups == group].unique().numel() == 1


def test_output_error_is_that_of_the_converted_product():
    layer = reading(adc_bits=6)
    task, groups = task_of(layer), groups_of(layer)
    ranges = start(layer, task, groups)
    # The executor's arithmetic, spelled out.
    codes = (task.x * 15 / 3.0).round().clamp(-15, 15)
    total = torch.zeros(200, 6)
    for tile, (first, rows) in enumerate(layer.row_tiles):
        part = slice(first, first + rows)
        i = torch.einsum("ngr,grc->ngc", codes[..., part], layer.lanes[0].delta_us[:, part])
        lsb = ranges.i_max_us[tile, 0] * 15 / 31
        total += (i.flatten(1) / lsb).round().clamp(-31, 31) * lsb
    got = total * layer.gain * 3.0 / 15
    exact = torch.einsum("ngr,grc->ngc", task.x, task.weight).flatten(1)
    error = (got - exact).square().mean()
    assert output_error(layer, task, ranges) == pytest.approx(float(error), rel=1e-3)


def test_columns_that_matter_more_decide_a_shared_range():
    # Column 0 has large currents and little worth; a range for it wastes the codes of the rest.
    gain = torch.tensor([1e-4, 1.0, 1.0, 1e-4, 1.0, 1.0])
    layer = reading(adc_bits=4, gain=gain)
    for group in (0, 1):
        layer.lanes[0].delta_us[group, :, 0] *= 20
    task, groups = task_of(layer), groups_of(layer)
    before = start(layer, task, groups)
    found = search(layer, task, groups, before, dac=False, adc=True)
    assert output_error(layer, task, found) < 0.3 * output_error(layer, task, before)


def test_ranges_of_columns_beat_one_range_where_columns_differ():
    gain = torch.tensor([10.0, 1.0, 0.1] * 2)
    layer = reading(adc_bits=4, gain=gain)
    layer.lanes[0].delta_us[:] *= torch.tensor([0.1, 1.0, 10.0])
    errors = {}
    for policy in ("per-layer", "per-row-tile", "per-column"):
        task, groups = task_of(layer), groups_of(layer, policy)
        found = search(layer, task, groups, start(layer, task, groups), dac=False, adc=True)
        errors[policy] = output_error(layer, task, found)
    assert errors["per-column"] < 0.2 * errors["per-row-tile"]
    assert errors["per-row-tile"] <= 1.001 * errors["per-layer"]


def test_fixed_converter_ranges_stay():
    layer = reading(adc_bits=6)
    task, groups = task_of(layer), groups_of(layer)
    before = start(layer, task, groups)
    found = search(layer, task, groups, before, dac=True, adc=False, fixed=True)
    torch.testing.assert_close(found.i_max_us, before.i_max_us)
    assert output_error(layer, task, found) <= output_error(layer, task, before)
