"""A network small enough to train in a blink, with everything the loop needs of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cimc.device.seeding import generator
from cimc.ir.network import Signal
from cimc.training.recipe import Recipe
from cimc.training.settings import Training
from cimc.verification.data import Data

INPUTS = (Signal("x", "float32", ("batch", 6)),)
OUTPUTS = (Signal("y", "float32", ("batch", 4)),)


class Outcome(NamedTuple):
    outputs: tuple[Tensor, ...]
    layers: dict[str, Tensor]


class Toy(nn.Module):
    """Two layers whose weights are disturbed by the chip; counts what it is asked."""

    def __init__(self, noise: float = 0.05, seed: int = 0) -> None:
        super().__init__()
        draw = generator(seed, "toy")
        self.first = nn.Parameter(torch.randn(16, 6, generator=draw) / 2)
        self.second = nn.Parameter(torch.randn(4, 16, generator=draw) / 4)
        self.range = nn.Buffer(torch.ones(()))
        self.noise = noise
        self.chips: list[int | None] = []
        self.refits: list[int] = []

    def forward(
        self, inputs: Sequence[Tensor], chip: int | None, *, taps: bool = False
    ) -> Outcome:
        self.chips.append(chip)
        weights = [self.first, self.second]
        if chip is not None:
            draw = generator(chip, "weights")
            weights = [w + self.noise * torch.randn(w.shape, generator=draw) for w in weights]
        hidden = torch.relu(inputs[0] @ weights[0].T).clamp_max(8.0 * self.range)
        result = hidden @ weights[1].T
        return Outcome((result,), {"first": hidden, "second": result} if taps else {})

    def groups(self) -> list[dict[str, Any]]:
        return [
            {"params": [self.first], "lr_scale": 1.0},
            {"params": [self.second], "lr_scale": 0.5},
        ]

    def penalty(self) -> Tensor:
        return (self.second - self.second.detach().round()).square().sum()

    def after_step(self) -> None:
        pass

    def after_epoch(self, epochs: int) -> None:
        pass

    def refit(self, data: Data) -> None:
        self.refits.append(data.samples)
        self.range.fill_(float(self.first.detach().abs().max()))


def data(samples: int = 200, *, labels: bool = True, seed: int = 1) -> Data:
    """Points around four centres."""
    draw = np.random.default_rng(seed)
    classes = draw.integers(0, 4, samples)
    centres = np.random.default_rng(99).normal(size=(4, 6))
    x = (centres[classes] + 0.4 * draw.normal(size=(samples, 6))).astype(np.float32)
    return Data({"x": x}, classes.astype(np.int64) if labels else None, samples)


def recipe(**given: Any) -> Recipe:
    values: dict[str, Any] = {
        "epochs": 3,
        "batch": 32,
        "learning_rate": 0.01,
        "keep": "last",
    } | given
    return Recipe(**values)


def training(given: Recipe | None = None, **others: Any) -> Training:
    return Training(**{"data": data(), "recipe": given or recipe()} | others)


def teacher(feed: Mapping[str, Any]) -> dict[str, Any]:
    """The toy as it is before training."""
    with torch.no_grad():
        said = Toy()([torch.from_numpy(feed["x"])], None, taps=True)
    layers = {f"layer/{name}": value.numpy() for name, value in said.layers.items()}
    return {"y": said.outputs[0].numpy(), **layers}


def final(network: nn.Module) -> bytes:
    """The bytes of everything that was trained."""
    state = network.state_dict()
    return b"".join(state[name].numpy().tobytes() for name in sorted(state))
