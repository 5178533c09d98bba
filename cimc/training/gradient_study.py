"""How far the straight-through gradient is from the true one, layer by layer.

[STE]: Extending Straight-Through Estimation for Robust Neural Networks on Analog CIM Hardware,
III-B.  With ``g~`` the straight-through gradient (Eq. 8), ``g*`` the one through the device model
(Eq. 7) and ``delta = g* - g~`` (Eq. 9):

* direction: ``cos(g~, g*)`` (Eq. 10, 11), and ``|g~| / sqrt(|g~|^2 + |delta|^2)`` (Eq. 12), what
  it is where delta is orthogonal to ``g~``;
* variance: ``E|g*|^2 - |E g*|^2`` over chips (Eq. 13);
* bias: ``|E delta|``, 0 where Eq. 14 holds;
* magnitude: ``(|g*|^2 - |g~|^2) / |g~|^2`` (Eq. 15, 16).

The paper takes ``g~`` for a constant.  It is one in the clean network; trained on a noisy forward
pass it differs from chip to chip, since what comes back from the layers above does.  So the true
gradient is compared with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from cimc.ir.network import Network
from cimc.targets import Target
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork

#: Gradients by layer, float64.
Gradients = dict[str, Tensor]
#: Outputs in the order of the network's, to a scalar.
LossOfOutputs = Callable[[tuple[Tensor, ...]], Tensor]


class Differentiated(Protocol):
    """A network with one way of differentiating it, such as a ``TrainableNetwork``."""

    @property
    def weights(self) -> Any:
        """Trained weights by name, a dict; those without gradient are left out of the study."""
        ...

    def __call__(self, inputs: Sequence[Tensor], chip: int | None) -> Any:
        """Return what has ``outputs``; on a chip, or of the clean network."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """A straight-through gradient against the true one, over chips.

    Attributes:
        cosine: Of the two gradients averaged over chips [-].
        cosine_chip: Of the two on one chip, mean (Eq. 10) [-].
        cosine_sd: Its standard deviation over chips [-].
        predicted: Eq. 12 on one chip, mean [-].
        bias: ``|E delta|`` as a share of the norm of the averaged straight-through gradient
            (Eq. 14); with few chips an estimate that is too high by ``variance / chips`` [-].
        magnitude: Eq. 16 on one chip, mean [-].
    """

    cosine: float
    cosine_chip: float
    cosine_sd: float
    predicted: float
    bias: float
    magnitude: float


@dataclass(frozen=True, slots=True)
class LayerStudy:
    """What the study says of one layer.

    Attributes:
        weights: Of the layer [-].
        chips: On which gradients were taken [-].
        device: Against the straight-through gradient of the same chip's forward pass, the one
            training uses.
        clean: Against the gradient of the clean network, which is the same for all chips.
        variance: Of the true gradient, as a share of ``|E g*|^2`` (Eq. 13) [-].
        variance_straight_through: The same of the straight-through gradient [-].
    """

    weights: int
    chips: int
    device: Comparison
    clean: Comparison
    variance: float
    variance_straight_through: float


def gradient_study(
    network: Network,
    target: Target,
    recipe: Recipe,
    inputs: Sequence[Tensor],
    loss: LossOfOutputs,
    chips: Sequence[int],
    **options: Any,
) -> dict[str, LayerStudy]:
    """Compare the gradients of a compiled network on chips of a target.

    Converters and levels of weights are steps, whose true derivative is 0: they count as straight
    lines in both gradients.

    Args:
        network: With cells and converter ranges.
        target: The device.
        recipe: Of the training; ``gradient`` is not looked at.
        inputs: One batch, in the order of the network's inputs.
        loss: Of the outputs.
        chips: Seeds; at least 2.
        options: Of :class:`~cimc.training.trainable.TrainableNetwork`.

    Returns:
        By name of the weight.

    Raises:
        UsageError: CIMC-U53, the device model has no true gradient.
    """
    straight, true = (
        TrainableNetwork(network, target, replace(recipe, gradient=kind), **options)
        for kind in ("straight-through", "full")
    )
    return compare(straight, true, inputs, loss, chips)


def compare(
    straight: Differentiated,
    true: Differentiated,
    inputs: Sequence[Tensor],
    loss: LossOfOutputs,
    chips: Sequence[int],
) -> dict[str, LayerStudy]:
    """Compare two ways of differentiating one network.

    Args:
        straight: Straight through the device.
        true: Through the device model; has the same weights.
        inputs: One batch.
        loss: Of the outputs.
        chips: Seeds; at least 2.

    Returns:
        By name of the weight; weights that no gradient reaches are left out.

    Raises:
        ValueError: Fewer than 2 chips.
    """
    if len(chips) < 2:
        raise ValueError("a variance over chips takes two of them")
    clean = gradients_of(straight, inputs, loss, None)
    sums = {name: _Sums.of(gradient) for name, gradient in clean.items()}
    for chip in chips:
        passed = gradients_of(straight, inputs, loss, chip)
        through = gradients_of(true, inputs, loss, chip)
        for name, seen in sums.items():
            seen.add(passed[name], through[name])
    return {name: seen.study() for name, seen in sums.items()}


def gradients_of(
    model: Differentiated, inputs: Sequence[Tensor], loss: LossOfOutputs, chip: int | None
) -> Gradients:
    """Return the gradient of the loss by each trained weight, float64, flat."""
    trained = {name: w for name, w in model.weights.items() if w.requires_grad}
    value = loss(model(inputs, chip).outputs)
    found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
    return {
        name: (torch.zeros_like(weight) if g is None else g).detach().double().flatten()
        for (name, weight), g in zip(trained.items(), found, strict=True)
    }


class _Sums:
    """Sums over chips of one layer's gradients."""

    def __init__(self, clean: Tensor) -> None:
        self._clean = clean
        self._straight, self._true = torch.zeros_like(clean), torch.zeros_like(clean)
        self._squares: list[tuple[float, float]] = []
        self._device: list[tuple[float, float, float]] = []
        self._against_clean: list[tuple[float, float, float]] = []

    @classmethod
    def of(cls, clean: Tensor) -> _Sums:
        return cls(clean)

    def add(self, straight: Tensor, true: Tensor) -> None:
        self._straight += straight
        self._true += true
        self._squares.append((_dot(straight, straight), _dot(true, true)))
        self._device.append(_on_chip(straight, true))
        self._against_clean.append(_on_chip(self._clean, true))

    def study(self) -> LayerStudy:
        count = len(self._squares)
        straight, true = self._straight / count, self._true / count
        of_straight, of_true = (list(s) for s in zip(*self._squares, strict=True))
        return LayerStudy(
            weights=self._clean.numel(),
            chips=count,
            device=_comparison(straight, true, self._device),
            clean=_comparison(self._clean, true, self._against_clean),
            variance=_variance(of_true, true),
            variance_straight_through=_variance(of_straight, straight),
        )


