import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ir import rewrite
from cimc.passes.calibrate import Calibrate
from cimc.verification.data import check_data
from tests.passes.networks import context, conv_net, lowered, rng


def data_for(net, values):
    return check_data({net.inputs[0].name: values.astype(np.float32)}, net.inputs)


@pytest.mark.parametrize("batch", [3, 64])
def test_statistics_are_those_of_the_inputs(batch):
    net = lowered(conv_net(), "partition")
    x = rng(5).standard_normal((20, 3, 8, 8)) * 3
    after = Calibrate(vectors=10**6).run(net, context(data=data_for(net, x), batch=batch))
    seen = after.layers["w"].uses[0].statistics
    x = x.astype(np.float32)
    assert seen.x_min == x.min()
    assert seen.x_max == x.max()
    assert seen.samples == 20
    assert seen.histogram.sum() == x.size
    # The middle tap of each channel sees every pixel, no padding.
    power = (x**2).mean((0, 2, 3))
    np.testing.assert_allclose(seen.power[0].reshape(3, 9)[:, 4], power, rtol=1e-4)


def test_the_histogram_holds_when_the_range_grows():
    net = lowered(conv_net(), "partition")
    x = np.concatenate([np.full((4, 3, 8, 8), 0.1), np.full((4, 3, 8, 8), 7.0)])
    after = Calibrate().run(net, context(data=data_for(net, x), batch=4))
    seen = after.layers["w"].uses[0].statistics
    centers = (np.arange(len(seen.histogram)) + 0.5) * seen.limit / len(seen.histogram)
    low, high = seen.histogram[centers < 1].sum(), seen.histogram[centers > 6].sum()
    assert (low, high) == (x.size / 2, x.size / 2)


def test_output_means_are_per_channel():
    net = lowered(conv_net(), "partition")
    x = rng(6).standard_normal((16, 3, 8, 8))
    after = Calibrate().run(net, context(data=data_for(net, x), batch=5))
    tensors = rewrite.attributes(net.graph)
    weight, bias = tensors["w"], tensors["b"]
    y = torch.nn.functional.conv2d(torch.from_numpy(x.astype(np.float32)), weight, bias, padding=1)
    mean = after.layers["w"].uses[0].statistics.output_mean
    np.testing.assert_allclose(mean, y.mean((0, 2, 3)).detach(), rtol=1e-4, atol=1e-5)


def test_without_data_nothing_is_claimed():
    net = lowered(conv_net(), "partition")
    after = Calibrate().run(net, context())
    assert all(u.statistics is None for x in after.layers.values() for u in x.uses)


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1e20, "square")]
)
def test_a_network_that_computes_nan_is_refused(value, what):
    net = lowered(conv_net(), "partition")
    x = np.full((2, 3, 8, 8), value)
    with pytest.raises(ModelError, match=what) as e:
        Calibrate().run(net, context(data=data_for(net, x)))
    assert e.value.code == "CIMC-M54"
