import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from cimc.device.converters import adc_codes, largest_code
from cimc.ir.layer import InputStatistics
from cimc.quantizers.periphery.currents import Converted, Drive
from cimc.quantizers.periphery.ranges import adc_ranges, dac_range, rounding
from tests.quantizers.periphery.readings import normal, reading


def one_column(values, bits):
    """A layer whose ADC converts just these values."""
    layer = reading(adc_bits=bits, groups=1, rows=1, columns=1, tiles=((0, 1),))
    seen = Converted(torch.zeros(0), (values.reshape(1, -1, 1, 1),), torch.ones(1))
    return layer, seen, torch.zeros(1, 1, 1, dtype=torch.int64)


def fitted(values, bits, method="mse", percentile=100.0):
    layer, seen, groups = one_column(values, bits)
    return float(adc_ranges(layer, seen, groups, method, percentile))


def gaussian_error(full, bits):
    """Mean square error of a rounding, clamping converter on N(0, 1), by quadrature."""
    q = largest_code(bits)
    edges = np.concatenate([[-12], (np.arange(-q, q) + 0.5) * full / q, [12]])
    return sum(
        integrate.quad(lambda x, c=code: (x - c * full / q) ** 2 * stats.norm.pdf(x), a, b)[0]
        for code, a, b in zip(range(-q, q + 1), edges, edges[1:], strict=False)
    )


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_gaussian_currents_get_the_range_that_quadrature_gives(bits):
    values = normal(200_000)
    best = optimize.minimize_scalar(lambda f: gaussian_error(f, bits), bounds=(1, 6)).fun
    # 200,000 squares of spread below 3 times their mean: 2 % is 3 standard errors.
    assert gaussian_error(fitted(values, bits), bits) <= 1.02 * best


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_uniform_currents_use_every_code_to_its_full_width(bits):
    # q + 1/2 steps reach the largest value: q / (q + 1/2) of it is full scale.
    q = largest_code(bits)
    values = torch.linspace(-2, 2, 100_001)
    assert fitted(values, bits) == pytest.approx(2 * q / (q + 0.5), rel=0.04)


def test_the_largest_value_and_the_percentile():
    values = normal(10_000)
    assert fitted(values, 8, "max") == values.abs().max()
    wanted = np.percentile(values.abs().numpy(), 99)
    assert fitted(values, 8, "percentile", 99) == pytest.approx(wanted)


def test_a_percentile_of_zero_falls_back_to_the_largest_value():
    values = torch.zeros(1000)
    values[3] = 2.0
    assert fitted(values, 8, "percentile", 99) == 2.0


def test_groups_take_their_ranges_from_their_own_columns():
    layer = reading(adc_bits=8)
    seen = Converted(
        torch.zeros(0),
        tuple(normal(1, 100, 1, 6, seed=s) * (1 + 9 * s) for s in (0, 1)),
        torch.ones(1),
    )
    groups = torch.tensor([[[0, 0, 0, 1, 1, 1]], [[2, 2, 2, 2, 2, 2]]])
    for method, percentile in (("max", 0), ("percentile", 100)):
        full = adc_ranges(layer, seen, groups, method, percentile)
        parts = [seen.tiles[0][..., :3], seen.tiles[0][..., 3:], seen.tiles[1]]
        torch.testing.assert_close(full, torch.stack([p.abs().max() for p in parts]))


@pytest.mark.parametrize("signed", [True, False])
def test_rounding_is_what_the_converter_adds(signed):
    layer = reading(Drive(5, signed), after=not signed)
    assert layer.adc_signed == signed
    currents = normal(2, 40, len(layer.lanes), 6) * 3
    full = torch.rand(len(layer.lanes), 6) + 1
    q = largest_code(6, signed=signed)
    lsb = full / q
    codes = (currents / lsb).round().clamp(-q if signed else 0, q)
    if signed:
        torch.testing.assert_close(codes, adc_codes(currents.clone(), 1 / lsb, 6))
    torch.testing.assert_close(rounding(layer, currents, full), codes * lsb - currents)


def statistics(values):
    counts, _ = np.histogram(np.abs(values), 2048, (0, np.abs(values).max()))
    top = float(np.abs(values).max())
    return InputStatistics(-top, top, top, counts.astype(np.int64), None, None, 1)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_dac_range_is_near_the_best_there_is(bits):
    values = np.random.default_rng(0).standard_normal(200_000)
    q = 2 ** (bits - 1) - 1

    def error(x_max):
        codes = np.clip(np.round(values * q / x_max), -q, q)
        return ((codes * x_max / q - values) ** 2).mean()

    best = min(error(s * np.abs(values).max()) for s in np.linspace(0.1, 1, 400))
    assert error(dac_range(statistics(values), bits, signed=True, method="mse")) <= 1.03 * best


def test_the_dac_range_of_a_percentile_is_within_a_bin():
    values = np.random.default_rng(0).standard_normal(200_000)
    seen = statistics(values)
    got = dac_range(seen, 8, signed=True, method="percentile", percentile=99.0)
    assert got == pytest.approx(np.percentile(np.abs(values), 99), abs=2 * seen.limit / 2048)
    assert dac_range(seen, 8, signed=True, method="max") == seen.x_max
