"""Whole networks with the gradient through the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.targets import Target, load_target
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork
from tests.end_to_end.everything import everything
from tests.training.mixed import compiled, compiled_for, tensor

CHIP = 2**40 + 17
NETWORKS = ("convolutions", "recurrent")
TARGETS = {
    "rram": 8, "rram-wires": 8, "pcm": 8, "neurram": 8, "flash": 8, "otp": None, "sram": None
}  # fmt: skip


def trainable(
    name: str, target: str | Target, levels: int | None = 8, **recipe: object
) -> tuple[TrainableNetwork, Tensor]:
    """Return a network in training and inputs."""
    if isinstance(target, str):
        network, device, data = compiled(name, target, levels)
    else:
        network, device, data = compiled_for(name, target, levels)
    return TrainableNetwork(network, device, Recipe(**recipe)), tensor(data)  # type: ignore[arg-type]


def of_weights(net: TrainableNetwork, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the output on a chip, and the gradients of a weighted sum of it by all weights."""
    y = net([x], CHIP).outputs[0]
    weights = torch.linspace(-1, 1, y.shape[1])
    return y.detach(), list(torch.autograd.grad((y * weights).sum(), list(net.weights.values())))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_same_forward_and_a_gradient_for_every_weight(name: str, target: str) -> None:
    straight, x = trainable(name, target, TARGETS[target])
    full, _ = trainable(name, target, TARGETS[target], gradient="full")
    (y, by_line), (z, by_device) = of_weights(straight, x), of_weights(full, x)
    away = (y - z).abs() > 1e-4 * y.abs().max()
    assert float(away.float().mean()) <= 0.01
    for g, h in zip(by_line, by_device, strict=True):
        assert bool(torch.isfinite(h).all())
        # Devices of the shipped targets are nearly linear: the two point the same way.
        assert float((g * h).sum() / (g.norm() * h.norm())) > 0.5


@pytest.mark.parametrize("wires", [False, True])
def test_with_every_non_ideality(wires: bool) -> None:
    full, x = trainable("convolutions", everything(wires=wires), gradient="full")
    for gradient in of_weights(full, x)[1]:
        assert bool(torch.isfinite(gradient).all())
        assert float(gradient.norm()) > 0


def test_finite_differences_of_float_weights() -> None:
    """Without converters and levels nothing is a step: the gradient is that of the loss.

    Programming noise is lognormal here: it grows with the weight.  ``regularized`` trains float
    weights on the chip, at the scale of the levels.
    """
    target = load_target("rram").changed({
        "noise.programming": {"sigma_log": 0.3}, "cell.nonlinearity": {"sinh": "0.3 V"},
        "read.dac_bits": None, "adc.bits": None,
    })  # fmt: skip
    full, x = trainable(
        "convolutions", target, 8, gradient="full", effects=("programming", "nonlinearity"),
        quantization="regularized", threshold=1e9,
    )  # fmt: skip
    _, gradients = of_weights(full, x)
    out = torch.linspace(-1, 1, 5)
    draw = torch.Generator().manual_seed(3)
    for weight, gradient in zip(full.weights.values(), gradients, strict=True):
        way = torch.empty(weight.shape).normal_(generator=draw)
        losses = []
        step = 1e-3 * float(weight.detach().abs().mean())
        for side in (step, -step):
            with torch.no_grad():
                weight.add_(side * way)
                full.after_step()
                losses.append(float((full([x], CHIP).outputs[0] * out).double().sum()))
                weight.sub_(side * way)
        slope = (losses[0] - losses[1]) / (2 * step)
        size = float(gradient.norm() * way.norm())
        assert float((gradient * way).sum()) == pytest.approx(slope, abs=0.02 * size)


def test_verified_writes_are_refused() -> None:
    verify = {"tolerance": "0.2 uS", "iterations": 5}
    target = load_target("rram").changed(
        {"noise.programming": {"sigma": "0.25 uS", "verify": verify}}
    )
    with pytest.raises(UsageError) as refused:
        trainable("convolutions", target, gradient="full")
    assert refused.value.code == "CIMC-U53"
    trainable("convolutions", target, gradient="straight-through")
    trainable("convolutions", target, gradient="full", effects=("dac", "adc"))


def test_the_same_bytes_again() -> None:
    full, x = trainable("convolutions", "rram", gradient="full")
    (y, first), (z, again) = of_weights(full, x), of_weights(full, x)
    assert torch.equal(y, z)
    for g, h in zip(first, again, strict=True):
        np.testing.assert_array_equal(g.numpy(), h.numpy())
