"""Learned input steps in a network: the same on the chip's DAC as in the clean network."""

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.lowering.emit import emit
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork
from tests.training.mixed import compiled, tensor

CHIP = 2**40 + 17


def trainable(name="convolutions", **recipe):
    network, target, data = compiled(name, "rram", 8)
    recipe = Recipe(activation_bits=3, first_last_bits=5, **recipe)
    return TrainableNetwork(network, target, recipe), target, tensor(data)


def narrowed(net):
    """Make steps so small that a good part of the inputs is clipped."""
    with torch.no_grad():
        for step in net.steps.values():
            step.relative.mul_(0.5)
    return net


@pytest.mark.parametrize("gradient", ["straight-through", "no-grad", "detached"])
def test_steps_learn_from_what_the_dac_clips(gradient):
    """With nothing but the DAC modelled, the chip is the clean network with rounded inputs."""
    found = []
    for chip in (None, CHIP):
        net, _, x = trainable(effects=("dac",), gradient=gradient)
        out = narrowed(net)([x], chip).outputs[0]
        (out * torch.linspace(-1, 1, out.shape[1])).sum().backward()
        found.append((out.detach(), [s.relative.grad for s in net.steps.values()]))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-4, atol=1e-5)
    assert len(found[0][1]) == 5
    for clean, chip in zip(found[0][1], found[1][1], strict=True):
        assert float(clean) != 0
        torch.testing.assert_close(chip, clean, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["convolutions", "recurrent"])
def test_the_program_has_the_ranges_that_were_learned(name):
    net, target, x = trainable(name)
    narrowed(net)
    network = net.network()
    for layer in network.layers.values():
        for use in layer.uses:
            step = net.steps[f"{use.node}_{use.operand}"]
            assert use.dac == step.dac()
            assert use.dac.bits in (3, 5)
    with torch.no_grad():
        got = net([x], CHIP).outputs[0].numpy()
    program = emit(network, target, {})
    want = Executor(program, "chip", CHIP).run({"x": x.numpy()}).outputs["y"]
    # Cells that round differently may turn into another code of an ADC.
    off = np.abs(got - want) > 1e-4 * np.abs(want).max()
    assert off.mean() <= 0.01
