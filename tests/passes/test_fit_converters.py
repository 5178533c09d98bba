from functools import cache

import numpy as np
import pytest
import torch

from cimc.errors import UsageError
from cimc.ir.layer import Fitted
from cimc.passes.fit_converters import FitConverters
from cimc.quantizers.periphery.fit import METHODS
from cimc.targets import load_target
from cimc.verification.data import check_data
from tests.passes.networks import context, conv_net, lowered, rng


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


@cache
def assigned(data):
    """A network before the pass; what is around the cells plays no part until then."""
    net = conv_net(channels=40, filters=8)
    values = np.abs(rng(2).standard_normal((40, 40, 8, 8))).astype(np.float32)
    checked = check_data({"x": values}, net.inputs) if data else None
    return lowered(net, "assign-conductance", data=checked), checked


def fitted(method, data=True, **changes):
    net, checked = assigned(data)
    target = load_target("rram").changed(changes)
    return FitConverters(method, method).run(net, context(target, data=checked))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_what_it_clips(method):
    for layer in fitted(method).layers.values():
        (use,) = layer.uses
        assert (use.fitted.input_method, use.fitted.adc_method) == (method, method)
        assert 0 <= use.fitted.inputs_clipped < 0.02
        assert 0 <= use.fitted.conversions_clipped < 0.05
        assert use.fitted.snr_db > 20


def test_the_largest_values_clip_nothing_and_cost_more_than_searched_ranges():
    nothing, least = (
        {name: layer.uses[0].fitted for name, layer in fitted(method).layers.items()}
        for method in ("max", "search")
    )
    assert nothing["w"].inputs_clipped == nothing["w"].conversions_clipped == 0.0
    assert least["w"].snr_db > nothing["w"].snr_db


def test_ranges_are_the_same_every_time():
    first, second = fitted("search"), fitted("search")
    for name, layer in first.layers.items():
        for a, b in zip(layer.uses, second.layers[name].uses, strict=True):
            assert (a.dac, a.fitted) == (b.dac, b.fitted)
            assert a.adc.i_max_us.tolist() == b.adc.i_max_us.tolist()


def test_without_data_clipping_is_not_known():
    for layer in fitted("search", data=False).layers.values():
        (use,) = layer.uses
        assert use.fitted == Fitted("dynamic", "weights")


@pytest.mark.parametrize(
    ("policy", "shape"),
    [
        ("per-row-tile", (2, 1, 1)),
        ("per-layer", (2, 1, 1)),
        ("full-scale", (2, 1, 1)),
        ("per-column", (2, 1, 8)),
    ],
)
@pytest.mark.parametrize("data", [True, False])
def test_the_target_says_what_shares_a_range(policy, shape, data, monkeypatch):
    monkeypatch.setattr("cimc.targets.rules.broken", lambda target: [])
    net = fitted("search", data, **{"adc.range": policy, "adc.columns_per_adc": 4})
    full = net.layers["w"].uses[0].adc.i_max_us
    assert tuple(full.shape) == shape
    assert full.dtype == torch.float32
    if policy == "per-layer":
        assert full[0] == full[1]
    if policy == "per-column":
        assert (full[:, :, :4] == full[:, :, :1]).all()
        assert (full[:, :, 4:] == full[:, :, 4:5]).all()
        assert (full[:, :, 0] != full[:, :, 4]).any()


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("subtraction", ["before-adc", "after-adc"])
@pytest.mark.parametrize("signed_inputs", ["bipolar", "two-phase", "shift"])
@pytest.mark.parametrize("drive", ["parallel", "bit-serial", "pulse-width"])
def test_every_drive_has_ranges(drive, signed_inputs, subtraction, data, monkeypatch):
    monkeypatch.setattr("cimc.targets.rules.broken", lambda target: [])
    changes = {
        "read.drive": drive,
        "read.signed_inputs": signed_inputs,
        "pair.subtraction": subtraction,
    }
    for layer in fitted("search", data, **changes).layers.values():
        (use,) = layer.uses
        lanes = 2 if subtraction == "after-adc" else 1
        assert tuple(use.adc.i_max_us.shape) == (len(layer.row_tiles), lanes, 1)
        # Data are never negative here; without data they might be.
        one_sided = lanes == 2 and (data or signed_inputs != "bipolar")
        assert use.adc.signed == (not one_sided)
        assert data == (use.fitted.snr_db is not None)
        if data:
            assert use.fitted.snr_db > 20


def test_clipping_is_what_the_converters_do():
    net = fitted("percentile")
    (use,) = net.layers["w"].uses
    assert use.fitted.inputs_clipped == pytest.approx(1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"adc_method": "best"},
            "fit-converters.adc_method: there is no method 'best'",
        ),
        (
            {"percentile": 0.0},
            "fit-converters.percentile must be above 0 and at most 100 (got 0.0)",
        ),
    ],
)
def test_unknown_methods_are_refused(given, says):
    with pytest.raises(UsageError) as refused:
        FitConverters(**given)
    assert (refused.value.code, refused.value.message) == ("CIMC-U41", says)
