"""Sums of multipliers trained on bit-sliced targets, and what is programmed in the end."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.executor import Executor
from cimc.ir.network import Network
from cimc.ir.verifier import verify
from cimc.lowering.emit import emit
from cimc.targets import Target, load_target
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork
from tests.training.mixed import compiled_for, tensor

CHIP = 2**40 + 17


def target_of(multipliers: str, slices: int = 3) -> Target:
    """Return binary cells with digital multipliers, or analog ones that hold them."""
    otp = load_target("otp")
    cell = otp.cell
    if multipliers == "conductance":
        cell = cell.model_copy(update={"states": "analog"})
    form = otp.slices.model_copy(update={"count": slices, "multipliers": multipliers})
    return otp.model_copy(update={"slices": form, "cell": cell})


@cache
def start(name: str, multipliers: str, slices: int = 3) -> tuple[Network, Target, Tensor]:
    network, target, data = compiled_for(name, target_of(multipliers, slices), None)
    return network, target, tensor(data)


def trained(
    name: str, multipliers: str, *, steps: int = 12, slices: int = 3, weight: float = 0.0, **recipe
):
    """Return a network after some steps towards the float network's outputs, and inputs."""
    network, target, x = start(name, multipliers, slices)
    net = TrainableNetwork(network, target, Recipe(**recipe))
    wanted = net.teacher([x]).outputs[0]
    groups = [{"params": g["params"], "lr": 3e-3 * g["lr_scale"]} for g in net.groups()]
    optimizer = torch.optim.Adam(groups)
    losses = []
    for step in range(steps):
        net.train()
        optimizer.zero_grad()
        loss = ((net([x], step).outputs[0] - wanted) ** 2).mean()
        losses.append(float(loss.detach()))
        (loss + weight * net.penalty()).backward()
        optimizer.step()
        net.after_step()
    return net.eval(), target, x, losses


def by_executor(net, target, x, mode):
    """Return what the executor computes with the program of the trained network."""
    program = emit(net.network(), target, {})
    return Executor(program, mode, CHIP).run({"x": x.numpy()}).outputs["y"]


@pytest.mark.parametrize("name", ["convolutions", "recurrent"])
@pytest.mark.parametrize("multipliers", ["digital", "conductance"])
@pytest.mark.parametrize("learned", ["step", "multipliers"])
@pytest.mark.parametrize("quantization", ["straight-through", "regularized"])
def test_the_program_computes_what_was_trained(name, multipliers, learned, quantization):
    net, target, x, _ = trained(
        name, multipliers, levels=learned, quantization=quantization, steps=4,
        weight=0.0 if quantization == "straight-through" else 10.0, level_learning_rate=0.01,
    )  # fmt: skip
    with torch.no_grad():
        clean, chip = net([x], None).outputs[0].numpy(), net([x], CHIP).outputs[0].numpy()
    size = np.abs(clean).max()
    np.testing.assert_allclose(
        by_executor(net, target, x, "ideal"), clean, rtol=0, atol=3e-6 * size + 3e-6
    )
    # A conductance that rounds differently may turn into another code of a converter.
    off = np.abs(by_executor(net, target, x, "chip") - chip) > 1e-4 * size
    assert off.mean() <= 0.01


@pytest.mark.parametrize("multipliers", ["digital", "conductance"])
def test_multipliers_that_changed_sign_and_places_are_programmed(multipliers):
    net, target, x, _ = trained("convolutions", multipliers, levels="multipliers", steps=1)
    for module in net.levels.values():
        with torch.no_grad():
            module.multipliers[..., 0] *= -3.0  # the smallest: negative, and larger than others
            module.multipliers[..., 2] *= 0.3
    with torch.no_grad():
        clean = net([x], None).outputs[0].numpy()
    network = net.network()
    assert verify(network) == []
    for layer in network.layers.values():
        assert (layer.codebook.multipliers >= 0).all()
        assert layer.cells is not None
    size = np.abs(clean).max()
    np.testing.assert_allclose(
        by_executor(net, target, x, "ideal"), clean, rtol=0, atol=3e-6 * size + 3e-6
    )


@pytest.mark.parametrize("chip", [None, CHIP])
@pytest.mark.parametrize("multipliers", ["digital", "conductance"])
def test_multipliers_alone_mend_what_was_bent(multipliers, chip):
    """The gradient of the task through the network, or a chip, reaches them and points right."""
    network, target, x = start("convolutions", multipliers)
    net = TrainableNetwork(network, target, Recipe(levels="multipliers"))
    wanted = net.teacher([x]).outputs[0]
    for module in net.levels.values():
        with torch.no_grad():
            module.multipliers *= torch.tensor([1.1, 0.93, 1.06])
    optimizer = torch.optim.Adam(net.levels.parameters(), 0.003)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((net([x], chip).outputs[0] - wanted) ** 2).mean()
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_a_learned_step_keeps_powers_of_two_on_the_chip():
    net, *_ = trained("convolutions", "digital", levels="step", level_learning_rate=0.01)
    for layer in net.network().layers.values():
        for a, b in pairwise(layer.codebook.multipliers.unbind(-1)):
            assert torch.equal(b, 2 * a)
        factors = layer.cells.multipliers
        np.testing.assert_allclose(factors, [0.25, 0.5, 1.0], rtol=1e-6)


def test_the_penalty_draws_float_weights_to_their_levels():
    """[NM Eq. 6]: what quantization changes at the end is a small part of what it did."""
    recipe = {"levels": "multipliers", "quantization": "regularized", "noise": "none"}
    lost = []
    for steps in (0, 150):
        net, _, x, _ = trained("convolutions", "digital", steps=steps, weight=30.0, **recipe)
        with torch.no_grad():
            lost.append(float(net.penalty()))
            quantized = net([x], None).outputs[0]
            floats = net.train()([x], None).outputs[0]
    assert lost[1] < 0.05 * lost[0]
    torch.testing.assert_close(quantized, floats, rtol=0, atol=0.2 * float(floats.abs().max()))
