"""Training for one chip: what it sees is what the executor runs, with the faults there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.one_by_one import made_for
from cimc.faults import FaultMap
from cimc.ir.network import Network
from cimc.lowering.emit import emit
from cimc.targets import Target
from cimc.training.known_chip import KnownChip
from cimc.training.recipe import FaultTraining, Recipe
from cimc.training.trainable import TrainableNetwork
from tests.training.mixed import tensor
from tests.training.put import TARGETS, on_chip

NETWORKS = ("convolutions", "recurrent")
CHIP = 2**40 + 17


def trainable(
    kind: str, name: str = "convolutions", *, gains: bool = False, **recipe: Any
) -> tuple[TrainableNetwork, Target, FaultMap, torch.Tensor]:
    network, target, data, faults = on_chip(kind, name, gains=gains)
    known = KnownChip.of(network, target, faults)
    net = TrainableNetwork(network, target, Recipe(**recipe), known=known)
    return net, target, faults, tensor(data)


def by_executor(
    network: Network, target: Target, faults: FaultMap, x: torch.Tensor, mode: str
) -> Any:
    program = made_for(emit(network, target, {}), faults.record())
    return Executor(program, mode, CHIP).run({"x": x.numpy()}).outputs["y"]


def moved(net: TrainableNetwork, share: float = 0.3) -> None:
    """Move latent weights by about a third of their size, as training would."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in net.weights.values():
            size = weight.square().mean().sqrt()
            weight += share * size * torch.randn(weight.shape, generator=draw)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_chip_in_training_is_the_chip_of_the_program(
    kind: str, name: str, *, gains: bool
) -> None:
    """Every encoding, moved weights: the executor's run of the emitted program, chip by chip."""
    net, target, faults, x = trainable(kind, name, gains=gains)
    moved(net)
    for mode in (True, False):
        net.train(mode)
        with torch.no_grad():
            got = net([x], CHIP).outputs[0].numpy()
        want = by_executor(net.network(), target, faults, x, "chip")
        # Values at the edge of a code may fall to either side, so a few may be a code apart.
        off = np.abs(got - want) > 1e-4 * np.abs(want).max()
        assert off.mean() <= 0.01


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_without_a_chip_it_is_the_ideal_program(kind: str, name: str, *, gains: bool) -> None:
    net, target, faults, x = trainable(kind, name, gains=gains, noise="none")
    moved(net)
    with torch.no_grad():
        got = net.eval()([x], None).outputs[0].numpy()
    want = by_executor(net.network(), target, faults, x, "ideal")
    np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())
    # The faults are in it: without them the program is another.
    clean = Executor(emit(net.network(), target, {}), "ideal").run({"x": x.numpy()}).outputs["y"]
    assert np.abs(clean - want).max() > 0.01 * np.abs(want).max()


def test_what_training_is_not_told_of_is_in_evaluations_only() -> None:
    """Method ``nearest-valid`` trains on a chip without stuck cells, and is judged by the chip."""
    blind, _, _, x = trainable("pair", faults=FaultTraining("nearest-valid"))
    aware, *_ = trainable("pair")
    with torch.no_grad():
        there = [net.train()([x], CHIP).outputs[0] for net in (blind, aware)]
        judged = [net.eval()([x], CHIP).outputs[0] for net in (blind, aware)]
    assert not torch.allclose(there[0], there[1], rtol=1e-2)
    torch.testing.assert_close(judged[0], judged[1])


def test_ignored_variability_is_in_evaluations_only() -> None:
    ignoring, target, faults, x = trainable("digital slices", gains=True, variability="ignore",
                                            noise="none")  # fmt: skip
    with torch.no_grad():
        trained = ignoring.train()([x], None).outputs[0].numpy()
        judged = ignoring.eval()([x], None).outputs[0].numpy()
    network = ignoring.network()
    want = by_executor(network, target, faults, x, "ideal")
    np.testing.assert_allclose(judged, want, atol=2e-5 * np.abs(want).max())
    nominal = replace(faults, gain_arrays=None, gain_lrs=None, gain_hrs=None)
    want = by_executor(network, target, nominal, x, "ideal")
    np.testing.assert_allclose(trained, want, atol=2e-5 * np.abs(want).max())
    assert np.abs(trained - judged).max() > 0.01 * np.abs(want).max()


def gradients(net: TrainableNetwork, x: torch.Tensor) -> list[torch.Tensor]:
    net.train().zero_grad()
    result = net([x], CHIP).outputs[0]
    (result * torch.linspace(-1, 1, result.shape[1])).sum().backward()
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("gradient", ["straight-through", "detached"])
@pytest.mark.parametrize("kind", ["pair", "digital slices"])
def test_ways_of_gradients_agree(kind: str, gradient: str) -> None:
    """Backward is the clean operation with the weights there are on the chip."""
    first, _, _, x = trainable(kind, gains=True, gradient="no-grad")
    second, *_ = trainable(kind, gains=True, gradient=gradient)
    one, other = gradients(first, x), gradients(second, x)
    assert len(one) == len(other) > 4
    for g, h in zip(one, other, strict=True):
        torch.testing.assert_close(g, h, rtol=1e-3, atol=1e-4 * float(g.abs().max()) + 1e-7)
