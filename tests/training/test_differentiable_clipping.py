"""Straight through the device is not straight through clipping: that has the derivative it has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cimc.training import straight_through
from tests.training.test_differentiable_networks import trainable

LIMITS = (-1.0, 1.5)


def shifted(y: Tensor) -> Tensor:
    """What a device makes of an output: the values do not matter."""
    return (y * 1.1 + 0.3).detach()


def test_a_convolution_clips() -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.empty(3, 4, 6, 5).normal_(generator=draw).requires_grad_()
    w = torch.empty(6, 2, 3, 3).normal_(generator=draw).requires_grad_()
    b = torch.zeros(6, requires_grad=True)
    settings = straight_through.Settings([2, 1], [1, 0], [1, 1], 2)

    def plain(x: Tensor) -> Tensor:
        return F.conv2d(x, w, b, (2, 1), (1, 0), 1, 2)

    y = straight_through.convolution(lambda v: shifted(plain(v)), x, w, b, settings, LIMITS)
    out = torch.empty(y.shape).normal_(generator=draw)
    found = torch.autograd.grad(y, (x, w, b), out)
    expected = torch.autograd.grad(plain(x.clamp(*LIMITS)), (x, w, b), out)
    for g, e in zip(found, expected, strict=True):
        torch.testing.assert_close(g, e)


def test_a_product_clips() -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.empty(3, 7, 4).normal_(generator=draw).requires_grad_()
    w = torch.empty(4, 5).normal_(generator=draw).requires_grad_()
    y = straight_through.product(lambda v: shifted(v @ w), x, w, None, LIMITS)
    out = torch.empty(y.shape).normal_(generator=draw)
    found = torch.autograd.grad(y, (x, w), out)
    expected = torch.autograd.grad(x.clamp(*LIMITS) @ w, (x, w), out)
    for g, e in zip(found, expected, strict=True):
        torch.testing.assert_close(g, e)


@pytest.mark.parametrize("name", ["convolutions", "recurrent"])
@pytest.mark.parametrize("gradient", ["straight-through", "no-grad", "detached"])
def test_networks_that_clip_have_the_full_gradient(name: str, gradient: str) -> None:
    """Inputs three times the range of the first converter: with DACs alone the two agree."""
    by_line, x = trainable(name, "rram", gradient=gradient, effects=("dac",))
    by_device, _ = trainable(name, "rram", gradient="full", effects=("dac",))
    found = []
    for net in (by_line, by_device):
        y = net([3 * x], 2**40).outputs[0]
        weights = torch.linspace(-1, 1, y.shape[1])
        found.append(torch.autograd.grad((y * weights).sum(), list(net.weights.values())))
    for g, h in zip(*found, strict=True):
        # The weight gradient of one has rounded inputs, of the other not: half a code of 127.
        assert float((g - h).norm()) <= 0.02 * float(h.norm())
