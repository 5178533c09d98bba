"""[STE] Eq. 10-16 where they have closed forms, and on the device model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.targets import load_target
from cimc.training.gradient_study import LayerStudy, compare, gradient_study
from cimc.training.recipe import Recipe
from tests.training.mixed import compiled, compiled_for, tensor

CHIPS = range(64)
X = torch.empty(5, 80).normal_(generator=torch.Generator().manual_seed(1))


@dataclass
class Linear:
    """``x W`` with weights disturbed anew on every chip, differentiated in one of two ways."""

    kind: str
    sigma: float
    true: bool

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(2)
        weight = torch.empty(80, 50).normal_(generator=draw)
        self.weights = {"w": weight.requires_grad_()}

    def __call__(self, inputs: Sequence[Tensor], chip: int | None) -> SimpleNamespace:
        (x,), w = inputs, self.weights["w"]
        if chip is None:
            return SimpleNamespace(outputs=(x @ w,))
        z = torch.empty(w.shape).normal_(generator=torch.Generator().manual_seed(chip))
        factor = {"relative": 1 + self.sigma * z, "lognormal": (self.sigma * z).exp()}
        noisy = w + self.sigma * z if self.kind == "additive" else w * factor[self.kind]
        return SimpleNamespace(outputs=(x @ (noisy if self.true else w + (noisy - w).detach()),))


def study(kind: str, sigma: float, chips: Sequence[int] = CHIPS) -> LayerStudy:
    """The loss is linear: what comes back to the layer is the same on every chip."""
    pair = (Linear(kind, sigma, true=False), Linear(kind, sigma, true=True))
    weights = torch.linspace(-1, 1, 50)
    return compare(*pair, [X], lambda outputs: (outputs[0] * weights).sum(), chips)["w"]


def test_additive_noise_has_no_part_in_the_gradient() -> None:
    """``dN/dW`` is the identity: delta is 0 whatever the noise."""
    seen = study("additive", 0.5)
    assert (seen.weights, seen.chips) == (4000, 64)
    for one in (seen.device, seen.clean):
        assert one.cosine == pytest.approx(1.0)
        assert one.cosine_chip == pytest.approx(1.0)
        assert one.predicted == pytest.approx(1.0)
        assert one.bias == pytest.approx(0.0, abs=1e-6)
        assert one.magnitude == pytest.approx(0.0, abs=1e-6)
    assert seen.variance == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_relative_noise(sigma: float) -> None:
    """``delta = sigma z g~``: orthogonal to ``g~`` in the mean, as Eq. 12 supposes.

    The gradient is a product of a normal and a uniform factor: ``(sum g^2)^2 / sum g^4`` counts
    4,000 weights as 740.  So a magnitude, ``2 sigma z`` to first order, is known to
    ``2 sigma / sqrt(740 * 64) = 0.009 sigma`` over 64 chips; bounds are 5 deviations or more.
    """
    seen = study("relative", sigma)
    for one in (seen.device, seen.clean):
        assert one.cosine_chip == pytest.approx(1 / math.sqrt(1 + sigma**2), rel=5e-3)
        assert one.predicted == pytest.approx(1 / math.sqrt(1 + sigma**2), rel=5e-3)
        assert one.magnitude == pytest.approx(sigma**2, abs=0.05 * sigma)
        assert one.bias == pytest.approx(sigma / 8, rel=0.1)  # of 64 chips' mean
        assert one.cosine > 1 - sigma**2 / 64
        assert one.cosine_sd < 0.02
    assert seen.variance == pytest.approx(sigma**2, rel=0.05)
    assert seen.variance_straight_through == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_lognormal_noise_is_biased(sigma: float) -> None:
    """``dN/dW = exp(sigma z)``: mean ``exp(s^2/2)``, second moment ``exp(2 s^2)``.

    The cosine is ``exp(-s^2/2)``; Eq. 12, which has delta orthogonal, predicts less.
    """
    seen = study("lognormal", sigma)
    mean, second = math.exp(sigma**2 / 2), math.exp(2 * sigma**2)
    for one in (seen.device, seen.clean):
        assert one.cosine_chip == pytest.approx(mean / math.sqrt(second), rel=5e-3)
        away = second - 2 * mean + 1
        assert one.predicted == pytest.approx(1 / math.sqrt(1 + away), rel=5e-3)
        assert one.magnitude == pytest.approx(second - 1, abs=0.06 * sigma + 0.05 * sigma**2)
        spread = (second - mean**2) / 64
        assert one.bias == pytest.approx(math.sqrt((mean - 1) ** 2 + spread), rel=0.1)
    assert seen.variance == pytest.approx(second / mean**2 - 1, rel=0.05)


def test_a_variance_takes_two_chips() -> None:
    with pytest.raises(ValueError, match="two"):
        study("relative", 0.1, [1])


def mean_square(outputs: tuple[Tensor, ...]) -> Tensor:
    return outputs[0].square().mean()


def test_the_device_model_of_lognormal_writes() -> None:
    """The last layer alone sees the same thing come back for both gradients.

    Its weights are pairs whose one cell stays at G_min: ``dG/dw`` is ``exp(sigma z)`` of the
    other.  About 5 of its 80 weights carry the gradient: over 64 chips the magnitude is known to
    0.05.
    """
    sigma = 0.3
    target = load_target("rram").changed({"noise.programming": {"sigma_log": sigma}})
    network, device, data = compiled_for("convolutions", target)
    seen = gradient_study(
        network, device, Recipe(effects=("programming",)), [tensor(data)], mean_square, CHIPS
    )
    layer = seen["w5"]
    assert layer.device.cosine_chip == pytest.approx(math.exp(-(sigma**2) / 2), abs=0.03)
    assert layer.device.magnitude == pytest.approx(math.exp(2 * sigma**2) - 1, abs=0.2)
    # Further from the output the disturbed weights in between add to the difference.
    assert 0.4 < seen["w1"].device.cosine_chip < layer.device.cosine_chip
    assert set(seen) == set(network_weights(network))


def network_weights(network: object) -> list[str]:
    return [layer.weight for layer in network.layers.values()]  # type: ignore[attr-defined]


def test_without_non_idealities_the_gradients_are_equal() -> None:
    network, device, data = compiled("convolutions", "rram")
    chips = range(2)
    for one in gradient_study(
        network, device, Recipe(effects=()), [tensor(data)], mean_square, chips
    ).values():
        assert one.device.cosine == pytest.approx(1.0, abs=1e-6)
        assert one.clean.cosine == pytest.approx(1.0, abs=1e-6)
        assert one.device.bias < 1e-4


def test_no_true_gradient_no_study() -> None:
    verify = {"tolerance": "0.2 uS", "iterations": 5}
    target = load_target("rram").changed(
        {"noise.programming": {"sigma": "0.25 uS", "verify": verify}}
    )
    network, device, data = compiled_for("convolutions", target)
    with pytest.raises(UsageError, match="verify"):
        gradient_study(network, device, Recipe(), [tensor(data)], mean_square, range(2))
