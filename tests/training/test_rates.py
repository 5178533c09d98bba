"""Relative learning rates: Adam's first step is the rate, times the size of what it moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cimc.ir import rewrite
from cimc.training.optimizer import Stepper
from cimc.training.parallel import Ranks
from cimc.training.rates import (
    bias_of,
    relative_groups,
    unit_of_constant,
    unit_of_weight,
    units_of_biases,
)
from cimc.training.recipe import Recipe
from cimc.verification.data import Data
from tests.passes.networks import conv_net, lowered


class Net:
    """Two parameters, one of them with units."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.tensor([[1.0, 100.0], [-1.0, 300.0]]))
        self.bias = nn.Parameter(torch.tensor([2.0]))
        self.units = torch.tensor([[1.0, 200.0]]).expand(2, 2)

    def groups(self):
        return [
            {"params": [self.weight], "units": [self.units], "lr_scale": 1.0},
            {"params": [self.bias], "lr_scale": 2.0},
        ]

    def penalty(self):
        return torch.zeros(())

    def named_parameters(self):
        return iter((("weight", self.weight), ("bias", self.bias)))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_is_relative_to_the_unit(optimizer):
    net = Net()
    recipe = Recipe(optimizer=optimizer, learning_rate=0.01, schedule="constant", clip_norm=0.0)
    stepper = Stepper(net, recipe, Ranks(), 10)
    stepper.begin(0)
    before = net.weight.detach().clone()
    loss = (net.weight * torch.tensor([[1.0, -1.0], [1.0, 1.0]])).sum() + net.bias.sum()
    loss.backward()
    stepper.finish(loss.detach(), 0, 0)
    sign = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]])
    torch.testing.assert_close(
        net.weight.detach(), before + 0.01 * sign * net.units, rtol=1e-4, atol=0
    )
    assert float(net.bias.detach()) == pytest.approx(2 - 0.02)
    assert not any("units" in name for name in stepper.state())


def test_units_are_sizes_of_columns():
    net = lowered(conv_net(filters=4), "partition")
    conv, gemm = net.layers.values()
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([0.0, 1.0, 10.0, 100.0]).reshape(-1, 1, 1, 1)
    units = unit_of_weight(conv, weight)
    assert units.shape == weight.shape
    sizes = weight.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(units[1:, 0, 0, 0], sizes[1:])
    # A column of zeros can still be trained.
    torch.testing.assert_close(units[0, 2, 1, 1], 0.01 * weight.square().mean().sqrt())
    matrix = torch.randn(5, 4)  # Gemm with transB: a row of the tensor is a column
    torch.testing.assert_close(unit_of_weight(gemm, matrix)[:, 0], matrix.square().mean(1).sqrt())
    assert float(unit_of_constant(torch.tensor([3.0, 4.0]))) == pytest.approx(12.5**0.5)
    assert float(unit_of_constant(torch.zeros(3))) == 1.0


def test_units_of_biases_are_sizes_of_channels():
    images = np.random.default_rng(3).standard_normal((64, 3, 8, 8)).astype(np.float32)
    net = lowered(conv_net(filters=4), "calibrate", data=Data({"x": images}, None, 64))
    conv, gemm = net.layers.values()
    weights = {
        name: value * (10.0 if name == conv.weight else 1.0)
        for name, value in rewrite.attributes(net.graph).items()
    }
    units = units_of_biases(net, weights)
    nodes = {node.name: node for node in net.graph.graph.nodes}
    name = bias_of(nodes[conv.uses[0].node])
    # White inputs of power 1, but for the zeros around the image.
    matrix = conv.geometry.to_matrix(weights[conv.weight])
    expected = matrix.square().sum(1).sqrt().flatten()
    assert units[name].shape == rewrite.attributes(net.graph)[name].shape
    assert bool((units[name] <= 1.1 * expected).all())
    assert bool((units[name] >= 0.7 * expected).all())
    assert bias_of(nodes[gemm.uses[0].node]) in units
    # A bias moves in its own size, but no channel by more than its weighted sum.
    small = {name: torch.full_like(units[name], 1e-3)}
    large = {name: torch.full_like(units[name], 1e6)}
    none = {name: torch.zeros_like(units[name])}
    for bias, unit in ((small, small[name]), (large, units[name]), (none, units[name])):
        (found,) = relative_groups(net, weights, bias)[1]["units"]
        torch.testing.assert_close(found, unit)