def _on_chip(straight: Tensor, true: Tensor) -> tuple[float, float, float]:
    """Return the cosine (Eq. 10), its prediction (Eq. 12) and the magnitude (Eq. 16)."""
    size = _dot(straight, straight)
    away = true - straight
    predicted = _ratio(size, size + _dot(away, away)) ** 0.5
    return _cosine(straight, true), predicted, _ratio(_dot(true, true) - size, size)


def _comparison(
    straight: Tensor, true: Tensor, chips: Sequence[tuple[float, float, float]]
) -> Comparison:
    cosines, predicted, magnitudes = (
        torch.tensor(one, dtype=torch.float64) for one in zip(*chips, strict=True)
    )
    away = true - straight
    return Comparison(
        cosine=_cosine(straight, true),
        cosine_chip=float(cosines.mean()),
        cosine_sd=float(cosines.std()),
        predicted=float(predicted.mean()),
        bias=_ratio(_dot(away, away), _dot(straight, straight)) ** 0.5,
        magnitude=float(magnitudes.mean()),
    )


def _variance(squares: Sequence[float], mean: Tensor) -> float:
    """Return the unbiased variance over chips as a share of the mean's square [-]."""
    count, size = len(squares), _dot(mean, mean)
    spread = (sum(squares) / count - size) * count / (count - 1)
    return _ratio(spread, size)


def _cosine(a: Tensor, b: Tensor) -> float:
    return _ratio(_dot(a, b), (_dot(a, a) * _dot(b, b)) ** 0.5)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b))


def _ratio(value: float, of: float) -> float:
    """Return a ratio; NaN of nothing."""
    return value / of if of > 0 else float("nan")
