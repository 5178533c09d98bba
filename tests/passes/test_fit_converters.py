import numpy as np
import pytest

from cimc.ir.layer import InputStatistics
from cimc.quantizers.periphery.ranges import dac_range
from cimc.verification.data import check_data
from tests.passes.networks import conv_net, lowered, rng


def with_data(offset=0.0, **options):
    net = conv_net(channels=40, filters=8)
    values = (np.abs(rng(2).standard_normal((40, 40, 8, 8))) + offset).astype(np.float32)
    return lowered(net, "fit-converters", data=check_data({"x": values}, net.inputs), **options)


def test_inputs_that_are_never_negative_use_unsigned_codes():
    net = with_data()
    (use,) = net.layers["w"].uses
    assert (use.dac.bits, use.dac.signed, use.dac.policy) == (8, False, "static")
    assert 1 < use.dac.x_max <= 6


def test_every_row_tile_has_its_own_adc_range():
    net = with_data()
    (use,) = net.layers["w"].uses
    assert len(use.adc.i_max_us) == len(net.layers["w"].row_tiles) == 2
    assert (use.adc.i_max_us > 0).all()
    # The second tile has 12 of 40 channels, so less current.
    assert use.adc.i_max_us[1] < use.adc.i_max_us[0]


def test_without_data_ranges_come_from_the_weights():
    net = lowered(conv_net(), "fit-converters")
    for layer in net.layers.values():
        (use,) = layer.uses
        assert (use.dac.policy, use.dac.x_max) == ("dynamic", None)
        assert (use.adc.i_max_us > 0).all()


def test_the_ideal_target_has_no_converters():
    net = lowered(conv_net(), "fit-converters", "ideal", quantize={"levels": None})
    assert all(
        u.dac.bits is None and u.adc.bits is None for x in net.layers.values() for u in x.uses
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_the_dac_range_is_near_the_best_there_is(bits):
    values = np.abs(rng().standard_normal(200_000))
    counts, _ = np.histogram(values, 2048, (0, values.max()))
    top = float(values.max())
    seen = InputStatistics(-top, top, top, counts.astype(np.int64), None, None, 1)
    q = 2 ** (bits - 1) - 1

    def error(x_max):
        codes = np.clip(np.round(values * q / x_max), -q, q)
        return ((codes * x_max / q - values) ** 2).mean()

    best = min(error(s * top) for s in np.linspace(0.1, 1, 400))
    assert error(dac_range(seen, bits, signed=True, method="mse")) <= 1.03 * best
